// Networks with choices: what is chosen is computed as a network of its own would, and nothing else is.

#include "weft/supernet.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/torch/one_shot.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/structure.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// Two choices of one decision, one after the other, of zero, identity, convolution and pooling; and one of another
// decision between two inputs.
Architecture supernet() {
  ArchitectureBuilder graph;
  NodeId at = graph.input(Shape::image(3, 8, 8));
  at = graph.add("conv2d", {{"channels", 4}, {"kernel", 3}, {"padding", 1}}, {at}, "stem");
  std::vector<NodeId> layers = {at};
  for (const std::string layer : {"a", "b"}) {
    const NodeId zero = graph.add("zero", {}, {at}, layer + " zero");
    const NodeId identity = graph.add("identity", {}, {at}, layer + " identity");
    NodeId conv = graph.add("activation", {}, {at}, layer + " relu");
    conv = graph.add("conv2d", {{"channels", 4}, {"kernel", 3}, {"padding", 1}}, {conv}, layer + " conv");
    conv = graph.add("batch_norm", {}, {conv}, layer + " norm");
    const NodeId pool = graph.add("avg_pool", {{"kernel", 3}, {"stride", 1}, {"padding", 1}}, {at}, layer + " pool");
    at = graph.add("choice", {{"decision", "layer"}, {"options", {"zero", "identity", "conv", "pool"}}},
                   {zero, identity, conv, pool}, layer);
    layers.push_back(at);
  }
  at = graph.add("choice", {{"decision", "depth"}, {"options", {"1", "2"}}}, {layers[1], layers[2]}, "depth");
  at = graph.add("linear", {{"features", 5}}, {graph.add("global_avg_pool", {}, {at})}, "classifier");
  return std::move(graph).build(at);
}

at::Tensor images(int seed = 1) {
  at::manual_seed(static_cast<std::uint64_t>(seed));
  return at::randn({6, 3, 8, 8});
}

// The network that is left on that path, with the supernet's tensors.
Network alone(const Network& whole, const SupernetPath& path) {
  Network part(restricted(whole.architecture(), path), Rng(99));
  const at::NoGradGuard no_grad;
  const NamedTensors from = whole.state();
  for (auto& [name, tensor] : part.state()) {
    at::Tensor to = tensor;
    to.copy_(from.at(name));
  }
  return part;
}

std::vector<std::string> names_taking_part(const Network& network) {
  std::vector<std::string> names;
  const std::vector<bool> taking_part = network.taking_part();
  std::size_t i = 0;
  for (const auto& entry : network.named_parameters()) {
    if (taking_part.at(i++)) names.push_back(entry.key());
  }
  return names;
}

}  // namespace

TEST_CASE("a supernet's choices are listed by decision, and a path takes each of them") {
  const Architecture graph = supernet();
  const std::vector<SupernetChoice> choices = choices_of(graph);
  REQUIRE(choices.size() == 2);
  CHECK(choices[0].decision == "layer");
  CHECK(choices[0].nodes.size() == 2);
  CHECK(choices[1].options == std::vector<std::string>{"1", "2"});

  const auto refusal = [&](const SupernetPath& path) {
    try {
      restricted(graph, path);
      return std::string("accepted");
    } catch (const InvalidInput& error) {
      return std::string(error.what());
    }
  };
  CHECK_THAT(refusal({{"layer", {2}}}), ContainsSubstring("leaves decision \"depth\" open"));
  CHECK_THAT(refusal({{"layer", {4}}, {"depth", {0}}}), ContainsSubstring("options from 0 to 3"));
  CHECK_THAT(refusal({{"layer", {}}, {"depth", {0}}}), ContainsSubstring("at least one"));
  CHECK_THAT(refusal({{"layer", {2, 1}}, {"depth", {0}}}), ContainsSubstring("ascending"));
  CHECK_THAT(refusal({{"layer", {1}}, {"depth", {0}}, {"width", {0}}}), ContainsSubstring("no decision \"width\""));

  const Architecture part = restricted(graph, {{"layer", {2}}, {"depth", {0}}});
  CHECK_FALSE(part.has_choices());
  CHECK(part.cost().parameters == graph.cost().parameters - (3 * 3 * 4 * 4 + 8));  // b's convolution and norm
  const Architecture both = restricted(graph, {{"layer", {1, 2}}, {"depth", {1}}});
  CHECK(both.nodes().size() == part.nodes().size() + 7);
}

