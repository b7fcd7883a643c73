#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of augmentations") { check_augmentation(Plugin::open("augmentation", "my_plugin")); }

TEST_CASE("hides one row of each picture, or none") {
  const at::Tensor images = at::full({50, 6, 4, 1}, 200, at::kByte), mean = at::full({1}, 7, at::kByte);
  const auto hidden_rows = [&](double probability) {
    const auto augmentation = augmentation_of(Plugin::open("augmentation", "my_plugin"), {{"probability", probability}});
    Rng rng(1);
    return augmentation->pixels(images.clone(), mean, rng).eq(7).all(2).sum(1).flatten();  // by picture
  };
  CHECK(at::equal(hidden_rows(1.0), at::ones({50}, at::kLong)));
  CHECK(at::equal(hidden_rows(0.0), at::zeros({50}, at::kLong)));
}
