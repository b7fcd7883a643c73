#include "weft/testing/catch.hpp"
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

const Json study = {{"task", {{"input", {1, 8, 8}}, {"classes", 10}}}};

}  // namespace

TEST_CASE("staged_convnet keeps the contract of spaces") {
  check_space(Plugin::open("space", "staged_convnet"), {{"channels", {4, 8}}}, study);
}

TEST_CASE("staged_convnet: a network worked out by hand") {
  const Instance instance(Plugin::open("space", "staged_convnet"), {{"stages", 2}}, {.study = study});
  const SpaceRef space(instance.handle());
  const Architecture network = space.decode(space.parse("1x8k3-2x16k5s")).architecture;
  // A convolution without bias, 2 parameters per channel of its batch norm; a linear classifier with bias.
  const int first = 3 * 3 * 1 * 8 + 2 * 8;
  const int second = (5 * 5 * 8 + 8 * 16 + 2 * 16) + (5 * 5 * 16 + 16 * 16 + 2 * 16);
  CHECK(network.cost().parameters == first + second + 16 * 10 + 10);
  // 8 x 8 in the first stage, 4 x 4 in the second.
  const int convolutions = 64 * (9 * 8) + 16 * (25 * 8 + 8 * 16 + 25 * 16 + 16 * 16);
  CHECK(network.cost().multiply_adds == convolutions + 16 * 10);
}

TEST_CASE("staged_convnet: a notation that is not of this space is refused with its place") {
  const Instance instance(Plugin::open("space", "staged_convnet"), {{"stages", 2}}, {.study = study});
  const SpaceRef space(instance.handle());
  CHECK(space.notation(space.parse("3x64k5s-1x8k3")) == "3x64k5s-1x8k3");
  CHECK_THROWS_WITH(space.parse("1x9k3-1x8k3"), ContainsSubstring("expected channels that the space offers"));
  CHECK_THROWS_WITH(space.parse("1x8k3"), ContainsSubstring("position 5: expected \"-\", found the end"));
}
