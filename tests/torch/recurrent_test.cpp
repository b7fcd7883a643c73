#include "weft/recurrent.hpp"

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/torch/network.hpp"

using namespace weft;

namespace {

constexpr std::int64_t inputs = 3, features = 4, positions = 5, examples = 2;
const std::vector<std::string> gates = {"input", "forget", "cell", "output"};  // in the order of LibTorch's weights

// The long short-term memory with names of our own.
struct Lstm {
  Json cell;
  Json states;
};
Lstm lstm() {
  ArchitectureBuilder cell;
  const auto source = [&](const char* name, std::int64_t count) {
    return cell.add("input", {{"shape", {count}}}, {}, name);
  };
  const auto activated = [&](const char* function, NodeId x) {
    return cell.add("activation", {{"function", function}}, {x});
  };
  const NodeId x = source("x", inputs), h = source("h", features), c = source("memory", features);
  std::vector<NodeId> gate;
  for (const std::string& name : gates) {
    const NodeId from_x = cell.add("linear", {{"features", features}}, {x}, name + "_x");
    const NodeId from_h = cell.add("linear", {{"features", features}, {"bias", false}}, {h}, name + "_h");
    gate.push_back(activated(name == "cell" ? "tanh" : "sigmoid", cell.add("add", {}, {from_x, from_h})));
  }
  const NodeId kept = cell.add("multiply", {}, {gate[1], c}), added = cell.add("multiply", {}, {gate[0], gate[2]});
  const NodeId next = cell.add("add", {}, {kept, added}, "next_memory");
  const NodeId output = cell.add("multiply", {}, {gate[3], activated("tanh", next)});
  return {std::move(cell).build(output).to_json(), {{"memory", "next_memory"}}};
}

Network network_of(const Json& attributes, std::int64_t of_inputs = inputs) {
  ArchitectureBuilder graph;
  const NodeId node = graph.add("recurrent", attributes, {graph.input(Shape::sequence(positions, of_inputs))}, "it");
  return Network(std::move(graph).build(node), Rng(1));
}

at::Tensor sequences(std::int64_t length = positions) {
  at::manual_seed(2);
  return at::randn({examples, length, inputs});
}

}  // namespace

TEST_CASE("recurrent: a long short-term memory as a graph is LibTorch's, gradients too") {
  const Lstm cell = lstm();
  Network network = network_of({{"cell", cell.cell}, {"states", cell.states}});
  // The cell's layers have names in normal form; which is which gate is read from the graph.
  const RecurrentCell read = RecurrentCell::from_json(network.architecture().nodes().back().attributes.at("cell"),
                                                      network.architecture().nodes().back().attributes.at("states"));
  const auto nodes = read.architecture().nodes();
  const auto node = [&](NodeId id) -> const Node& { return nodes[static_cast<std::size_t>(id)]; };
  const auto is_tanh = [](const Node& n) { return n.attributes.value("function", "") == "tanh"; };
  const NodeId next = read.states()[1].next;  // f * c + i * g
  std::vector<NodeId> gate(4);                // as in `gates`: nodes of activations
  for (const NodeId product : node(next).inputs) {
    const auto& [first, second] = std::pair(node(product).inputs[0], node(product).inputs[1]);
    for (const auto& [one, other] : {std::pair(first, second), std::pair(second, first)}) {
      if (node(other).operation == "input") gate[1] = one;
      if (is_tanh(node(other))) gate[0] = one, gate[2] = other;
    }
  }
  for (const NodeId factor : node(read.architecture().output()).inputs) {
    if (!is_tanh(node(factor))) gate[3] = factor;
  }
  std::vector<at::Tensor> of_x, of_h, bias;
  std::map<std::string, at::Tensor> parameters;
  for (const auto& entry : network.named_parameters()) parameters[entry.key()] = entry.value();
  for (const NodeId id : gate) {
    for (const NodeId layer : node(node(id).inputs[0]).inputs) {
      const std::string name = "it." + node(layer).name;
      const bool reads_x = node(layer).inputs[0] == read.x();
      (reads_x ? of_x : of_h).push_back(parameters.at(name + ".weight"));
      if (reads_x) bias.push_back(parameters.at(name + ".bias"));
    }
  }
  REQUIRE(of_x.size() == 4);
  REQUIRE(of_h.size() == 4);
  const std::vector<at::Tensor> weights = {at::cat(of_x), at::cat(of_h), at::cat(bias), at::zeros({4 * features})};
  const std::vector<at::Tensor> zeros(2, at::zeros({1, examples, features}));
  const auto expected = std::get<0>(at::lstm(sequences(), zeros, weights, true, 1, 0.0, true, false, true));
  const at::Tensor y = network.forward(sequences()).logits;
  CHECK(at::allclose(y, expected, 1e-5, 1e-6));

  const at::Tensor weighting = at::randn_like(y);
  (y * weighting).sum().backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& [name, tensor] : parameters) {
    gradients[name] = tensor.grad().clone();
    tensor.mutable_grad().zero_();
  }
  (expected * weighting).sum().backward();
  for (const auto& [name, tensor] : parameters) {
    INFO(name);
    CHECK(at::allclose(gradients.at(name), tensor.grad(), 1e-4, 1e-5));
  }
}

