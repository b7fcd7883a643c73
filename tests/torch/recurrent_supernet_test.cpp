// Choices in the cell of a recurrent node: what is chosen is computed as if it were written out, and nothing else is;
// and the operations that such cells are made of.

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/torch/one_shot_text.hpp"
#include "tests/torch/slope.hpp"
#include "weft/recurrent.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/structure.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

constexpr std::int64_t positions = SmallTextStudy::positions;

at::Tensor tokens(std::int64_t examples = 4) {
  at::manual_seed(2);
  return at::randint(3, {examples, positions, 1}, at::kLong);
}

// The language model around a cell that `nodes` makes of the first state s, written out. [examples, positions, 3]
template <typename Nodes>
at::Tensor written_out(const Network& network, const at::Tensor& x, const Nodes& nodes,
                       const std::function<at::Tensor(const at::Tensor&)>& normalised) {
  std::map<std::string, at::Tensor> parameters;
  for (const auto& entry : network.named_parameters()) parameters[entry.key()] = entry.value();
  const at::Tensor table = parameters.at("embedding/embedding.weight");
  const auto of = [&](const std::string& layer) { return parameters.at("layer 1/recurrent." + layer + ".weight"); };
  at::Tensor h = at::zeros({x.size(0), table.size(1)}, table.options());
  std::vector<at::Tensor> outputs;
  for (std::int64_t t = 0; t < x.size(1); ++t) {
    const at::Tensor at_t = at::embedding(table, x.select(1, t).squeeze(1));
    const at::Tensor c = at::sigmoid(at::linear(at_t, of("start/linear")) + at::linear(h, of("start/linear 3")));
    const at::Tensor y = at::tanh(at::linear(at_t, of("start/linear 2")) + at::linear(h, of("start/linear 4")));
    h = nodes(normalised(h + c * (y - h)), of);
    outputs.push_back(at::linear(h, table, parameters.at("decoder/tied_linear.bias")));
  }
  return at::stack(outputs, 1);
}

at::Tensor plain(const at::Tensor& x) { return x; }
at::Tensor by_batch(const at::Tensor& x) { return (x - x.mean(0)) / (x.var(0, false) + 1e-5).sqrt(); }

at::Tensor activated(const at::Tensor& y, std::size_t function) {
  return function == 0 ? at::tanh(y) : function == 1 ? at::relu(y) : function == 2 ? at::sigmoid(y) : y;
}

at::Tensor node(const at::Tensor& s, const at::Tensor& to_gate, const at::Tensor& to_value, std::size_t function) {
  return s + at::sigmoid(at::linear(s, to_gate)) * (activated(at::linear(s, to_value), function) - s);
}

}  // namespace

TEST_CASE("a relaxed recurrent supernet computes the sum over states and activations, position by position") {
  const SmallTextStudy study;
  const Architecture supernet = study.space().supernet();
  Network network(supernet, Rng(3));
  network.to(at::kDouble);
  StructureParameters structure(choices_of(supernet), {.deviation = 0.5, .type = at::kDouble}, Rng(4));
  std::map<std::string, at::Tensor> p;
  for (std::size_t i = 0; i < structure.choices().size(); ++i)
    p[structure.choices()[i].decision] = structure.probabilities()[i];
  const at::Tensor expected = written_out(
      network, tokens(),
      [&](const at::Tensor& first, const auto& of) {
        std::vector<at::Tensor> states = {first};
        for (std::size_t i = 1; i <= 2; ++i) {
          const std::string name = "node " + std::to_string(i);
          at::Tensor sum = at::zeros_like(first);
          for (std::size_t j = 0; j < i; ++j) {
            const at::Tensor& weights = p.at("edge " + std::to_string(j) + "-" + std::to_string(i));
            for (std::size_t k = 0; k < 4; ++k)
              sum = sum + weights[static_cast<std::int64_t>(k) + 1] *
                              node(states[j], of(name + "/linear"), of(name + "/linear 2"), k);
          }
          states.push_back(by_batch(sum));
        }
        return (states[1] + states[2]) / 2.0;
      },
      by_batch);
  network.choose(structure.gates());
  CHECK(at::allclose(network.forward(tokens()).logits, expected, 1e-9, 1e-11));
}

