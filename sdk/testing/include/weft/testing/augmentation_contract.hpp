// The contract suite of augmentations: what every plugin of kind `augmentation` must do, whatever it changes.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/augmentation_contract.hpp"
#endif

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "weft/testing/library.hpp"
#include "weft/torch/augmentation.hpp"

namespace weft::testing {

// An instance of the plugin; it lives as long as what is returned.
inline std::shared_ptr<const Augmentation> augmentation_of(const Plugin& plugin, const Json& args = Json::object()) {
  return ingredient_of<Augmentation>(plugin, args);
}

namespace augmentation_contract {

// What has become of a batch that passed through it alone.
struct Passed {
  at::Tensor pixels;  // after the first half
  Batch batch;        // after both
};

// `images` uint8, [examples, height, width, channels]; example i has the label i.
inline Passed pass(const Augmentation& augmentation, const at::Tensor& images, std::uint64_t seed) {
  at::manual_seed(static_cast<std::uint64_t>(at::randint(1000, {1}, at::kLong).item<std::int64_t>()));  // of no account
  Rng rng(seed);
  const at::Tensor mean = at::arange(images.size(3), images.options()).mul_(20).add_(100), known = mean.clone();
  const at::Tensor pixels = augmentation.pixels(images.clone(), mean, rng);
  REQUIRE(mean.equal(known));
  Batch batch{pixels.to(at::kFloat).div_(64.0).sub_(2.0).permute({0, 3, 1, 2}),
              at::arange(images.size(0), at::TensorOptions(at::kLong).device(images.device()))};
  augmentation.normalised(batch, rng);
  return {pixels, batch};
}

inline void require_sound(const Passed& passed, const at::Tensor& images) {
  REQUIRE(passed.pixels.sizes() == images.sizes());
  REQUIRE((passed.pixels.scalar_type() == at::kByte));
  REQUIRE((passed.pixels.device() == images.device()));
  REQUIRE(passed.pixels.is_contiguous());
  const Batch& batch = passed.batch;
  const std::int64_t examples = images.size(0);
  REQUIRE(batch.images.sizes() == images.permute({0, 3, 1, 2}).sizes());
  REQUIRE((batch.images.scalar_type() == at::kFloat));
  REQUIRE(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
  REQUIRE(batch.images.isfinite().all().item<bool>());
  REQUIRE(batch.labels.equal(at::arange(examples, batch.labels.options())));
  REQUIRE(batch.share.defined() == batch.mixed_labels.defined());
  if (!batch.share.defined()) return;
  REQUIRE(batch.share.sizes() == batch.labels.sizes());
  REQUIRE((batch.share.scalar_type() == at::kFloat));
  REQUIRE((batch.share.min().item<double>() >= 0.0 && batch.share.max().item<double>() <= 1.0));
  REQUIRE(batch.mixed_labels.sizes() == batch.labels.sizes());
  REQUIRE((batch.mixed_labels.scalar_type() == at::kLong));
  REQUIRE(
      (batch.mixed_labels.min().item<std::int64_t>() >= 0 && batch.mixed_labels.max().item<std::int64_t>() < examples));
}

inline void require_same(const Passed& a, const Passed& b) {
  REQUIRE(a.pixels.equal(b.pixels));
  REQUIRE(a.batch.images.equal(b.batch.images));
  REQUIRE(a.batch.share.defined() == b.batch.share.defined());
  if (!a.batch.share.defined()) return;
  REQUIRE(a.batch.share.equal(b.batch.share));
  REQUIRE(a.batch.mixed_labels.equal(b.batch.mixed_labels));
}

// Of images on the CPU.
inline void require_same_on_card(const Augmentation& augmentation, const at::Tensor& images, const Passed& passed) {
  if (!at::hasCUDA()) return;
  const at::Tensor there = images.to(c10::Device(c10::kCUDA, 0));
  const Passed on_card = pass(augmentation, there, 3);
  require_sound(on_card, there);
  REQUIRE(on_card.pixels.cpu().equal(passed.pixels));
  REQUIRE(on_card.batch.images.cpu().allclose(passed.batch.images, 1e-5, 1e-5));
}

}  // namespace augmentation_contract

// At the beginning, in the middle and at the end of a training; of grey pictures and of coloured ones, square, wide and
// high; of several and of a single one.
inline void check_augmentation(const Plugin& plugin, const Json& args = Json::object()) {
  using namespace augmentation_contract;
  const auto augmentation = augmentation_of(plugin, args), twin = augmentation_of(plugin, args);
  for (const double progress : {0.0, 0.5, 1.0}) {
    INFO("at progress " << progress << " of the schedule");
    const Augmentation &now = augmentation->during(progress), &too = twin->during(progress);
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{6, 9, 7, 3}, {6, 5, 11, 1}, {5, 8, 8, 3}, {1, 8, 8, 3}, {1, 6, 4, 1}}) {
      INFO("pictures [examples, height, width, channels] " << at::IntArrayRef(sizes));
      const at::Tensor images = at::randint(256, sizes, at::kByte), given = images.clone();
      const Passed passed = pass(now, images, 3);
      require_sound(passed, images);
      const at::Tensor pixels = passed.pixels.clone(), normalised = passed.batch.images.clone();
      INFO("the same of the same random stream, and of nothing else");
      require_same(pass(now, images, 3), passed);
      require_same(pass(too, images, 3), passed);
      pass(now, images, 4);
      INFO("batches have nothing to do with each other");
      REQUIRE(images.equal(given));
      REQUIRE(pixels.equal(passed.pixels));
      REQUIRE(normalised.equal(passed.batch.images));
      require_same_on_card(now, images, passed);
    }
  }
}

}  // namespace weft::testing
