#include "decode.hpp"

#include <algorithm>
#include <array>

using namespace std::string_view_literals;

namespace {

struct Signature {
  std::string_view bytes;
  std::size_t at;
  std::string_view format;
};

constexpr std::array signatures = {Signature{"\x89PNG\r\n\x1a\n"sv, 0, "PNG"},
                                   Signature{"\xff\xd8\xff"sv, 0, "JPEG"},
                                   Signature{"GIF87a"sv, 0, "GIF"},
                                   Signature{"GIF89a"sv, 0, "GIF"},
                                   Signature{"WEBP"sv, 8, "WebP"},
                                   Signature{"II*\0"sv, 0, "TIFF"},
                                   Signature{"MM\0*"sv, 0, "TIFF"},
                                   Signature{"\0\0\0\x0cjP  "sv, 0, "JPEG 2000"},
                                   Signature{"ftypavif"sv, 4, "AVIF"},
                                   Signature{"ftyphei"sv, 4, "HEIF"},
                                   Signature{"ftypmif1"sv, 4, "HEIF"},
                                   Signature{"8BPS"sv, 0, "Photoshop"}};

}  // namespace

std::string image_format(std::string_view bytes) {
  const auto found = std::find_if(signatures.begin(), signatures.end(), [&](const Signature& signature) {
    return bytes.size() >= signature.at && bytes.substr(signature.at).starts_with(signature.bytes);
  });
  if (found != signatures.end()) return std::string(found->format);
  // Two letters are little; four bytes that are always zero follow the size.
  const bool bmp = bytes.size() >= 10 && bytes.starts_with("BM") && bytes.substr(6, 4) == "\0\0\0\0"sv;
  return bmp ? "BMP" : "";
}

Decoded decode_image(std::string_view bytes, int channels) {
  const std::string format = image_format(bytes);
  if (format == "PNG") return decode_png(bytes, channels);
  if (format == "JPEG") return decode_jpeg(bytes, channels);
  return {.failure = bytes.empty() ? "it is empty" : "it is neither PNG nor JPEG"};
}
