#include <ATen/ATen.h>

#include <cmath>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;

TEST_CASE("flip keeps the contract of augmentations") { check_augmentation(Plugin::open("augmentation", "flip")); }

TEST_CASE("flip mirrors as often as its probability says") {
  const at::Tensor images = at::arange(12, at::kByte).view({1, 2, 2, 3}).repeat({1000, 1, 1, 1});
  const auto mirrored = [&](double probability) {
    weft::Rng rng(1);
    const auto flip = augmentation_of(Plugin::open("augmentation", "flip"), {{"probability", probability}});
    const at::Tensor after = flip->pixels(images.clone(), at::zeros({3}, at::kByte), rng);
    const auto like = [&](const at::Tensor& wanted) { return after.eq(wanted).flatten(1).all(1).sum().item<int>(); };
    REQUIRE(like(images) + like(images.flip(2)) == 1000);
    return like(images.flip(2));
  };
  CHECK(mirrored(0.0) == 0);
  CHECK(mirrored(1.0) == 1000);
  CHECK(std::abs(mirrored(0.3) - 300) < 5 * std::sqrt(1000 * 0.3 * 0.7));
}
