// Graph hypernetworks: the graph and its messages by hand, the gradient of generated weights by finite differences, and
// which architectures come out.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugins/oneshot/graph_hypernetwork/hypernetwork.hpp"
#include "plugins/oneshot/graph_hypernetwork/layered_graph.hpp"
#include "plugins/oneshot/graph_hypernetwork/written_weights.hpp"
#include "tests/torch/one_shot.hpp"
#include "tests/torch/slope.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using namespace graph_hypernetwork;

namespace {

Plugin plugin() { return Plugin::open("oneshot", "graph_hypernetwork"); }

Json few(const Json& more = Json::object()) {
  Json args = short_search({{"state_size", 8},
                            {"hidden_size", 8},
                            {"propagations", 1},
                            {"tile_channels", 4},
                            {"samples", 6},
                            {"keep", 3},
                            {"structure_share", 0.25}});
  args.update(more);
  return args;
}

constexpr Options tiny = {.state_size = 3, .hidden_size = 5, .propagations = 2, .tile_channels = 2};

// An image of 2 channels goes two ways into a sum: a convolution, and a choice between another with a batch norm and
// none.
Architecture two_ways() {
  ArchitectureBuilder graph;
  const NodeId image = graph.input(Shape::image(2, 4, 4));
  const NodeId wide =
      graph.add("conv2d", {{"channels", 3}, {"kernel", 3}, {"padding", 1}, {"bias", true}}, {image}, "wide");
  const NodeId deep =
      graph.add("batch_norm", {}, {graph.add("conv2d", {{"channels", 3}, {"kernel", 1}}, {image}, "deep")}, "norm");
  const NodeId choice =
      graph.add("choice", {{"decision", "way"}, {"options", {"deep", "wide"}}}, {deep, wide}, "choice");
  const NodeId sum = graph.add("add", {}, {wide, choice}, "sum");
  return std::move(graph).build(
      graph.add("linear", {{"features", 4}}, {graph.add("global_avg_pool", {}, {sum}, "pool")}, "classes"));
}

at::Tensor named(const Hypernetwork& hypernetwork, const std::string& name) {
  torch::nn::Module holder;
  hypernetwork.join(holder);
  return holder.named_buffers()["hypernetwork_" + name];
}

}  // namespace

TEST_CASE("graph_hypernetwork: layers, operations and neighbours of a graph") {
  const Architecture supernet = two_ways();
  const std::vector<std::string> tokens = tokens_of(supernet);
  REQUIRE(tokens == std::vector<std::string>{"add", "batch_norm", "conv2d [1,1] [1,1]", "conv2d [3,3] [1,1]",
                                             "global_avg_pool", "input", "linear"});
  const Architecture part = restricted(supernet, {{"way", {0}}});
  const LayeredGraph graph = layered(part, tokens, at::kFloat);
  std::vector<std::vector<std::string>> names;
  for (const auto& layer : graph.layers) {
    names.emplace_back();
    for (const NodeId id : layer) names.back().push_back(part.node(id).name);
  }
  CHECK(names ==
        std::vector<std::vector<std::string>>{{"input"}, {"wide", "deep"}, {"norm"}, {"sum"}, {"pool"}, {"classes"}});
  CHECK(at::equal(graph.tokens[1], at::tensor({3, 2}, at::kLong)));
  // The sum receives from the first of layer 1 and from layer 2; the image, on the way back, from both of layer 1.
  CHECK(graph.forward.steps[3].layer == 3);
  CHECK(graph.forward.steps[3].senders == std::vector<std::size_t>{1, 2});
  CHECK(at::equal(graph.forward.steps[3].adjacency, at::tensor({1.0F, 0.0F, 1.0F}).view({1, 3})));
  CHECK(graph.forward.steps[0].senders.empty());
  const graph_hypernetwork::Direction::Step& last = graph.backward.steps.back();
  CHECK(last.layer == 0);
  CHECK(at::equal(last.adjacency, at::ones({1, 2})));
  const graph_hypernetwork::Direction::Step& both =
      graph.backward.steps[4];  // wide is read by the sum, deep by the norm
  CHECK(both.layer == 1);
  CHECK(both.senders == std::vector<std::size_t>{2, 3});
  CHECK(at::equal(both.adjacency, at::tensor({0.0F, 1.0F, 1.0F, 0.0F}).view({2, 2})));
}

