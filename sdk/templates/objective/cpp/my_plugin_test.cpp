#include "weft/testing/catch.hpp"
#include "weft/testing/objective_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of objectives") { check_objective(Plugin::open("objective", "my_plugin")); }

TEST_CASE("counts the longest path of a network worked out by hand") {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::image(3, 8, 8));
  const NodeId stem = blocks::conv_bn_relu(graph, input, blocks::Convolution::square(4, 3));
  const NodeId longer = blocks::conv_bn_relu(graph, stem, blocks::Convolution::square(4, 3));
  const NodeId sum = graph.add("add", {}, {stem, longer});
  const Candidate candidate{std::move(graph).build(blocks::classifier(graph, sum, 10))};
  const Instance instance(Plugin::open("objective", "my_plugin"), {});
  // Two convolutions and the classifier.
  CHECK(ObjectiveRef(instance.handle()).before(candidate.to_json().dump()) == 3.0);
}