TEST_CASE("choices of one decision must offer the same") {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(3, 8, 8));
  const NodeId a = graph.add("choice", {{"decision", "d"}, {"options", {"p", "q"}}}, {x, x}, "first");
  const NodeId b = graph.add("choice", {{"decision", "d"}, {"options", {"q", "p"}}}, {a, x}, "second");
  const Architecture built = std::move(graph).build(b);
  CHECK_THROWS_WITH(choices_of(built), ContainsSubstring("node second") && ContainsSubstring("first"));
}

TEST_CASE("a chosen path computes what its network alone computes, in training and in evaluation") {
  Network network(supernet(), Rng(3));
  CHECK_THROWS_WITH(network.forward(images()), ContainsSubstring("layer") && ContainsSubstring("choose"));
  const auto paths = std::vector<SupernetPath>{{{"layer", {2}}, {"depth", {1}}},
                                               {{"layer", {1}}, {"depth", {0}}},
                                               {{"layer", {0}}, {"depth", {1}}},
                                               {{"layer", {1, 2, 3}}, {"depth", {1}}},
                                               {{"layer", {0, 2}}, {"depth", {0}}}};
  for (const SupernetPath& path : paths) {
    CAPTURE(Json(path).dump());
    network.train();
    network.choose(gates_of(path));
    Network part = alone(network, path);
    for (const bool training : {true, false}) {
      network.train(training);
      part.train(training);
      CHECK(at::allclose(network.forward(images()).logits, part.forward(images()).logits, 1e-5, 1e-6));
      CHECK(network.plan().instructions.size() == part.plan().instructions.size());
    }
    std::vector<std::string> expected;
    for (const auto& entry : part.named_parameters()) expected.push_back(entry.key());
    std::vector<std::string> taking_part = names_taking_part(network);
    std::sort(expected.begin(), expected.end());
    std::sort(taking_part.begin(), taking_part.end());
    if (path.at("layer") != std::vector<int>{0}) CHECK(taking_part == expected);  // what only a zero reads is not run
  }
}

TEST_CASE("weights of a gate multiply what is active, and have gradients") {
  Network network(supernet(), Rng(3));
  const at::Tensor weights = at::tensor({0.1F, 0.2F, 0.3F, 0.4F}).set_requires_grad(true);
  network.choose({{"layer", {{0, 1, 2, 3}, weights}}, {"depth", {{0}}}});
  const at::Tensor together = network.forward(images()).logits;
  together.sum().backward();
  const at::Tensor gradient = weights.grad().clone();
  // Behind the choice all is linear: the output is the weighted sum of those of single options, bias apart.
  network.choose({{"layer", {{0}}}, {"depth", {{0}}}});
  const at::Tensor of_zero = network.forward(images()).logits;
  at::Tensor sum = of_zero.clone();
  for (int option = 1; option < 4; ++option) {
    network.choose({{"layer", {{option}}}, {"depth", {{0}}}});
    const at::Tensor difference = network.forward(images()).logits - of_zero;
    sum = sum + 0.1F * static_cast<float>(option + 1) * difference;
    CHECK(gradient[option].item<float>() == Approx(difference.sum().item<float>()).epsilon(1e-3).margin(1e-4));
  }
  CHECK(at::allclose(together, sum, 1e-4, 1e-5));
  CHECK(gradient[0].item<float>() == 0.0F);
  CHECK_THROWS_WITH(network.choose({{"layer", {{0, 1}, weights}}, {"depth", {{0}}}}),
                    ContainsSubstring("2 active options"));
}

