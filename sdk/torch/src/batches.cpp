#include "weft/torch/batches.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace weft {

namespace {

// What is drawn for each example: rows of EpochBatches::drawn_. What is switched off stays 0.
enum Drawn : std::int64_t { example, crop_y, crop_x, flipped, hidden_y, hidden_x, draws };

std::vector<std::int64_t> batch_sizes(std::int64_t examples, std::int64_t batch_size) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(examples / batch_size), batch_size);
  const std::int64_t rest = examples % batch_size;
  if (rest > 1) sizes.push_back(rest);
  return sizes;
}

}  // namespace

Batches::Batches(const Split& split, const Normalisation& normalisation, c10::Device device)
    : pixels_(split.images.permute({0, 2, 3, 1}).contiguous().to(device)), labels_(split.labels.to(device)) {
  const at::Tensor deviation = at::tensor(normalisation.standard_deviation, at::kDouble);
  // Of a whole image's size: broadcasting over the channels alone, the innermost and few, takes ten times as long.
  const auto whole = [&](const at::Tensor& channel) {
    return channel.to(device, at::kFloat).repeat(pixels_.size(1) * pixels_.size(2));
  };
  scale_ = whole(1.0 / (255.0 * deviation));
  mean_ = (255.0 * at::tensor(normalisation.mean, at::kDouble)).round().to(device, at::kByte);
  shift_ = whole(-at::tensor(normalisation.mean, at::kDouble) / deviation);
}

Batch Batches::plain(std::int64_t first, std::int64_t count) const {
  return {normalised(pixels_.narrow(0, first, count)).permute({0, 3, 1, 2}), labels_.narrow(0, first, count)};
}

at::Tensor Batches::normalised(const at::Tensor& pixels) const {
  return pixels.flatten(1).to(at::kFloat).mul_(scale_).add_(shift_).view(pixels.sizes());
}

EpochBatches::EpochBatches(const Batches& batches, std::int64_t batch_size, const Augmentations& augmentation,
                           const Rng& rng, double progress)
    : batches_(batches),
      batch_size_(batch_size),
      augmentation_(augmentation),
      rng_(rng),
      sizes_(batch_sizes(batches.examples(), batch_size)) {
  for (const auto& other : augmentation.others) others_.push_back(&other->during(progress));
  at::Tensor drawn = at::zeros({draws, batches.examples()}, at::kLong);
  const auto row = [&](Drawn which) { return drawn.data_ptr<std::int64_t>() + which * drawn.size(1); };
  std::vector<std::int64_t> order(static_cast<std::size_t>(batches.examples()));
  std::iota(order.begin(), order.end(), 0);
  Rng orders = rng.derive("order");
  orders.shuffle(order);
  std::copy(order.begin(), order.end(), row(example));

  // Batch by batch, so that what a batch is does not depend on how many follow it.
  Rng draws_of = rng.derive("augmentation");
  std::int64_t first = 0;
  for (const std::int64_t size : sizes_) {
    const auto draw = [&](Drawn which, std::int64_t count) {
      std::generate_n(row(which) + first, size,
                      [&] { return static_cast<std::int64_t>(draws_of.below(static_cast<std::size_t>(count))); });
    };
    if (augmentation.crop_padding > 0) {
      draw(crop_y, 2 * augmentation.crop_padding + 1);
      draw(crop_x, 2 * augmentation.crop_padding + 1);
    }
    if (augmentation.flip) draw(flipped, 2);
    if (augmentation.cutout > 0) {
      draw(hidden_y, batches.pixels_.size(1));
      draw(hidden_x, batches.pixels_.size(2));
    }
    first += size;
  }
  drawn_ = drawn.to(batches.pixels_.device());
}

Batch EpochBatches::batch(std::size_t index) const {
  const at::Tensor drawn = drawn_.narrow(1, static_cast<std::int64_t>(index) * batch_size_, sizes_.at(index));
  at::Tensor images = batches_.pixels_.index_select(0, drawn[example]);
  std::vector<Rng> streams;
  for (std::size_t i = 0; i < others_.size(); ++i) {
    streams.push_back(rng_.derive("augmentation " + std::to_string(i), index));
    images = others_[i]->pixels(std::move(images), batches_.mean_, streams[i]);
  }
  if (augmentation_.crop_padding > 0) images = crop(images, augmentation_.crop_padding, drawn[crop_y], drawn[crop_x]);
  if (augmentation_.flip) images = flip(images, drawn[flipped]);
  images = batches_.normalised(images);
  if (augmentation_.cutout > 0) cut_out(images, augmentation_.cutout, drawn[hidden_y], drawn[hidden_x]);
  Batch batch{images.permute({0, 3, 1, 2}), batches_.labels_.index_select(0, drawn[example])};
  for (std::size_t i = 0; i < others_.size(); ++i) others_[i]->normalised(batch, streams[i]);
  return batch;
}

}  // namespace weft
