#include "pixels.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace {

Pixels blank(std::int64_t height, std::int64_t width, int channels) {
  return {height, width, channels, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels))};
}

// Calls `pixel(from, to)` for each.
template <typename Function>
Pixels each_pixel(const Pixels& pixels, int channels, Function&& pixel) {
  Pixels made = blank(pixels.height, pixels.width, channels);
  const std::uint8_t* from = pixels.values.data();
  for (std::uint8_t* to = made.values.data(); to != made.values.data() + made.values.size();
       to += channels, from += pixels.channels)
    pixel(from, to);
  return made;
}

std::uint8_t by_255(int product) { return static_cast<std::uint8_t>((product + 127) / 255); }

// Which pixels of a side one pixel of the scaled side is made of, and with which weights: a triangle as wide as a
// pixel of the coarser side. Distances are in units of 1 / (2 x `to`) pixels, so that all are integers.
struct Blend {
  std::int64_t first = 0;
  std::vector<std::int64_t> weights;
  std::int64_t sum = 0;
};

std::vector<Blend> blends(std::int64_t from, std::int64_t to) {
  const std::int64_t reach = 2 * std::max(from, to);
  std::vector<Blend> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    Blend& blend = all[static_cast<std::size_t>(i)];
    const std::int64_t centre = (2 * i + 1) * from;
    const auto weight = [&](std::int64_t j) { return reach - std::abs((2 * j + 1) * to - centre); };
    blend.first = std::clamp<std::int64_t>((centre - reach) / (2 * to), 0, from - 1);
    while (weight(blend.first) <= 0) ++blend.first;
    for (std::int64_t j = blend.first; j < from && weight(j) > 0; ++j) {
      blend.weights.push_back(weight(j));
      blend.sum += blend.weights.back();
    }
  }
  return all;
}

// Bits kept between scaling along rows and along columns.
constexpr std::int64_t between = 1 << 16;

}  // namespace

Pixels over_white(const Pixels& pixels) {
  const int channels = pixels.channels - 1;
  return each_pixel(pixels, channels, [&](const std::uint8_t* from, std::uint8_t* to) {
    const int alpha = from[channels];
    for (int c = 0; c < channels; ++c) to[c] = by_255(from[c] * alpha + 255 * (255 - alpha));
  });
}

Pixels from_inverted_cmyk(const Pixels& cmyk) {
  return each_pixel(cmyk, 3, [](const std::uint8_t* from, std::uint8_t* to) {
    for (int c = 0; c < 3; ++c) to[c] = by_255(from[c] * from[3]);
  });
}

Pixels with_channels(Pixels pixels, int channels) {
  if (pixels.channels == channels) return pixels;
  return each_pixel(pixels, channels, [&](const std::uint8_t* from, std::uint8_t* to) {
    if (channels == 3) {
      std::fill_n(to, 3, *from);
    } else {
      *to = static_cast<std::uint8_t>((299 * from[0] + 587 * from[1] + 114 * from[2] + 500) / 1000);
    }
  });
}

int exif_orientation(std::string_view exif) {
  const bool little = exif.starts_with("II");
  // Beyond the end: 0, which is no tag and no offset.
  const auto number = [&](std::size_t at, int bytes) {
    std::size_t value = 0;
    for (int i = 0; i < bytes && at + static_cast<std::size_t>(bytes) <= exif.size(); ++i)
      value |= static_cast<std::size_t>(static_cast<unsigned char>(exif[at + static_cast<std::size_t>(i)]))
               << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  if ((!little && !exif.starts_with("MM")) || number(2, 2) != 42) return 1;
  constexpr std::size_t tag = 0x0112, entry_size = 12;
  const std::size_t directory = number(4, 4), entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * entry_size;
    if (number(entry, 2) != tag) continue;
    const std::size_t orientation = number(entry + 8, 2);
    return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  }
  return 1;
}

Pixels upright(Pixels pixels, int orientation) {
  if (orientation == 1) return pixels;
  const bool swapped = orientation >= 5;
  const bool rows_reversed = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_reversed = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Pixels turned =
      blank(swapped ? pixels.width : pixels.height, swapped ? pixels.height : pixels.width, pixels.channels);
  for (std::int64_t y = 0; y < turned.height; ++y) {
    for (std::int64_t x = 0; x < turned.width; ++x) {
      const std::int64_t row = swapped ? x : y, column = swapped ? y : x;
      std::copy_n(pixels.at(rows_reversed ? pixels.height - 1 - row : row,
                            columns_reversed ? pixels.width - 1 - column : column),
                  pixels.channels, turned.at(y, x));
    }
  }
  return turned;
}

void write_square(const Pixels& pixels, std::int64_t resolution, std::uint8_t* out) {
  const std::int64_t side = std::min(pixels.height, pixels.width), channels = pixels.channels;
  const std::int64_t top = (pixels.height - side) / 2, left = (pixels.width - side) / 2;
  const std::vector<Blend> scale = blends(side, resolution);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(side * resolution * channels));
  std::int64_t* at = rows.data();
  for (std::int64_t y = 0; y < side; ++y) {
    for (const Blend& blend : scale) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::uint8_t* from = pixels.at(top + y, left + blend.first) + c;
        std::int64_t sum = 0;
        for (const std::int64_t weight : blend.weights) {
          sum += weight * *from;
          from += channels;
        }
        *at++ = (sum * between + blend.sum / 2) / blend.sum;
      }
    }
  }
  const std::int64_t row_size = resolution * channels;
  for (const Blend& blend : scale) {
    for (std::int64_t x = 0; x < row_size; ++x) {
      const std::int64_t* from = rows.data() + blend.first * row_size + x;
      std::int64_t sum = 0;
      for (const std::int64_t weight : blend.weights) {
        sum += weight * *from;
        from += row_size;
      }
      *out++ = static_cast<std::uint8_t>((sum + blend.sum * between / 2) / (blend.sum * between));
    }
  }
}