TEST_CASE("recurrent: a state that is carried goes on where the last batch ended, and gradients do not") {
  const Lstm cell = lstm();
  Network network = network_of({{"cell", cell.cell}, {"states", cell.states}});
  network.eval();
  const at::Tensor x = sequences(8), whole = network.forward(x).logits;
  const at::Tensor first = x.narrow(1, 0, 3).clone().requires_grad_(), second = x.narrow(1, 3, 5);
  CHECK_FALSE(at::allclose(network.forward(second).logits, whole.narrow(1, 3, 5), 1e-3));
  network.carry_state(true);
  CHECK(at::allclose(network.forward(first).logits, whole.narrow(1, 0, 3), 1e-5, 1e-6));
  const at::Tensor rest = network.forward(second).logits;
  CHECK(at::allclose(rest, whole.narrow(1, 3, 5), 1e-5, 1e-6));
  rest.sum().backward();
  CHECK_FALSE(first.grad().defined());
  network.carry_state(true);  // anew
  CHECK(at::allclose(network.forward(first).logits, whole.narrow(1, 0, 3), 1e-5, 1e-6));
}

TEST_CASE("recurrent: dropout of the state is the same at all positions, and none in evaluation") {
  ArchitectureBuilder cell;  // h_t = h_{t-1} + 1, as a linear layer of x = 0 has but its bias
  const NodeId x = cell.add("input", {{"shape", {inputs}}}, {}, "x");
  const NodeId h = cell.add("input", {{"shape", {features}}}, {}, "h");
  const NodeId one = cell.add("linear", {{"features", features}}, {x});
  const NodeId sum = cell.add("add", {}, {h, one});
  Network network = network_of({{"cell", std::move(cell).build(sum).to_json()}, {"state_dropout", 0.5}});
  {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : network.state()) {
      if (name.ends_with(".bias")) tensor.fill_(1.0);
    }
  }
  const at::Tensor zeros = at::zeros({examples, positions, inputs});
  network.eval();
  CHECK(network.forward(zeros).logits[0][positions - 1][0].item<double>() == positions);
  network.train();
  const at::Tensor last = network.forward(zeros).logits.select(1, positions - 1);
  // Dropped at every step: 1. Kept and doubled at every step: 2^positions - 1.
  const at::Tensor expected = at::where(last.eq(1.0), at::ones_like(last), at::full_like(last, (1 << positions) - 1));
  CHECK(at::equal(last, expected));
}

TEST_CASE("recurrent: cells that differ in names and order alone are one architecture") {
  const Lstm cell = lstm();
  const auto hash = [](const Json& graph, const Json& states) {
    const Network network = network_of({{"cell", graph}, {"states", states}});
    return network.architecture().canonical_hash();
  };
  const std::uint64_t expected = hash(cell.cell, cell.states);
  // Reversed as far as the order of nodes allows: the gates' layers in the opposite order, and other names.
  Json renamed = cell.cell;
  std::string text = renamed.dump();
  for (const std::string& gate : gates) {
    for (std::size_t at = 0; (at = text.find("\"" + gate + "_", at)) != std::string::npos; ++at)
      text.replace(at, gate.size() + 2, "\"z" + gate + "_");
  }
  CHECK(hash(Json::parse(text), cell.states) == expected);
  // What h and memory are for matters.
  Json swapped = cell.cell;
  for (Json& node : swapped["nodes"]) {
    for (Json& input : node["inputs"]) {
      input = input == "h" ? Json("memory") : input == "memory" ? Json("h") : input;
    }
  }
  CHECK(hash(swapped, cell.states) != expected);
}

TEST_CASE("recurrent says what is wrong with a cell") {
  const Lstm cell = lstm();
  const auto refusal = [](const Json& attributes, std::int64_t of_inputs = inputs) -> std::string {
    try {
      network_of(attributes, of_inputs);
    } catch (const InvalidInput& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal({{"cell", cell.cell}}), ContainsSubstring("input memory is neither x nor h; states must name"));
  CHECK_THAT(refusal({{"cell", cell.cell}, {"states", {{"memory", "nothing"}}}}),
             ContainsSubstring("memory becomes \"nothing\", which is no node"));
  CHECK_THAT(refusal({{"cell", cell.cell}, {"states", {{"memory", "next_memory"}, {"h", "next_memory"}}}}),
             ContainsSubstring("states names h"));
  CHECK_THAT(refusal({{"cell", cell.cell}, {"states", {{"memory", "x"}}}}), ContainsSubstring("must be equal"));
  CHECK_THAT(refusal({{"cell", cell.cell}, {"states", cell.states}}, inputs + 1),
             ContainsSubstring("the cell's x has 3 features") && ContainsSubstring("input shapes: 5 x 4"));
  CHECK_THAT(refusal({{"cell", 1}}), ContainsSubstring("not an architecture"));
  ArchitectureBuilder image;
  const NodeId map = image.add("input", {{"shape", {1, 2, 2}}}, {}, "x");
  CHECK_THAT(refusal({{"cell", std::move(image).build(map).to_json()}}), ContainsSubstring("must be a vector"));
}
