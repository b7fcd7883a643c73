#include "weft/testing/catch.hpp"
#include "weft/testing/operation_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of operations") {
  check_operation(Plugin::open("operation", "my_plugin"), {{"scale", 2}}, {Shape::image(3, 4, 4)});
}

TEST_CASE("keeps the shape, and has no parameters") {
  const Node node = inferred(Plugin::open("operation", "my_plugin"), Json::object(), {Shape::features(7)});
  CHECK(node.shape == Shape::features(7));
  CHECK(node.cost.parameters == 0);
}
