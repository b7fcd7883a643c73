#include "weft/testing/catch.hpp"
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of spaces") { check_space(Plugin::open("space", "my_plugin")); }

TEST_CASE("decodes a network worked out by hand") {
  const Json task = {{"input", {1, 8, 8}}, {"classes", 10}};
  const Instance instance(Plugin::open("space", "my_plugin"), {{"layers", 1}}, {.study = {{"task", task}}});
  const SpaceRef space(instance.handle());
  // 8 channels, kernel 3: 8*1*9 weights, 2*8 of the norm, 8*10+10 of the classifier.
  CHECK(space.decode(Genotype({0, 1})).architecture.cost().parameters == 72 + 16 + 90);
}
