#include <png.h>

#include <csetjmp>
#include <cstring>
#include <utility>

#include "decode.hpp"

namespace {

struct Reader {
  std::string_view bytes;
  std::size_t at = 0;
  std::string failure;
  png_structp png = nullptr;
  png_infop info = nullptr;
  Pixels pixels;
  std::vector<png_bytep> rows;
  std::string_view exif;

  explicit Reader(std::string_view all) : bytes(all) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, fail, [](png_structp, png_const_charp) {});
    if (png != nullptr) info = png_create_info_struct(png);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // libpng's way out of an error, which must not return.
  [[noreturn]] static void fail(png_structp png, png_const_charp message) {
    static_cast<Reader*>(png_get_error_ptr(png))->failure = message;
    png_longjmp(png, 1);
  }

  static void read(png_structp png, png_bytep data, std::size_t size) {
    auto& self = *static_cast<Reader*>(png_get_io_ptr(png));
    if (size > self.bytes.size() - self.at) png_error(png, "truncated");
    std::memcpy(data, self.bytes.data() + self.at, size);
    self.at += size;
  }
};

// 8 bits a channel, palettes and transparent colours resolved. No gamma: values are taken as they are stored. Holds no
// object with a destructor, so that longjmp is allowed; false: `failure` says why.
bool read_png(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_read_fn(reader.png, &reader, Reader::read);
  png_read_info(reader.png, reader.info);
  png_set_expand(reader.png);
  png_set_scale_16(reader.png);  // 65535 to 255, rounded
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  Pixels& pixels = reader.pixels;
  pixels.height = png_get_image_height(reader.png, reader.info);
  pixels.width = png_get_image_width(reader.png, reader.info);
  pixels.channels = png_get_channels(reader.png, reader.info);
  if (pixels.height * pixels.width > most_pixels) png_error(reader.png, "too many pixels");
  pixels.values.resize(png_get_rowbytes(reader.png, reader.info) * static_cast<std::size_t>(pixels.height));
  for (std::int64_t y = 0; y < pixels.height; ++y) reader.rows.push_back(pixels.at(y, 0));
  png_read_image(reader.png, reader.rows.data());
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &size, &exif) != 0)
    reader.exif = {reinterpret_cast<const char*>(exif), size};
  return true;
}

}  // namespace

Decoded decode_png(std::string_view bytes, int channels) {
  Reader reader(bytes);
  if (reader.info == nullptr) return {.failure = "libpng cannot be used"};
  if (!read_png(reader)) return {.failure = reader.failure};
  const bool transparent = reader.pixels.channels % 2 == 0;
  Pixels opaque = transparent ? over_white(reader.pixels) : std::move(reader.pixels);
  return {.pixels = upright(with_channels(std::move(opaque), channels), exif_orientation(reader.exif))};
}
