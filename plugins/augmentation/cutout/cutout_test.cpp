#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;

TEST_CASE("cutout keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "cutout"), {{"side", 4}});
}

TEST_CASE("cutout sets a square around any pixel to 0 after normalisation") {
  const at::Tensor ones = at::ones({800, 6, 9, 3}).permute({0, 3, 1, 2});
  const auto hidden = [&](std::int64_t side) {
    weft::Batch batch{ones.clone(), at::zeros({800}, at::kLong)};
    weft::Rng rng(1);
    augmentation_of(Plugin::open("augmentation", "cutout"), {{"side", side}})->normalised(batch, rng);
    REQUIRE(batch.images.select(1, 0).equal(batch.images.select(1, 2)));
    return batch.images.select(1, 0).eq(0.0);
  };
  const at::Tensor four = hidden(4), rows = four.any(2).sum(1), columns = four.any(1).sum(1);
  CHECK(four.sum({1, 2}).equal(rows * columns));
  CHECK(rows.max().item<int>() == 4);
  CHECK(rows.min().item<int>() == 2);
  CHECK(rows.to(at::kDouble).mean().item<double>() == Approx(20.0 / 6.0).margin(0.15));  // 2, 3, 4, 4, 4, 3
  CHECK_FALSE(hidden(0).any().item<bool>());
  CHECK(hidden(100).all().item<bool>());
}