TEST_CASE("batch norms may normalise by the batch, or measure what they keep, in evaluation") {
  Network network(supernet(), Rng(3));
  network.choose({{"layer", {{2}}}, {"depth", {{0}}}});
  const auto mean = [&] { return network.state().at("a norm.running_mean").clone(); };
  const at::Tensor by_batch = network.forward(images(1)).logits;
  network.eval();
  const at::Tensor kept = mean();
  network.set_statistics(Statistics::batch);
  CHECK(at::allclose(network.forward(images(1)).logits, by_batch, 1e-5, 1e-6));
  CHECK(at::equal(mean(), kept));
  network.set_statistics(Statistics::measured);
  network.forward(images(1));
  const at::Tensor first = mean();
  network.forward(images(2));
  const at::Tensor both = mean();
  network.set_statistics(Statistics::measured);  // anew
  network.forward(images(2));
  CHECK(at::allclose(both, (first + mean()) / 2, 1e-5, 1e-6));
  network.set_statistics(Statistics::running);
  const at::Tensor before = mean();
  network.forward(images(1));
  CHECK(at::equal(mean(), before));
}

TEST_CASE("structure parameters: weights, their entropy, and what adds up to 1") {
  const std::vector<SupernetChoice> choices = {
      {"x", {"p", "q"}, {3}, 7}, {"y", {"p", "q", "r"}, {4}, 7}, {"z", {"p", "q"}, {9}, 9}};
  const StructureParameters apart(choices, {.deviation = 0.0}, Rng(1));
  CHECK(apart.weights().at("x")[0] == Approx(0.5));
  CHECK(apart.weights().at("y")[2] == Approx(1.0 / 3.0));
  CHECK(apart.entropy() == Approx((2 * std::log(2.0) + std::log(3.0)) / 3.0));
  const StructureParameters together(choices, {.deviation = 0.0, .softmax = StructureParameters::Softmax::per_target},
                                     Rng(1));
  CHECK(together.weights().at("x")[0] == Approx(0.2));
  CHECK(together.weights().at("y")[2] == Approx(0.2));
  CHECK(together.weights().at("z")[1] == Approx(0.5));
  CHECK(together.entropy() == Approx((std::log(5.0) + std::log(2.0)) / 2.0));
  const StructureParameters drawn(choices, {.deviation = 2.0}, Rng(1)), same(choices, {.deviation = 2.0}, Rng(1));
  CHECK(drawn.weights() == same.weights());
  CHECK(drawn.weights().at("x")[0] != Approx(0.5));
}

namespace {

// Takes the convolution in the first half of the steps, the pooling after.
class Halves final : public Guide {
 public:
  explicit Halves(Network& network) : network_(network) {}
  void begin(const Updates& rule) override { rule_ = &rule; }
  std::vector<Pass> passes(const Step& step) override {
    if (step.index == step.count / 2) {
      weights = network_.state().at("a conv.weight").clone();
      momentum = rule_->state().at("momentum").clone();
    }
    return {{.gates = {{"layer", {{2 * step.index < step.count ? 2 : 3}}}, {"depth", {{0}}}}}};
  }
  NamedTensors state() override { return {}; }

  at::Tensor weights, momentum;  // when the convolution was taken for the last time

 private:
  Network& network_;
  const Updates* rule_ = nullptr;
};

}  // namespace

TEST_CASE("a path that is not taken keeps its weights, and what is remembered of them, to the bit") {
  Network network(supernet(), Rng(3));
  at::manual_seed(1);
  const Split split{at::randint(0, 256, {40, 3, 8, 8}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast),
                    at::randint(0, 5, {40}, at::kLong)};
  const TrainingData data{split, {}, {{0.5, 0.5, 0.5}, {0.3, 0.3, 0.3}}};
  const at::Tensor never = network.state().at("b conv.weight").clone();
  Halves guide(network);
  const at::Tensor before = network.state().at("a conv.weight").clone();
  train(network, data, steady_recipe(1, 5), Rng(5), {.guide = &guide});
  CHECK_FALSE(at::equal(guide.weights, before));
  CHECK(at::equal(network.state().at("a conv.weight"), guide.weights));
  CHECK(at::equal(network.state().at("b conv.weight"), never));
  CHECK(guide.momentum.abs().sum().item<double>() > 0.0);
}
