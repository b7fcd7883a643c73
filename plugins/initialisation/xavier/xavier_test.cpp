// Xavier's initialisation: the variance of the weights is 2 / (fan in + fan out).

#include <ATen/ATen.h>

#include <cmath>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/initialisation_contract.hpp"
#include "weft/torch/network.hpp"

namespace {

using weft::testing::initialisation_of;
using weft::testing::Plugin;
using weft::testing::weight_of;

}  // namespace

TEST_CASE("initialisation xavier keeps the contract") {
  for (const char* distribution : {"uniform", "normal"})
    weft::testing::check_initialisation(Plugin::open("initialisation", "xavier"), {{"distribution", distribution}});
}

TEST_CASE("initialisation xavier has the variance of Glorot and Bengio's equation 16, within its bound") {
  for (const char* distribution : {"uniform", "normal"}) {
    INFO(distribution);
    const auto initialisation =
        initialisation_of(Plugin::open("initialisation", "xavier"), {{"distribution", distribution}, {"gain", 2}});
    const at::Tensor weight = weight_of(*initialisation, {64, 32, 3, 3});  // fan in 288, fan out 576
    CHECK(weight.var().item<double>() == Approx(4.0 * 2.0 / (288 + 576)).epsilon(0.03));
    if (std::string(distribution) == "uniform")
      CHECK(weight.abs().max().item<double>() <= 2.0 * std::sqrt(6.0 / (288 + 576)) * (1 + 1e-6));
  }
  at::Tensor bias = at::ones({64});
  initialisation_of(Plugin::open("initialisation", "xavier"))->bias(bias, {288, 576}, at::Generator());
  CHECK(at::equal(bias, at::zeros({64})));
}

// Each output reads the 8 inputs of its group, and each input reaches the 16 outputs of its.
TEST_CASE("initialisation xavier of a group convolution goes by the fans within a group") {
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::image(32, 8, 8));
  const weft::NodeId node = graph.add("conv2d", {{"channels", 64}, {"kernel", 3}, {"groups", 4}}, {input}, "grouped");
  weft::Network network(std::move(graph).build(node), weft::Rng(1));
  weft::initialise(network, *initialisation_of(Plugin::open("initialisation", "xavier")), weft::Rng(1));
  const double bound = std::sqrt(6.0 / (8 * 9 + 16 * 9));
  const double largest = network.state().at("grouped.weight").abs().max().item<double>();
  CHECK(largest <= bound * (1 + 1e-6));
  CHECK(largest > 0.99 * bound);
}
