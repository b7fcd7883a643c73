// Pixels on their way from a decoder to a data set. Everything is done in integers: the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

struct Pixels {
  std::int64_t height = 0, width = 0;
  int channels = 0;                  // 1: grey, 2: grey and alpha, 3: red, green and blue, 4: these and alpha
  std::vector<std::uint8_t> values;  // row by row, a pixel's channels side by side

  std::uint8_t* at(std::int64_t y, std::int64_t x) { return values.data() + (y * width + x) * channels; }
  const std::uint8_t* at(std::int64_t y, std::int64_t x) const { return values.data() + (y * width + x) * channels; }
};

// Without alpha: over white, as viewers show it.
Pixels over_white(const Pixels& pixels);

// From CMYK with 255 for no ink, as Adobe writes it and every reader takes it.
Pixels from_inverted_cmyk(const Pixels& cmyk);

// 1 (grey) or 3 channels, from 1 or 3. Grey is the luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, as in JPEG.
Pixels with_channels(Pixels pixels, int channels);

// `exif` begins with a TIFF header. The orientation of the image that it states, 1 to 8; 1 where it states none.
int exif_orientation(std::string_view exif);

// Turned upright from what `orientation` says of the rows and columns of `pixels` (Exif 2.32, table 6).
Pixels upright(Pixels pixels, int orientation);

// The largest centred square, scaled to `resolution` bilinearly, with antialiasing where it shrinks; to
// `out`, of resolution x resolution x channels bytes.
void write_square(const Pixels& pixels, std::int64_t resolution, std::uint8_t* out);
