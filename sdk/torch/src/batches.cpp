#include "weft/torch/batches.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace weft {

namespace {

// One integer of 0 .. count-1 for each example of a batch.
at::Tensor draw(std::int64_t examples, std::int64_t count, Rng& rng, c10::Device device) {
  at::Tensor drawn = at::empty({examples}, at::kLong);
  std::int64_t* values = drawn.data_ptr<std::int64_t>();
  std::generate_n(values, examples,
                  [&] { return static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(count))); });
  return drawn.to(device);
}

// A window of the images' own size out of the padded images, at an offset of its own for each. A window's row is
// width x channels bytes from any pixel on; all of them are one overlapping view of the padded images, from which each
// image's rows are picked (ten times as fast as picking windows or pixels).
at::Tensor crop(const at::Tensor& images, std::int64_t padding, Rng& rng) {
  const std::int64_t examples = images.size(0), height = images.size(1), width = images.size(2),
                     channels = images.size(3);
  const at::Tensor padded = at::constant_pad_nd(images, {0, 0, padding, padding, padding, padding});
  const std::int64_t padded_width = padded.size(2), padded_pixels = padded.size(1) * padded_width;
  const at::Tensor y = draw(examples, 2 * padding + 1, rng, images.device()),
                   x = draw(examples, 2 * padding + 1, rng, images.device());
  const at::Tensor corner = at::arange(examples, y.options()).mul_(padded_pixels).add_(y, padded_width).add_(x);
  const at::Tensor row =
      corner.unsqueeze(1).add(at::arange(height, y.options()).mul_(padded_width));  // [examples, height]
  const at::Tensor rows = padded.as_strided({examples * padded_pixels - width + 1, width * channels}, {channels, 1});
  return rows.index_select(0, row.flatten()).view(images.sizes());
}

at::Tensor flip(const at::Tensor& images, Rng& rng) {
  const std::int64_t examples = images.size(0), height = images.size(1), width = images.size(2),
                     channels = images.size(3);
  const at::Tensor flipped = draw(examples, 2, rng, images.device());
  const at::Tensor column = at::arange(width * channels, flipped.options()).view({width, channels});
  const at::Tensor columns =
      at::stack({column, column.flip(0)}).flatten(1).index_select(0, flipped);  // [examples, width x channels]
  return images.flatten(2).gather(2, columns.unsqueeze(1).expand({-1, height, -1})).view(images.sizes());
}

// Sets to 0, the mean after normalisation, rows and columns centre - side/2 .. centre - side/2 + side-1 within the
// image.
void cut_out(at::Tensor& images, std::int64_t side, Rng& rng) {
  const auto hidden = [&](std::int64_t extent) {  // [examples, extent]: 1 where hidden
    const at::Tensor start = draw(images.size(0), extent, rng, images.device()).sub_(side / 2).unsqueeze(1);
    const at::Tensor position = at::arange(extent, start.options());
    return position.ge(start).logical_and_(position.lt(start + side)).to(at::kFloat);
  };
  const at::Tensor rows = hidden(images.size(1)), columns = hidden(images.size(2)).repeat_interleave(images.size(3), 1);
  images.flatten(2).mul_(rows.unsqueeze(2).mul(columns.unsqueeze(1)).neg_().add_(1.0));
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

Batch Batches::augmented(const at::Tensor& index, const Augmentation& augmentation, Rng& rng) const {
  const at::Tensor examples = index.to(pixels_.device());
  at::Tensor images = pixels_.index_select(0, examples);
  if (augmentation.crop_padding > 0) images = crop(images, augmentation.crop_padding, rng);
  if (augmentation.flip) images = flip(images, rng);
  images = normalised(images);
  if (augmentation.cutout > 0) cut_out(images, augmentation.cutout, rng);
  return {images.permute({0, 3, 1, 2}), labels_.index_select(0, examples)};
}

at::Tensor Batches::normalised(const at::Tensor& pixels) const {
  return pixels.flatten(1).to(at::kFloat).mul_(scale_).add_(shift_).view(pixels.sizes());
}

std::vector<at::Tensor> epoch_batches(std::int64_t examples, std::int64_t batch_size, Rng rng) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  std::vector<at::Tensor> batches = at::tensor(order, at::kLong).split(batch_size);
  if (batch_size > 1 && batches.back().size(0) == 1) batches.pop_back();
  return batches;
}

}  // namespace weft
