#include <csetjmp>
#include <cstdio>
#include <utility>

// jpeglib.h needs <cstdio> before it, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "decode.hpp"

namespace {

struct Errors : jpeg_error_mgr {
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX];
  bool ended = false;    // the file did, and the decoder wanted more
  bool missing = false;  // then pixels were made up
  bool damaged = false;

  Errors() : jpeg_error_mgr{}, on_error{}, message{} {
    jpeg_std_error(this);
    error_exit = fail;
    emit_message = warn;
  }

  // libjpeg's way out of an error, which must not return.
  [[noreturn]] static void fail(j_common_ptr common) {
    auto* self = static_cast<Errors*>(common->err);
    self->format_message(common, self->message);
    std::longjmp(self->on_error, 1);
  }

  // Extraneous bytes, which no reader minds, are no damage.
  static void warn(j_common_ptr common, int level) {
    if (level >= 0) return;
    auto* self = static_cast<Errors*>(common->err);
    if (self->msg_code == JWRN_JPEG_EOF) {
      self->ended = true;
    } else if (self->msg_code == JWRN_HIT_MARKER) {
      (self->ended ? self->missing : self->damaged) = true;
    } else if (self->msg_code == JWRN_HUFF_BAD_CODE || self->msg_code == JWRN_MUST_RESYNC ||
               self->msg_code == JWRN_BOGUS_PROGRESSION) {
      self->damaged = true;
    }
  }
};

struct Reader {
  Errors errors;
  jpeg_decompress_struct decoder{};
  Pixels pixels;
  std::string_view exif;

  Reader() { decoder.err = &errors; }
  ~Reader() { jpeg_destroy_decompress(&decoder); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

bool is_cmyk(const jpeg_decompress_struct& decoder) {
  return decoder.jpeg_color_space == JCS_CMYK || decoder.jpeg_color_space == JCS_YCCK;
}

// Holds no object with a destructor, so that longjmp is allowed; false: `errors` hold the message.
bool read_jpeg(Reader& reader, std::string_view bytes, int channels) {
  if (setjmp(reader.errors.on_error) != 0) return false;
  jpeg_decompress_struct& decoder = reader.decoder;
  jpeg_create_decompress(&decoder);
  jpeg_mem_src(&decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&decoder, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&decoder, TRUE);
  const bool luma = decoder.jpeg_color_space == JCS_GRAYSCALE ||
                    (decoder.jpeg_color_space == JCS_YCbCr && channels == 1);  // as stored
  decoder.out_color_space = is_cmyk(decoder) ? JCS_CMYK : luma ? JCS_GRAYSCALE : JCS_RGB;
  Pixels& pixels = reader.pixels;
  pixels.height = decoder.image_height;
  pixels.width = decoder.image_width;
  if (pixels.height * pixels.width > most_pixels) ERREXIT1(&decoder, JERR_IMAGE_TOO_BIG, 1 << 14);
  jpeg_start_decompress(&decoder);
  pixels.channels = decoder.output_components;
  pixels.values.resize(static_cast<std::size_t>(pixels.height * pixels.width * pixels.channels));
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPLE* row = pixels.at(decoder.output_scanline, 0);
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  for (auto* marker = decoder.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (reader.exif.empty() && data.starts_with(std::string_view("Exif\0\0", 6))) reader.exif = data.substr(6);
  }
  return true;
}

// Grey, which libjpeg puts in place of what is missing, would be learnt. Of several scans one may be missing whole.
bool truncated(Reader& reader) {
  const Errors& errors = reader.errors;
  const bool scans = jpeg_has_multiple_scans(&reader.decoder) != 0 || reader.decoder.arith_code != 0;
  return errors.missing || (errors.ended && scans);
}

}  // namespace

Decoded decode_jpeg(std::string_view bytes, int channels) {
  Reader reader;
  if (!read_jpeg(reader, bytes, channels)) return {.failure = reader.errors.message};
  if (truncated(reader)) return {.failure = "truncated"};
  Pixels pixels = is_cmyk(reader.decoder) ? from_inverted_cmyk(reader.pixels) : std::move(reader.pixels);
  return {.pixels = upright(with_channels(std::move(pixels), channels), exif_orientation(reader.exif)),
          .damaged = reader.errors.damaged};
}
