// Images of another size, each pixel of which is the mean of the area that it covers: for data sets that have them only
// in the size they were published in.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft {

namespace detail {

// What one pixel of a resized side covers of the original one, pixel by pixel from `first`. A length of 1 is
// 1 / (resized side) of an original pixel, so that all of them are integers; they sum to the original side.
struct Cover {
  std::int64_t first = 0;
  std::vector<std::int64_t> lengths;
};

inline std::vector<Cover> covers(std::int64_t original, std::int64_t resized) {
  std::vector<Cover> all(static_cast<std::size_t>(resized));
  for (std::int64_t i = 0; i < resized; ++i) {
    const std::int64_t begin = i * original, end = begin + original;
    Cover& cover = all[static_cast<std::size_t>(i)];
    cover.first = begin / resized;
    for (std::int64_t at = cover.first; at * resized < end; ++at)
      cover.lengths.push_back(std::min(end, (at + 1) * resized) - std::max(begin, at * resized));
  }
  return all;
}

}  // namespace detail

// `images`: uint8, [examples, channels, height, width]; so is what is returned, of the height and width that are given,
// which are positive. Each value is the mean of those under it, weighted by area and rounded to the nearest integer,
// halves upwards. Computed in integers: the same on every machine.
inline at::Tensor area_resize(const at::Tensor& images, std::int64_t height, std::int64_t width) {
  const at::Tensor given = images.contiguous();
  const std::int64_t planes = given.size(0) * given.size(1), rows = given.size(2), columns = given.size(3);
  at::Tensor resized = at::empty({given.size(0), given.size(1), height, width}, given.options());
  const std::vector<detail::Cover> vertical = detail::covers(rows, height), horizontal = detail::covers(columns, width);
  const std::int64_t area = rows * columns;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(columns));  // of a column, over the rows that are covered
  const std::uint8_t* plane = given.data_ptr<std::uint8_t>();
  std::uint8_t* out = resized.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < planes; ++i, plane += area) {
    for (const detail::Cover& down : vertical) {
      std::fill(sums.begin(), sums.end(), 0);
      const std::uint8_t* pixel = plane + down.first * columns;
      for (const std::int64_t length : down.lengths) {
        for (std::int64_t& sum : sums) sum += length * *pixel++;
      }
      for (const detail::Cover& across : horizontal) {
        auto at = sums.begin() + across.first;
        std::int64_t sum = area / 2;
        for (const std::int64_t length : across.lengths) sum += length * *at++;
        *out++ = static_cast<std::uint8_t>(sum / area);
      }
    }
  }
  return resized;
}

// The largest centred square of each image, `resolution` pixels high and wide.
inline at::Tensor area_resize(const at::Tensor& images, std::int64_t resolution) {
  const std::int64_t side = std::min(images.size(2), images.size(3));
  const at::Tensor square =
      images.narrow(2, (images.size(2) - side) / 2, side).narrow(3, (images.size(3) - side) / 2, side);
  return area_resize(square, resolution, resolution);
}

}  // namespace weft
