#include "weft/torch/augmentation.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace weft {

at::Tensor Augmentation::pixels(at::Tensor images, const at::Tensor&, Rng&) const { return images; }
void Augmentation::normalised(Batch&, Rng&) const {}
const Augmentation& Augmentation::during(double) const { return *this; }

at::Tensor uniform(Rng& rng, std::int64_t count, double low, double high, c10::Device device) {
  at::Tensor drawn = at::empty({count}, at::kFloat);
  float* const values = drawn.data_ptr<float>();
  const auto least = static_cast<float>(low), end = static_cast<float>(high);
  const float most = std::nextafter(end, least);  // what a number just below `high` would be rounded up to is not drawn
  for (std::int64_t i = 0; i < count; ++i)
    values[i] = std::min(static_cast<float>(low + (high - low) * rng.uniform()), most);
  return drawn.to(device);
}

at::Tensor integers(Rng& rng, std::int64_t count, std::int64_t below, c10::Device device) {
  at::Tensor drawn = at::empty({count}, at::kLong);
  std::int64_t* const values = drawn.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i)
    values[i] = static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(below)));
  return drawn.to(device);
}

// Black, as in He et al. 2016 and in Fast AutoAugment's code; AutoAugment's, and PBA's by it, pads the normalised image
// with 0, the mean colour. A window's row is width x channels bytes from any pixel on; all of them are one overlapping
// view of the padded images, from which each image's rows are picked (ten times as fast as picking windows or pixels).
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

}  // namespace weft
