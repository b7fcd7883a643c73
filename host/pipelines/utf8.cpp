#include "host/pipelines/utf8.hpp"

#include <fmt/format.h>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::host {
namespace {

bool is_utf8(std::string_view text) {
  try {
    Json(text).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

// As a shell's $'..' takes it.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text)
    result += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c)
                                                   : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return result;
}

}  // namespace

void check_utf8(std::string_view text, std::string_view what, std::string_view remedy) {
  if (is_utf8(text)) return;
  throw InvalidInput(fmt::format("{} \"{}\" is not UTF-8, as all names must be; {}", what, escaped(text), remedy));
}

}  // namespace weft::host