TEST_CASE("a path of a recurrent supernet is computed as if it were written out, and nothing else takes part") {
  const SmallTextStudy study("enas_rnn", small_cell({{"nodes", 3}}));
  const SpaceRef space = study.space();
  const Architecture supernet = space.supernet();
  Network network(supernet, Rng(3));
  network.to(at::kDouble);
  const std::vector<std::string> functions = {"tanh", "relu", "sigmoid", "identity"};
  Rng rng(7);
  for (int i = 0; i < 5; ++i) {
    const Genotype genotype = space.sample(rng);
    const SupernetPath path = space.path(genotype);
    CAPTURE(space.notation(genotype));
    const at::Tensor expected = written_out(
        network, tokens(),
        [&](const at::Tensor& first, const auto& of) {
          std::vector<at::Tensor> states = {first};
          for (int n = 1; n <= 3; ++n) {
            const std::string name = "node " + std::to_string(n);
            const int from = n == 1 ? 0 : path.at(name + "/input")[0];
            const auto function = static_cast<std::size_t>(path.at(name + "/function")[0]);
            const std::string layer = name + "/" + functions[function] + "/from " + std::to_string(from) + "/linear";
            states.push_back(node(states[static_cast<std::size_t>(from)], of(layer), of(layer + " 2"), function));
          }
          return (states[1] + states[2] + states[3]) / 3.0;
        },
        plain);
    network.choose(gates_of(path));
    CHECK(at::allclose(network.forward(tokens()).logits, expected, 1e-9, 1e-11));

    std::int64_t learning = 0;
    const std::vector<bool> takes_part = network.taking_part();
    for (std::size_t at = 0; const at::Tensor& parameter : network.parameters()) {
      if (takes_part[at++]) learning += parameter.numel();
    }
    CHECK(learning == space.decode(genotype).architecture.cost().parameters);
  }
}

TEST_CASE("the structure's gradient in a recurrent supernet, by finite differences") {
  const SmallTextStudy study;
  const Architecture supernet = study.space().supernet();
  Network network(supernet, Rng(3));
  network.to(at::kDouble);
  for (const auto softmax : {StructureParameters::Softmax::per_decision, StructureParameters::Softmax::per_target}) {
    StructureParameters structure(choices_of(supernet), {.deviation = 0.5, .softmax = softmax, .type = at::kDouble},
                                  Rng(4));
    const auto loss = [&] {
      network.choose(structure.gates());
      return network.forward(tokens()).logits.square().mean();
    };
    loss().backward();
    for (const at::Tensor& logits : structure.logits()) {
      for (std::int64_t i = 0; i < logits.size(0); ++i) {
        const double expected = slope(logits, i, [&] { return loss().item<double>(); });
        CHECK(expected == Approx(logits.grad()[i].item<double>()).margin(1e-7));
      }
    }
  }
}

