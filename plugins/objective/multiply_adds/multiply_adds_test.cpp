#include "tests/catch.hpp"
#include "weft/testing/objective_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("multiply_adds keeps the contract of objectives") {
  check_objective(Plugin::open("objective", "multiply_adds"));
}

TEST_CASE("multiply_adds counts a network worked out by hand, without its auxiliary classifier") {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::image(3, 8, 8));
  const NodeId hidden = blocks::conv_bn_relu(graph, input, blocks::Convolution::square(4, 3));
  const NodeId extra = blocks::classifier(graph, hidden, 7);
  const Candidate candidate{std::move(graph).build(blocks::classifier(graph, hidden, 10), extra)};
  const Instance instance(Plugin::open("objective", "multiply_adds"), {});
  const ObjectiveRef objective(instance.handle());
  CHECK(objective.direction() == Direction::minimize);
  // 4*3*9 weights at 8*8 places, 4*10 of the classifier.
  CHECK(objective.before(candidate.to_json().dump()) == 108 * 64 + 40);
}
