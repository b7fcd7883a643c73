// The windows of random_resized_crop.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "weft/rng.hpp"

namespace weft {

struct Window {
  std::int64_t top, left, height, width;
};

struct WindowRange {
  std::array<double, 2> area;   // share of the picture
  std::array<double, 2> ratio;  // width by height
};

// One try: of area evenly and of ratio evenly in its logarithm; nothing where that is larger than the picture.
inline std::optional<Window> try_window(const WindowRange& range, std::int64_t height, std::int64_t width, Rng& rng) {
  const double area = static_cast<double>(height * width) * rng.uniform(range.area[0], range.area[1]);
  const double ratio = std::exp(rng.uniform(std::log(range.ratio[0]), std::log(range.ratio[1])));
  const std::int64_t w = std::llround(std::sqrt(area * ratio)), h = std::llround(std::sqrt(area / ratio));
  if (w < 1 || h < 1 || w > width || h > height) return {};
  const auto corner = [&](std::int64_t room) {
    return static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(room + 1)));
  };
  const std::int64_t top = corner(height - h);
  return Window{top, corner(width - w), h, w};
}

// The largest one in the middle whose ratio is in the range.
inline Window central_window(const WindowRange& range, std::int64_t height, std::int64_t width) {
  const double own = static_cast<double>(width) / static_cast<double>(height);
  std::int64_t h = height, w = width;
  if (own < range.ratio[0]) h = std::llround(static_cast<double>(width) / range.ratio[0]);
  if (own > range.ratio[1]) w = std::llround(static_cast<double>(height) * range.ratio[1]);
  h = std::clamp<std::int64_t>(h, 1, height);
  w = std::clamp<std::int64_t>(w, 1, width);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

}  // namespace weft