TEST_CASE(
    "choices of the graph and of its cells are decided together, and a state follows what stands for its choice") {
  ArchitectureBuilder cell;
  const NodeId x = cell.add("input", {{"shape", {4}}}, {}, "x"), c = cell.add("input", {{"shape", {4}}}, {}, "c");
  const NodeId a = cell.add("linear", {{"features", 4}}, {x}, "a"), b = cell.add("linear", {{"features", 4}}, {c}, "b");
  const NodeId chosen = cell.add("choice", {{"decision", "which"}, {"options", {"a", "b"}}}, {a, b}, "chosen");
  const NodeId sum = cell.add("add", {}, {chosen, c});
  const Json json = std::move(cell).build(sum).to_json();
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::sequence(positions, 4));
  const NodeId recurrent = graph.add("recurrent", {{"cell", json}, {"states", {{"c", "chosen"}}}}, {input});
  const NodeId output =
      graph.add("choice", {{"decision", "which"}, {"options", {"a", "b"}}}, {recurrent, input}, "outside");
  const Architecture whole = std::move(graph).build(output);
  const std::vector<SupernetChoice> choices = choices_of(whole);
  REQUIRE(choices.size() == 1);
  REQUIRE(choices[0].nodes.size() == 2);
  const std::vector<Node> nodes = nodes_with_cells(whole);
  CHECK(nodes.size() == whole.nodes().size() + 6);
  CHECK(nodes.at(static_cast<std::size_t>(choices[0].nodes[0])).name == "outside");
  CHECK(nodes.at(static_cast<std::size_t>(choices[0].nodes[1])).name == "chosen");

  const Architecture part = restricted(whole, {{"which", {0}}});
  CHECK_FALSE(part.has_choices());
  const Json& attributes = part.node(part.output()).attributes;
  const RecurrentCell read = RecurrentCell::from_json(attributes.at("cell"), attributes.at("states"));
  REQUIRE(read.states().size() == 1);
  CHECK(read.architecture().node(read.states()[0].next).operation == "linear");
  CHECK(read.architecture().nodes().size() == 4);
  const Architecture around = restricted(whole, {{"which", {1}}});
  CHECK(around.nodes().size() == 1);
  CHECK_THROWS_WITH(Network(whole, Rng(1)).forward(at::zeros({2, positions, 4})), ContainsSubstring("which"));
}

TEST_CASE("what recurrent nodes carry may be taken away and given back") {
  const SmallTextStudy study("enas_rnn");
  Rng rng(3);
  Network network(study.space().decode(study.space().sample(rng)).architecture, Rng(3));
  network.eval();
  const at::NoGradGuard no_grad;
  const at::Tensor first = tokens(), cold = network.forward(first).logits;
  network.carry_state(true);
  network.forward(first);
  const Network::Carried carried = network.carried();
  const at::Tensor warm = network.forward(first).logits;
  CHECK_FALSE(at::allclose(warm, cold, 1e-4));
  network.set_carried({});
  CHECK(at::equal(network.forward(first).logits, cold));
  network.set_carried(carried);
  CHECK(at::equal(network.forward(first).logits, warm));
}

TEST_CASE("in a cell, locked dropout has one mask for all states and positions, and in evaluation none") {
  // Of h and of a constant, both as large: h' = drop(h) + drop(1) is in every element 0, or p = 1/2 of it doubled.
  ArchitectureBuilder cell;
  const NodeId x = cell.add("input", {{"shape", {8}}}, {}, "x"), h = cell.add("input", {{"shape", {8}}}, {}, "h");
  const auto drop = [&](NodeId of) { return cell.add("locked_dropout", {{"probability", 0.5}}, {of}); };
  const NodeId of_x = drop(x), of_h = drop(h);
  const NodeId sum = cell.add("add", {}, {of_x, of_h});
  ArchitectureBuilder graph;
  const NodeId output =
      graph.add("recurrent", {{"cell", std::move(cell).build(sum).to_json()}}, {graph.input(Shape::sequence(3, 8))});
  Network network(std::move(graph).build(output), Rng(1));
  at::manual_seed(5);
  const at::Tensor ones = at::ones({6, 3, 8});
  const at::Tensor y = network.forward(ones).logits;
  const at::Tensor kept = y.select(1, 0).gt(0.0).to(at::kFloat);
  CHECK(kept.mean().item<double>() > 0.2);
  CHECK(kept.mean().item<double>() < 0.8);
  for (std::int64_t t = 0; t < 3; ++t) CHECK(at::equal(y.select(1, t), kept * ((2 << (t + 1)) - 2)));
  network.eval();
  CHECK(network.forward(ones).logits[0][2][0].item<double>() == 3.0);
}

