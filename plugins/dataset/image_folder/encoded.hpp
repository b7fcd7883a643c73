// PNG and JPEG files for tests, written out by hand, so that every byte and every pixel is known.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace encoded {

using Bytes = std::string;

inline Bytes big_endian(std::uint32_t value, int bytes) {
  Bytes text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFF);
  return text;
}

inline Bytes bytes(std::initializer_list<int> values) {
  Bytes text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

// ---- PNG (W3C, second edition) ----

inline Bytes chunk(const Bytes& type, const Bytes& data) {
  std::uint32_t crc = ~0U;
  for (const unsigned char byte : type + data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return big_endian(static_cast<std::uint32_t>(data.size()), 4) + type + data + big_endian(~crc, 4);
}

// One stored block (RFC 1950, RFC 1951).
inline Bytes zlib(const Bytes& data) {
  std::uint32_t low = 1, high = 0;
  for (const unsigned char byte : data) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  const auto size = static_cast<std::uint32_t>(data.size());
  const auto little = [](std::uint32_t value) {
    return bytes({static_cast<int>(value & 0xFF), static_cast<int>(value >> 8)});
  };
  return bytes({0x78, 0x01, 0x01}) + little(size) + little(~size & 0xFFFF) + data + big_endian(high << 16 | low, 4);
}

struct Png {
  int width = 1, height = 1, depth = 8,
      colour = 0;     // colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha
  Bytes rows;         // without filter bytes, all of equal length
  Bytes before = {};  // chunks between header and image
};

inline Bytes png(const Png& image) {
  const Bytes header = big_endian(static_cast<std::uint32_t>(image.width), 4) +
                       big_endian(static_cast<std::uint32_t>(image.height), 4) +
                       bytes({image.depth, image.colour, 0, 0, 0});
  const std::size_t row = image.rows.size() / static_cast<std::size_t>(image.height);
  Bytes filtered;
  for (std::size_t at = 0; at < image.rows.size(); at += row) filtered += '\0' + image.rows.substr(at, row);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + image.before + chunk("IDAT", zlib(filtered)) + chunk("IEND", "");
}

// ---- JPEG (ITU-T T.81), baseline, in blocks of 8 x 8 pixels of one value ----

struct Jpeg {
  int columns = 1;                       // of blocks
  std::vector<std::vector<int>> blocks;  // row by row: the values of its components
  Bytes after_start = {};                // segments
  bool whole = true;                     // without the last bytes: no end marker
};

inline Bytes segment(int marker, const Bytes& data) {
  return bytes({0xFF, marker}) + big_endian(static_cast<std::uint32_t>(data.size() + 2), 2) + data;
}

inline Bytes adobe(int transform) { return segment(0xEE, "Adobe" + bytes({0, 100, 0, 0, 0, 0, transform})); }

// A TIFF header and one directory with one entry, the orientation; in either byte order.
inline Bytes exif(int orientation, bool little = false) {
  if (little)
    return "II" + bytes({42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0});
  return "MM" + bytes({0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0});
}
inline Bytes exif_segment(const Bytes& tiff) { return segment(0xE1, Bytes("Exif\0\0", 6) + tiff); }

// Bits, with a zero byte after each 0xFF (F.1.2.3).
class Bits {
 public:
  void add(int value, int count) {
    for (int bit = count - 1; bit >= 0; --bit) put(value >> bit & 1);
  }
  Bytes finish() {
    while (used_ != 0) put(1);
    return text_;
  }

 private:
  void put(int bit) {
    byte_ = byte_ << 1 | bit;
    if (++used_ < 8) return;
    text_ += static_cast<char>(byte_);
    if (byte_ == 0xFF) text_ += '\0';
    byte_ = used_ = 0;
  }
  Bytes text_;
  int byte_ = 0, used_ = 0;
};

// The scan: of each block the difference of its mean, in four bits its size class, and no other coefficient.
inline Bytes scan(const Jpeg& image) {
  Bits bits;
  std::vector<int> last(image.blocks.front().size(), 128);
  for (const std::vector<int>& block : image.blocks) {
    for (std::size_t c = 0; c < block.size(); ++c) {
      const int difference = block[c] - last[c];
      last[c] = block[c];
      int size = 0;
      while (std::abs(difference) >> size != 0) ++size;
      bits.add(size, 4);
      bits.add(difference < 0 ? difference + (1 << size) - 1 : difference, size);
      bits.add(0, 1);  // end of block
    }
  }
  return bits.finish();
}

inline Bytes jpeg(const Jpeg& image) {
  const int components = static_cast<int>(image.blocks.front().size());
  const int rows = static_cast<int>(image.blocks.size()) / image.columns;
  Bytes frame = bytes({8}) + big_endian(static_cast<std::uint32_t>(8 * rows), 2) +
                big_endian(static_cast<std::uint32_t>(8 * image.columns), 2) + bytes({components});
  Bytes start = bytes({components});
  for (int c = 1; c <= components; ++c) {
    frame += bytes({c, 0x11, 0});
    start += bytes({c, 0});
  }
  // Size classes 0 to 11 in codes of four bits; the end of a block in one.
  const Bytes means = bytes({0, 0, 0, 0, 12}) + Bytes(12, '\0') + bytes({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const Bytes others = bytes({0x10, 1}) + Bytes(15, '\0') + bytes({0});
  return bytes({0xFF, 0xD8}) + image.after_start + segment(0xDB, bytes({0}) + Bytes(64, '\x08')) +
         segment(0xC0, frame) + segment(0xC4, means + others) + segment(0xDA, start + bytes({0, 63, 0})) + scan(image) +
         (image.whole ? bytes({0xFF, 0xD9}) : "");
}

}  // namespace encoded
