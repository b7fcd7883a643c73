#include <ATen/ATen.h>

#include <set>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;

TEST_CASE("crop keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "crop"), {{"padding", 2}});
}

TEST_CASE("crop takes every window of a picture with black around it") {
  const at::Tensor image = at::arange(1, 1 + 2 * 3 * 3, at::kByte).view({2, 3, 3});
  const at::Tensor padded = at::constant_pad_nd(image, {0, 0, 1, 1, 1, 1}), mean = at::zeros({3}, at::kByte);
  const auto crop = augmentation_of(Plugin::open("augmentation", "crop"), {{"padding", 1}});
  weft::Rng rng(1);
  const at::Tensor after = crop->pixels(image.repeat({300, 1, 1, 1}), mean, rng);
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < 300; ++i) {
    std::int64_t window = -1;
    for (std::int64_t at = 0; at < 9; ++at) {
      if (after[i].equal(padded.narrow(0, at / 3, 2).narrow(1, at % 3, 3))) window = at;
    }
    seen.insert(window);
  }
  CHECK(seen == std::set<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
  const auto none = augmentation_of(Plugin::open("augmentation", "crop"), {{"padding", 0}});
  CHECK(none->pixels(image.unsqueeze(0), mean, rng).equal(image.unsqueeze(0)));
}
