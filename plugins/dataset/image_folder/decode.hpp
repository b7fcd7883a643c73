// The bytes of PNG and JPEG files to pixels.
#pragma once

#include <string>
#include <string_view>

#include "pixels.hpp"

// What the first bytes of a file (16 are enough) say it is: "PNG", "JPEG", another format's name such as "WebP", or ""
// where they are of no known image.
std::string image_format(std::string_view bytes);

struct Decoded {
  Pixels pixels;         // 1 (grey) or 3 (colour) channels, upright
  bool damaged = false;  // parts of the data could not be read, and something stands in their place
  std::string failure;   // why there are no pixels; empty: there are
};

Decoded decode_png(std::string_view bytes, int channels);
Decoded decode_jpeg(std::string_view bytes, int channels);

// By content. Without pixels if it is neither, or truncated.
Decoded decode_image(std::string_view bytes, int channels);

// More would not fit into memory beside its like; the header of a damaged file states anything.
inline constexpr std::int64_t most_pixels = std::int64_t{1} << 28;
