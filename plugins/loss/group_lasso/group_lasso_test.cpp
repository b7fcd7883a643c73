// Group lasso: by hand on one learned group convolution, with dropped inputs, and over when condensing is.

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/loss_contract.hpp"

namespace {

using weft::testing::Plugin;

}  // namespace

TEST_CASE("loss group_lasso says nothing of a network without learned groups") {
  const auto loss = weft::testing::ingredient_of<weft::Loss>(Plugin::open("loss", "group_lasso"));
  CHECK_FALSE(weft::testing::LossBench(5).loss(*loss, at::zeros({8, 5}), at::zeros({8}, at::kLong)).defined());
  CHECK(loss->is_penalty());
}

TEST_CASE("loss group_lasso is the sum of the norms from each input to each group, until the last dropping") {
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::image(4, 2, 2));
  const weft::NodeId node =
      graph.add("learned_group_conv", {{"channels", 4}, {"groups", 2}, {"condensation", 4}}, {input});
  weft::Network network(std::move(graph).build(node), weft::Rng(1));
  const std::string name = network.architecture().node(node).name;
  at::Tensor weight = network.state().at(name + ".weight"), mask = network.state().at(name + ".mask");
  {
    const at::NoGradGuard no_grad;
    // Filters 0 and 2 are of group 0, 1 and 3 of group 1.
    weight.copy_(at::tensor({3, 0, 0, 1, /**/ 1, 2, 0, 0, /**/ 4, 0, 0, 0, /**/ 0, 2, 1, 0}).view({4, 4, 1, 1}));
    mask.select(1, 3).zero_();  // the last input was dropped
  }
  const auto loss = weft::testing::ingredient_of<weft::Loss>(Plugin::open("loss", "group_lasso"), {{"weight", 0.1}});
  const weft::Batch batch{at::zeros({1, 4, 2, 2}), at::zeros({1}, at::kLong)};
  const weft::Network::Output output{at::zeros({1, 4}), {}, {}};
  const at::Tensor value = loss->loss({network, batch, output, 0.49});
  CHECK(value.item<double>() == Approx(0.1 * (5.0 + 1.0 + std::sqrt(8.0) + 1.0)));
  value.backward();
  const at::Tensor gradient = network.named_parameters()[name + ".weight"].grad();
  REQUIRE(gradient.isfinite().all().item<bool>());
  CHECK(gradient[0][0].item<double>() == Approx(0.1 * 3.0 / 5.0));
  CHECK(gradient.select(1, 3).abs().max().item<double>() == 0.0);
  CHECK_FALSE(loss->loss({network, batch, output, 0.5}).defined());

  // Whatever the batch is, in which it differs from what learns from examples; beside that it is added.
  const weft::Batch others{at::ones({3, 4, 2, 2}), at::zeros({3}, at::kLong)};
  CHECK(loss->loss({network, others, {at::ones({3, 4}), {}, {}}, 0.0}).item<double>() == value.item<double>());
  const auto both = [&](double progress) {
    const std::vector<std::shared_ptr<const weft::Loss>> losses = {std::make_shared<weft::CrossEntropy>(), loss};
    return weft::training_loss({network, batch, output, progress}, losses).item<double>();
  };
  CHECK(both(0.49) == Approx(std::log(4.0) + value.item<double>()));
  CHECK(both(0.5) == Approx(std::log(4.0)));
}