TEST_CASE("highway: s + g (y - s), with its gradients") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::features(3));
  std::vector<NodeId> read;
  for (const char* name : {"s", "g", "y"}) read.push_back(graph.add("linear", {{"features", 3}}, {x}, name));
  const NodeId output = graph.add("highway", {}, read);
  Network network(std::move(graph).build(output), Rng(1));
  network.to(at::kDouble);
  at::manual_seed(3);
  const at::Tensor input = at::randn({4, 3}, at::kDouble), weighting = at::randn({4, 3}, at::kDouble);
  std::map<std::string, at::Tensor> weights, copies;
  for (const auto& entry : network.named_parameters()) {
    weights[entry.key()] = entry.value();
    copies[entry.key()] = entry.value().detach().clone().requires_grad_();
  }
  const auto of = [&](const std::string& name) {
    return at::linear(input, copies.at(name + ".weight"), copies.at(name + ".bias"));
  };
  const at::Tensor y = network.forward(input).logits, expected = of("s") + of("g") * (of("y") - of("s"));
  CHECK(at::allclose(y, expected));
  (y * weighting).sum().backward();
  (expected * weighting).sum().backward();
  for (const auto& [name, weight] : weights) CHECK(at::allclose(weight.grad(), copies.at(name).grad()));
}

TEST_CASE("slowness adds the mean square of what changes to the loss of a training step, and to nothing else") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::sequence(3, 2));
  const NodeId output = graph.add("slowness", {{"weight", 0.5}}, {x});
  Network network(std::move(graph).build(output), Rng(1));
  const at::Tensor input = at::tensor({1.0, 2.0, 1.0, 4.0, 3.0, 4.0}).view({1, 3, 2}).to(at::kFloat);
  const Network::Output trained = network.forward(input);
  CHECK(at::equal(trained.logits, input));
  CHECK(trained.penalty.item<double>() == Approx(0.5 * (0.0 + 4.0 + 4.0 + 0.0) / 4.0));
  CHECK_FALSE(network.forward(input.narrow(1, 0, 1)).penalty.defined());
  network.eval();
  CHECK_FALSE(network.forward(input).penalty.defined());
}

namespace {

// The sum of a layer of x and one of 2 x with the same weights, where `layer` is linear; else an attempt at that.
Architecture tied_graph(const std::string& layer, const Shape& shape) {
  ArchitectureBuilder graph;
  const bool linear = layer == "linear";
  const NodeId x = graph.add("input", {{"shape", shape.to_json()}}, {}, "x");
  const NodeId source =
      graph.add(layer, linear ? Json({{"features", 3}, {"bias", false}}) : Json::object(), {x}, "layer");
  const NodeId twice = graph.add("add", {}, {x, x});
  const NodeId tied = graph.add("tied_linear", {{"features", 3}, {"bias", false}}, {twice, source});
  const NodeId sum = graph.add("add", {}, {source, tied});
  return std::move(graph).build(sum);
}

}  // namespace

TEST_CASE("tied_linear: of a linear layer, in the graph and in a cell") {
  ArchitectureBuilder around;
  const Json cell = tied_graph("linear", Shape::features(3)).to_json();
  const NodeId output = around.add("recurrent", {{"cell", cell}}, {around.input(Shape::sequence(2, 3))});
  at::manual_seed(3);
  const at::Tensor x = at::randn({5, 2, 3});
  for (const Architecture& architecture :
       {tied_graph("linear", Shape::sequence(2, 3)), std::move(around).build(output)}) {
    CHECK(architecture.cost().parameters == 9);
    CHECK(architecture.cost().multiply_adds == 2 * 2 * 9);
    Network network(architecture, Rng(1));
    const at::Tensor weight = network.parameters().at(0);
    const at::Tensor y = network.forward(x).logits;
    CHECK(at::allclose(y, 3.0 * at::linear(x, weight), 1e-5, 1e-6));
    y.sum().backward();
    CHECK(at::allclose(weight.grad(), 3.0 * x.flatten(0, 1).sum(0).expand({3, 3}), 1e-4, 1e-5));
  }
  CHECK_THROWS_WITH(Network(tied_graph("activation", Shape::sequence(2, 3)), Rng(1)),
                    ContainsSubstring("a linear layer that reads 3"));
}
