#include "decode.hpp"

#include <ATen/ATen.h>
#include <png.h>

#include <algorithm>
#include <cctype>
#include <csetjmp>
#include <memory>
#include <string>

// clang-format off: jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include <cstdio>
// clang-format on

#include "weft/error.hpp"

namespace {

std::string extension(const std::filesystem::path& file) {
  std::string text = file.extension().string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& reason) {
  throw weft::InvalidInput(file.string() + ": cannot be decoded (" + reason + "); repair or remove the file");
}

at::Tensor decode_png(const std::filesystem::path& file, int channels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_imagep)> freed(&image, png_image_free);
  if (png_image_begin_read_from_file(&image, file.c_str()) == 0) refuse(file, image.message);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  at::Tensor pixels = at::empty({image.height, image.width, channels}, at::kByte);
  const png_color black{0, 0, 0};  // behind transparent pixels
  if (png_image_finish_read(&image, &black, pixels.data_ptr(), 0, nullptr) == 0) refuse(file, image.message);
  return pixels;
}

// libjpeg tells of an error by calling error_exit, which must not return.
struct JpegErrors : jpeg_error_mgr {
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX];
};

// Decodes into `pixels`; false: `errors` holds the message. Has no object with a destructor, so that longjmp is
// allowed.
bool decode_jpeg(std::FILE* stream, int channels, at::Tensor& pixels, JpegErrors& errors) {
  jpeg_decompress_struct decoder{};
  decoder.err = jpeg_std_error(&errors);
  const auto fail = [](j_common_ptr common) {
    auto* error = static_cast<JpegErrors*>(common->err);
    error->format_message(common, error->message);
    std::longjmp(error->on_error, 1);
  };
  errors.error_exit = fail;
  // Warnings are of damaged data, which libjpeg would fill with grey.
  errors.emit_message = [](j_common_ptr common, int level) {
    if (level < 0) common->err->error_exit(common);
  };
  if (setjmp(errors.on_error) != 0) {
    jpeg_destroy_decompress(&decoder);
    return false;
  }
  jpeg_create_decompress(&decoder);
  jpeg_stdio_src(&decoder, stream);
  jpeg_read_header(&decoder, TRUE);
  decoder.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&decoder);
  pixels.resize_({decoder.output_height, decoder.output_width, channels});
  auto* row = pixels.data_ptr<JSAMPLE>();
  while (decoder.output_scanline < decoder.output_height) {
    jpeg_read_scanlines(&decoder, &row, 1);
    row += static_cast<std::size_t>(decoder.output_width) * channels;
  }
  jpeg_finish_decompress(&decoder);
  jpeg_destroy_decompress(&decoder);
  return true;
}

}  // namespace

bool is_image_file(const std::filesystem::path& file) {
  const std::string kind = extension(file);
  return kind == ".png" || kind == ".jpg" || kind == ".jpeg";
}

at::Tensor decode_image(const std::filesystem::path& file, int channels) {
  if (extension(file) == ".png") return decode_png(file, channels);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"), std::fclose);
  if (!stream) refuse(file, "it cannot be opened");
  at::Tensor pixels = at::empty({0}, at::kByte);
  JpegErrors errors{};
  if (!decode_jpeg(stream.get(), channels, pixels, errors)) refuse(file, errors.message);
  return pixels;
}