// Node by node, as the paper tells it: no layers, no matrices.
TEST_CASE("graph_hypernetwork: messages go through the graph and back, node after node") {
  const Architecture supernet = two_ways(), part = restricted(supernet, {{"way", {0}}});
  const Network network(supernet, Rng(1));
  const Hypernetwork hypernetwork(supernet, extents_of(network), tiny, Rng(2));
  const at::NoGradGuard no_grad;
  const std::vector<std::string> tokens = tokens_of(supernet);
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return named(hypernetwork, name + "_weight").mv(x) + named(hypernetwork, name + "_bias");
  };
  std::vector<at::Tensor> state;
  for (const Node& node : part.nodes()) {
    const auto token = std::find(tokens.begin(), tokens.end(), token_of(node)) - tokens.begin();
    state.push_back(named(hypernetwork, "embedding")[token]);
  }
  const auto receive = [&](std::size_t id, const std::vector<std::size_t>& senders) {
    at::Tensor message = at::zeros({tiny.state_size});
    for (const std::size_t u : senders)
      message += at::relu(linear("message_2", at::relu(linear("message_1", state[u]))));
    const auto x = linear("gru_input", message).chunk(3), h = linear("gru_state", state[id]).chunk(3);
    const at::Tensor r = at::sigmoid(x[0] + h[0]), z = at::sigmoid(x[1] + h[1]);
    state[id] = (1 - z) * at::tanh(x[2] + r * h[2]) + z * state[id];
  };
  const std::size_t count = part.nodes().size();
  for (int t = 0; t < tiny.propagations; ++t) {
    for (std::size_t id = 0; id < count; ++id) {
      std::vector<std::size_t> inputs;
      for (const NodeId input : part.nodes()[id].inputs) inputs.push_back(static_cast<std::size_t>(input));
      receive(id, inputs);
    }
    for (std::size_t id = count; id-- > 0;) {
      std::vector<std::size_t> readers;
      for (std::size_t other = 0; other < count; ++other) {
        for (const NodeId input : part.nodes()[other].inputs) {
          if (static_cast<std::size_t>(input) == id) readers.push_back(other);
        }
      }
      receive(id, readers);
    }
  }
  const LayeredGraph graph = layered(part, tokens, at::kFloat);
  const std::vector<at::Tensor> found = hypernetwork.states(graph);
  for (std::size_t layer = 0; layer < graph.layers.size(); ++layer) {
    for (std::size_t i = 0; i < graph.layers[layer].size(); ++i) {
      CHECK(at::allclose(found[layer][static_cast<std::int64_t>(i)],
                         state[static_cast<std::size_t>(graph.layers[layer][i])], 1e-4, 1e-6));
    }
  }
}

TEST_CASE("graph_hypernetwork: smaller weights are a corner of the largest, wider ones repeat it") {
  const at::Tensor tile = at::arange(8).view({2, 2, 2});
  CHECK(at::equal(Hypernetwork::fitted(tile, {1, 2, 1}), at::tensor({0, 2}).view({1, 2, 1})));
  const at::Tensor wide = Hypernetwork::fitted(tile, {3, 2, 5});
  REQUIRE(wide.sizes() == at::IntArrayRef({3, 2, 5}));
  CHECK(at::equal(wide[2][1], at::tensor({2, 3, 2, 3, 2})));
  CHECK(at::equal(wide[1][0], at::tensor({4, 5, 4, 5, 4})));
}

TEST_CASE("graph_hypernetwork: every parameter of an architecture is generated, the same for the same") {
  const Architecture supernet = two_ways();
  const Network network(supernet, Rng(1));
  const Hypernetwork hypernetwork(supernet, extents_of(network), tiny, Rng(2));
  const at::NoGradGuard no_grad;
  const NamedTensors deep = hypernetwork(restricted(supernet, {{"way", {0}}}));
  const NamedTensors again = hypernetwork(restricted(supernet, {{"way", {0}}}));
  const NamedTensors wide = hypernetwork(restricted(supernet, {{"way", {1}}}));
  CHECK(deep.size() == network.named_parameters().size());
  CHECK(wide.size() == 4);  // the convolution's and the classifier's
  for (const auto& [name, value] : deep) {
    CHECK(value.sizes() == network.named_parameters()[name].sizes());
    CHECK(at::equal(value, again.at(name)));
  }
  CHECK(!at::equal(deep.at("wide.weight"), wide.at("wide.weight")));  // it has other neighbours there
  CHECK(!at::equal(deep.at("wide.weight"), deep.at("deep.weight")));
}

