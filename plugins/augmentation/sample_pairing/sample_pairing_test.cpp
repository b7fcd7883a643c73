#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;

TEST_CASE("sample_pairing keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "sample_pairing"), {{"from", 0.2}});
}

TEST_CASE("sample_pairing takes the mean with another picture and leaves labels alone") {
  const at::Tensor labels = at::arange(20);
  const at::Tensor images = labels.to(at::kFloat).view({-1, 1, 1, 1}).expand({20, 4, 3, 2}).contiguous();
  weft::Batch batch{images.permute({0, 3, 1, 2}), labels};
  weft::Rng rng(1);
  augmentation_of(Plugin::open("augmentation", "sample_pairing"))->normalised(batch, rng);
  const at::Tensor other = 2.0 * batch.images.select(1, 0).select(1, 0).select(1, 0) - labels;
  CHECK(batch.images.eq(batch.images.select(1, 0).select(1, 0).select(1, 0).view({-1, 1, 1, 1})).all().item<bool>());
  CHECK(other.eq(other.round()).all().item<bool>());
  CHECK((other.min().item<double>() >= 0.0 && other.max().item<double>() <= 19.0));
  CHECK_FALSE(other.eq(labels).any().item<bool>());
  CHECK_FALSE(batch.share.defined());
}

TEST_CASE("sample_pairing begins, pauses and ends where it is told") {
  const auto pairing = augmentation_of(Plugin::open("augmentation", "sample_pairing"),
                                       {{"from", 0.1}, {"until", 0.8}, {"period", 0.1}, {"on", 0.8}});
  std::string on;
  for (int epoch = 0; epoch < 100; ++epoch) on += &pairing->during(epoch / 100.0) == pairing.get() ? '1' : '0';
  std::string wanted(10, '0');
  for (int period = 0; period < 7; ++period) wanted += "1111111100";
  CHECK(on == wanted + std::string(20, '0'));
}

TEST_CASE("sample_pairing takes up the whole training by itself, and refuses times that say nothing") {
  const Plugin plugin = Plugin::open("augmentation", "sample_pairing");
  const auto always = augmentation_of(plugin), periods = augmentation_of(plugin, {{"period", 0.1}});
  for (const double progress : {0.0, 0.05, 0.0999, 0.5, 0.99}) {
    CHECK(&always->during(progress) == always.get());
    CHECK(&periods->during(progress) == periods.get());
  }
  CHECK_THROWS_WITH(augmentation_of(plugin, {{"from", 0.5}, {"until", 0.4}}),
                    ContainsSubstring("/from is 0.5; must not exceed /until, 0.4"));
  CHECK_THROWS_WITH(augmentation_of(plugin, {{"on", 0.8}}),
                    ContainsSubstring("/on is 0.8, a share of a period, but /period is 0"));
}
