// PyTorch's default initialisation is the one that modules draw by themselves.

#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/initialisation_contract.hpp"
#include "weft/torch/network.hpp"

namespace {

using weft::testing::Plugin;

}  // namespace

TEST_CASE("initialisation pytorch keeps the contract") {
  weft::testing::check_initialisation(Plugin::open("initialisation", "pytorch"));
}

TEST_CASE("initialisation pytorch leaves a network as it was made") {
  weft::ArchitectureBuilder graph;
  weft::NodeId at = graph.input(weft::Shape::image(3, 8, 8));
  at = graph.add("conv2d", {{"channels", 8}, {"kernel", 3}, {"bias", true}}, {at});
  at = graph.add("conv2d", {{"channels", 8}, {"kernel", 3}, {"groups", 4}}, {at});
  at = graph.add("linear", {{"features", 5}}, {graph.add("global_avg_pool", {}, {at})});
  const weft::Architecture architecture = std::move(graph).build(at);
  weft::Network network(architecture, weft::Rng(7)), as_made(architecture, weft::Rng(7));
  const auto initialisation = weft::testing::initialisation_of(Plugin::open("initialisation", "pytorch"));
  weft::initialise(network, *initialisation, weft::Rng(7));
  for (const auto& [name, tensor] : as_made.state()) {
    INFO(name);
    CHECK(at::equal(network.state().at(name), tensor));
  }
}
