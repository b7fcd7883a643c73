// Cross-entropy: by hand, with smoothing, of mixed examples, and with an auxiliary classifier.

#include <ATen/ATen.h>

#include <cmath>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/loss_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Plugin;

const Plugin& plugin() {
  static const Plugin opened = Plugin::open("loss", "cross_entropy");
  return opened;
}

// -log softmax of (0, log 3): the probabilities are 1/4 and 3/4.
const double rare = std::log(4.0), likely = std::log(4.0 / 3.0);
at::Tensor logits() { return at::tensor({0.0f, std::log(3.0f)}).view({1, 2}); }
at::Tensor first() { return at::zeros({1}, at::kLong); }

double value(const Json& args) { return weft::testing::loss_of(plugin(), args, logits(), first()); }

}  // namespace

TEST_CASE("loss cross_entropy keeps the contract") { weft::testing::check_loss(plugin()); }

TEST_CASE("loss cross_entropy: smoothing spreads its share over all classes, a weight multiplies") {
  CHECK(value(Json::object()) == Approx(rare));
  CHECK(value({{"label_smoothing", 0.2}}) == Approx(0.9 * rare + 0.1 * likely));
  CHECK(value({{"cross_entropy_weight", 0.25}}) == Approx(0.25 * rare));
}

TEST_CASE("loss cross_entropy: of mixed examples, and of an auxiliary classifier") {
  const auto loss =
      weft::testing::ingredient_of<weft::Loss>(plugin(), {{"auxiliary_weight", 0.5}, {"label_smoothing", 0.0}});
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::features(2));
  weft::Network network(std::move(graph).build(graph.add("linear", {{"features", 2}}, {input})), weft::Rng(1));
  const weft::Batch mixed{at::zeros({1, 2}), first(), at::ones({1}, at::kLong), at::full({1}, 0.75f)};
  const double of_mixed = 0.75 * rare + 0.25 * likely;
  CHECK(loss->loss({network, mixed, {logits(), {}, {}}, 0.0}).item<double>() == Approx(of_mixed));
  CHECK(loss->loss({network, mixed, {logits(), logits(), {}}, 0.0}).item<double>() == Approx(1.5 * of_mixed));
}
