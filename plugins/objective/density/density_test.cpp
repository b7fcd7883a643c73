#include "tests/catch.hpp"
#include "weft/testing/objective_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// A stem, and a block of layers a and b, which read the input; sum, which adds both; c, which reads a; and the output,
// which reads sum and c.
Candidate block_of_five() {
  ArchitectureBuilder graph;
  NodeId x = graph.input(Shape::image(3, 8, 8));
  const auto layer = [&](const std::string& name, NodeId from) {
    const auto group = graph.group(name);
    return blocks::conv_bn_relu(graph, from, blocks::Convolution::square(4, 3));
  };
  x = layer("stem", x);
  NodeId out;
  {
    const auto block = graph.group("block 1");
    const NodeId a = layer("layer 1", x);
    const NodeId b = layer("layer 2", x);
    const NodeId sum = graph.add("add", {}, {a, b});
    const NodeId c = layer("layer 10", a);
    const auto output = graph.group("output");
    out = graph.add("concat", {}, {sum, c});
  }
  out = layer("block 10", out);
  return {std::move(graph).build(blocks::classifier(graph, out, 10))};
}

std::optional<double> density(const Json& args) {
  const Instance instance(Plugin::open("objective", "density"), args);
  return ObjectiveRef(instance.handle()).before(block_of_five().to_json().dump());
}

}  // namespace

TEST_CASE("density keeps the contract of objectives") { check_objective(Plugin::open("objective", "density")); }

TEST_CASE("density counts the layers of a block and their connections, whatever they are made of") {
  // Input, a, b, sum, c, output; input-a, input-b, a-sum, b-sum, a-c, sum-output, c-output.
  CHECK(density({{"group", "block 1"}}) == 7.0 / 6.0);
}

TEST_CASE("density says which group it misses") {
  CHECK_THROWS_WITH(density({{"group", "block 7"}}), ContainsSubstring("no group \"block 7\""));
}