TEST_CASE("graph_hypernetwork: the gradient through generated weights, by finite differences") {
  const Architecture supernet = two_ways();
  Network network(supernet, Rng(1));
  const Hypernetwork hypernetwork(supernet, extents_of(network), tiny, Rng(2));
  hypernetwork.to(at::kDouble);
  network.to(at::kDouble);
  WrittenWeights weights(network, hypernetwork);
  at::manual_seed(3);
  const at::Tensor images = at::randn({5, 2, 4, 4}, at::kDouble), target = at::randn({5, 4}, at::kDouble);
  const SupernetPath path = {{"way", {0}}};
  network.choose(gates_of(path));
  const auto loss = [&] {
    weights.write(path);
    return (network.forward(images).logits - target).square().mean();
  };
  loss().backward();
  weights.backward();
  std::size_t checked = 0;
  for (const at::Tensor& leaf : hypernetwork.parameters()) {
    REQUIRE(leaf.grad().defined());
    const std::int64_t entry = leaf.grad().flatten().abs().argmax().item<std::int64_t>();
    const at::NoGradGuard no_grad;
    const double found = leaf.grad().flatten()[entry].item<double>();
    CHECK(slope(leaf, entry, [&] { return loss().item<double>(); }) == Approx(found).margin(1e-9).epsilon(1e-4));
    checked += std::abs(found) > 1e-6 ? 1 : 0;
  }
  CHECK(checked >= hypernetwork.parameters().size() - 2);
}

TEST_CASE("graph_hypernetwork: weights that no generator makes are refused by name") {
  const Architecture supernet = two_ways();
  CHECK_THROWS_WITH(Hypernetwork(supernet, {{"odd.weight", {2, 3, 4}}}, tiny, Rng(2)),
                    ContainsSubstring("odd.weight is [2,3,4]"));
}

TEST_CASE("graph_hypernetwork derives the best of what it judged, by the weights that are generated for each") {
  const SmallStudy study;
  const evaluator_contract::Folder folder;
  evaluator_contract::Listener listener;
  const Json args = few({{"structure_share", 0}});
  const Instance instance(plugin(), args, study.surroundings());
  EvaluationRequest request{.trial = -1, .rng = Rng(73)};
  request.folder = folder.path();
  const OneShotResult result = OneShotRef(instance.handle()).search(request, listener.reporter());
  REQUIRE(result.derived.size() == 3);

  // The file alone is enough to generate each one's weights once more.
  const Architecture supernet = study.space().supernet();
  Network network(supernet, Rng(1));
  const Hypernetwork hypernetwork(supernet, extents_of(network),
                                  {.state_size = 8, .hidden_size = 8, .propagations = 1, .tile_channels = 4}, Rng(2));
  hypernetwork.join(network);
  load_weights(network, folder.path() / "supernet.pt");
  const Dataset& data = study.data();
  const Batches validation(data.validation(), {data.mean(), data.standard_deviation()});
  const at::NoGradGuard no_grad;
  WrittenWeights weights(network, hypernetwork);
  network.set_statistics(Statistics::batch);
  for (const Derived& derived : result.derived) {
    const SupernetPath path = study.space().path(derived.genotype);
    weights.write(path);
    network.choose(gates_of(path));
    const Score score = evaluate(network, validation, 20);
    CHECK(derived.metrics.at("selection_accuracy").get<double>() == Approx(score.accuracy));
    CHECK(derived.metrics.at("selection_loss").get<double>() == Approx(score.loss).epsilon(1e-4));
  }
  // Who has no hypernetwork cannot read it as shared weights.
  Network without(supernet, Rng(1));
  CHECK_THROWS_WITH(load_weights(without, folder.path() / "supernet.pt"),
                    ContainsSubstring("hypernetwork_embedding is unexpected"));
}

TEST_CASE("graph_hypernetwork: a hypernetwork learns, though no parameter of the network does") {
  const SmallStudy study;
  evaluator_contract::Listener listener;
  const Instance instance(plugin(), few({{"epochs", 6}, {"lr", 0.01}, {"schedule", "constant"}}), study.surroundings());
  OneShotRef(instance.handle()).search({.trial = -1, .rng = Rng(73)}, listener.reporter());
  CHECK(listener.reports.back().at("train_loss").get<double>() <
        listener.reports.front().at("train_loss").get<double>() - 0.02);
}

TEST_CASE("graph_hypernetwork: no more are kept than are judged") {
  const SmallStudy study;
  CHECK_THROWS_WITH(Instance(plugin(), few({{"keep", 7}}), study.surroundings()),
                    ContainsSubstring("/keep is 7; must not exceed /samples, 6"));
}

TEST_CASE("graph_hypernetwork keeps the contract of one-shot strategies") {
  const SmallStudy study;
  check_oneshot(plugin(), few(), study.surroundings());
}
