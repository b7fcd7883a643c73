// Channel shuffle as it is computed: six channels in three groups, by hand.

#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/module_contract.hpp"

namespace {

using weft::Shape;
using weft::testing::Plugin;

}  // namespace

TEST_CASE("module channel_shuffle keeps the contract") {
  for (const int groups : {1, 3, 12})
    weft::testing::check_module(Plugin::open("operation", "channel_shuffle"), Plugin::open("module", "channel_shuffle"),
                                {{"groups", groups}}, {Shape::image(12, 4, 5)});
}

TEST_CASE("module channel_shuffle takes the first channel of each group, then the second") {
  weft::Network network =
      weft::testing::network_of(Plugin::open("operation", "channel_shuffle"), Plugin::open("module", "channel_shuffle"),
                                {{"groups", 3}}, {Shape::image(6, 1, 1)});
  const at::Tensor channels = at::arange(6, at::kFloat).view({1, 6, 1, 1});
  const at::Tensor shuffled = network.forward(channels).logits.flatten();
  CHECK(at::equal(shuffled, at::tensor({0.0f, 2.0f, 4.0f, 1.0f, 3.0f, 5.0f})));
}
