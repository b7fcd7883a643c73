#include "host/study/files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "weft/error.hpp"

namespace weft::host {

void write_atomically(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::path beside = file;
  beside += ".part";
  errno = 0;
  std::ofstream stream(beside, std::ios::binary | std::ios::trunc);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  std::error_code error;
  if (stream) std::filesystem::rename(beside, file, error);
  if (!stream || error) {
    const std::string reason = error ? error.message() : std::strerror(errno);
    std::filesystem::remove(beside, error);
    throw Error(fmt::format("{}: cannot be written: {}", file.string(), reason));
  }
}

}  // namespace weft::host
