// He's initialisation: the variance of the weights is 2 / fan in, or 2 / fan out.

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/initialisation_contract.hpp"
#include "weft/torch/network.hpp"

namespace {

using weft::testing::initialisation_of;
using weft::testing::Plugin;
using weft::testing::weight_of;

}  // namespace

TEST_CASE("initialisation he keeps the contract") {
  for (const char* fan : {"in", "out"})
    weft::testing::check_initialisation(Plugin::open("initialisation", "he"), {{"fan", fan}});
}

TEST_CASE("initialisation he has the variances of He's equations 10 and 14") {
  for (const char* distribution : {"uniform", "normal"}) {
    for (const auto& [fan, size] : {std::pair("in", 288), std::pair("out", 576)}) {
      INFO(distribution << ", " << fan);
      const auto initialisation =
          initialisation_of(Plugin::open("initialisation", "he"), {{"distribution", distribution}, {"fan", fan}});
      CHECK(weight_of(*initialisation, {64, 32, 3, 3}).var().item<double>() == Approx(2.0 / size).epsilon(0.03));
    }
  }
}

TEST_CASE("initialisation he begins with biases of 0, and learned groups with all their inputs") {
  const auto he = initialisation_of(Plugin::open("initialisation", "he"));
  at::Tensor bias = at::ones({64});
  he->bias(bias, {288, 576}, at::Generator());
  CHECK(at::equal(bias, at::zeros({64})));

  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::image(64, 4, 4));
  const weft::NodeId node =
      graph.add("learned_group_conv", {{"channels", 64}, {"groups", 4}, {"condensation", 4}}, {input}, "learned");
  weft::Network network(std::move(graph).build(node), weft::Rng(1));
  const at::Tensor drawn = network.state().at("learned.weight").clone();
  weft::initialise(network, *he, weft::Rng(1));
  const at::Tensor weight = network.state().at("learned.weight");
  CHECK_FALSE(at::equal(weight, drawn));
  CHECK(weight.var().item<double>() == Approx(2.0 / 64).epsilon(0.05));
}
