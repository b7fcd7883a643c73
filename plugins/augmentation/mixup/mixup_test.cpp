#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "beta.hpp"
#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;

namespace {

weft::Batch mixed(const weft::Json& args, std::int64_t examples, std::uint64_t seed) {
  const at::Tensor labels = at::arange(examples);
  const at::Tensor images = labels.to(at::kFloat).view({-1, 1, 1, 1}).expand({examples, 4, 3, 2}).contiguous();
  weft::Batch batch{images.permute({0, 3, 1, 2}), labels};
  weft::Rng rng(seed);
  augmentation_of(Plugin::open("augmentation", "mixup"), args)->normalised(batch, rng);
  return batch;
}

}  // namespace

TEST_CASE("mixup keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "mixup"), {{"alpha", 0.2}});
  check_augmentation(Plugin::open("augmentation", "mixup"), {{"per_example", true}});
}

TEST_CASE("mixup mixes pictures by the shares of their labels, partners by a permutation") {
  const bool per_example = GENERATE(false, true);
  const weft::Batch batch = mixed({{"per_example", per_example}}, 50, 3);
  const at::Tensor wanted = batch.share * batch.labels + (1.0 - batch.share) * batch.mixed_labels;
  CHECK(batch.images.allclose(wanted.view({-1, 1, 1, 1}).expand_as(batch.images), 1e-5, 1e-5));
  CHECK(std::get<0>(batch.mixed_labels.sort()).equal(batch.labels));
  CHECK_FALSE(batch.mixed_labels.equal(batch.labels));
  CHECK(batch.share.eq(batch.share[0]).all().item<bool>() != per_example);
  CHECK_FALSE(mixed({}, 50, 4).share[0].equal(mixed({}, 50, 3).share[0]));
}

TEST_CASE("shares of mixup are of the beta distribution, however small alpha is") {
  const double alpha = GENERATE(0.001, 0.2, 1.0, 3.0);
  weft::Rng rng(7);
  double sum = 0.0, squares = 0.0, fourths = 0.0;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const double share = weft::symmetric_beta(rng, alpha);
    REQUIRE((share >= 0.0 && share <= 1.0));
    const double square = (share - 0.5) * (share - 0.5);
    sum += share;
    squares += square;
    fourths += square * square;
  }
  const double variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
  CHECK(std::abs(sum / draws - 0.5) < 5.0 * std::sqrt(variance / draws));
  const double spread = fourths / draws - std::pow(squares / draws, 2);
  CHECK(std::abs(squares / draws - variance) < 5.0 * std::sqrt(spread / draws) + 1e-6);
}

TEST_CASE("mixup refuses examples that are mixed already") {
  weft::Batch batch = mixed({}, 4, 1);
  weft::Rng rng(1);
  CHECK_THROWS_WITH(augmentation_of(Plugin::open("augmentation", "mixup"))->normalised(batch, rng),
                    ContainsSubstring("list mixup once"));
}
