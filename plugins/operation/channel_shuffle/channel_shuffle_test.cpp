// Channel shuffle's rule: shapes stay, groups divide the channels.

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/operation_contract.hpp"

namespace {

using weft::Shape;
using weft::testing::Plugin;

const Plugin& plugin() {
  static const Plugin opened = Plugin::open("operation", "channel_shuffle");
  return opened;
}

}  // namespace

TEST_CASE("operation channel_shuffle keeps the contract") {
  weft::testing::check_operation(plugin(), {{"groups", 3}}, {Shape::image(12, 4, 5)});
}

TEST_CASE("operation channel_shuffle refuses groups that do not divide the channels, and what is no image") {
  CHECK_THROWS_WITH(weft::testing::inferred(plugin(), {{"groups", 5}}, {Shape::image(12, 4, 5)}),
                    Catch::Contains("divides 12 channels, not 5"));
  CHECK_THROWS_WITH(weft::testing::inferred(plugin(), {{"groups", 3}}, {Shape::features(12)}),
                    Catch::Contains("needs an image"));
}
