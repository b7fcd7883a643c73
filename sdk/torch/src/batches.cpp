#include "weft/torch/batches.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

namespace weft {

namespace {

// What is drawn for each example: rows of EpochBatches::drawn_. What is switched off stays 0.
enum Drawn : std::int64_t { example, crop_y, crop_x, flipped, hidden_y, hidden_x, draws };

// A window of the images' own size out of the padded images, at an offset of its own for each. A window's row is
// width x channels bytes from any pixel on; all of them are one overlapping view of the padded images, from which each
// image's rows are picked (ten times as fast as picking windows or pixels).
at::Tensor crop(const at::Tensor& images, std::int64_t padding, const at::Tensor& y, const at::Tensor& x) {
  const std::int64_t examples = images.size(0), height = images.size(1), width = images.size(2),
                     channels = images.size(3);
  const at::Tensor padded = at::constant_pad_nd(images, {0, 0, padding, padding, padding, padding});
  const std::int64_t padded_width = padded.size(2), padded_pixels = padded.size(1) * padded_width;
  const at::Tensor corner = at::arange(examples, y.options()).mul_(padded_pixels).add_(y, padded_width).add_(x);
  const at::Tensor row =
      corner.unsqueeze(1).add(at::arange(height, y.options()).mul_(padded_width));  // [examples, height]
  const at::Tensor rows = padded.as_strided({examples * padded_pixels - width + 1, width * channels}, {channels, 1});
  return rows.index_select(0, row.flatten()).view(images.sizes());
}

// Those whose `mirrored` is 1, else 0.
at::Tensor flip(const at::Tensor& images, const at::Tensor& mirrored) {
  const std::int64_t height = images.size(1), width = images.size(2), channels = images.size(3);
  const at::Tensor column = at::arange(width * channels, mirrored.options()).view({width, channels});
  const at::Tensor columns =
      at::stack({column, column.flip(0)}).flatten(1).index_select(0, mirrored);  // [examples, width x channels]
  return images.flatten(2).gather(2, columns.unsqueeze(1).expand({-1, height, -1})).view(images.sizes());
}

// Sets to 0, the mean after normalisation, rows and columns centre - side/2 .. centre - side/2 + side-1 within the
// image, of the centre at (y, x).
void cut_out(at::Tensor& images, std::int64_t side, const at::Tensor& y, const at::Tensor& x) {
  const auto hidden = [&](const at::Tensor& centre, std::int64_t extent) {  // [examples, extent]: 1 where hidden
    const at::Tensor start = centre.sub(side / 2).unsqueeze(1);
    const at::Tensor position = at::arange(extent, start.options());
    return position.ge(start).logical_and_(position.lt(start + side)).to(at::kFloat);
  };
  const at::Tensor rows = hidden(y, images.size(1)),
                   columns = hidden(x, images.size(2)).repeat_interleave(images.size(3), 1);
  images.flatten(2).mul_(rows.unsqueeze(2).mul(columns.unsqueeze(1)).neg_().add_(1.0));
}

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
  shift_ = whole(-at::tensor(normalisation.mean, at::kDouble) / deviation);
}

Batch Batches::plain(std::int64_t first, std::int64_t count) const {
  return {normalised(pixels_.narrow(0, first, count)).permute({0, 3, 1, 2}), labels_.narrow(0, first, count)};
}

at::Tensor Batches::normalised(const at::Tensor& pixels) const {
  return pixels.flatten(1).to(at::kFloat).mul_(scale_).add_(shift_).view(pixels.sizes());
}

EpochBatches::EpochBatches(const Batches& batches, std::int64_t batch_size, const Augmentation& augmentation,
                           const Rng& rng)
    : batches_(batches),
      batch_size_(batch_size),
      augmentation_(augmentation),
      sizes_(batch_sizes(batches.examples(), batch_size)) {
  at::Tensor drawn = at::zeros({draws, batches.examples()}, at::kLong);
  const auto row = [&](Drawn which) { return drawn.data_ptr<std::int64_t>() + which * drawn.size(1); };
  std::vector<std::int64_t> order(static_cast<std::size_t>(batches.examples()));
  std::iota(order.begin(), order.end(), 0);
  Rng orders = rng.derive("order");
  orders.shuffle(order);
  std::copy(order.begin(), order.end(), row(example));

  // Batch by batch, so that what a batch is does not depend on how many follow it.
  Rng augmentations = rng.derive("augmentation");
  std::int64_t first = 0;
  for (const std::int64_t size : sizes_) {
    const auto draw = [&](Drawn which, std::int64_t count) {
      std::generate_n(row(which) + first, size,
                      [&] { return static_cast<std::int64_t>(augmentations.below(static_cast<std::size_t>(count))); });
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
  if (augmentation_.crop_padding > 0) images = crop(images, augmentation_.crop_padding, drawn[crop_y], drawn[crop_x]);
  if (augmentation_.flip) images = flip(images, drawn[flipped]);
  images = batches_.normalised(images);
  if (augmentation_.cutout > 0) cut_out(images, augmentation_.cutout, drawn[hidden_y], drawn[hidden_x]);
  return {images.permute({0, 3, 1, 2}), batches_.labels_.index_select(0, drawn[example])};
}

}  // namespace weft
