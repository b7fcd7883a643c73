// A file that a reader sees whole or not at all, whatever happens to the process that writes it.
#pragma once

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>
#include <system_error>

#include "weft/error.hpp"

namespace weft {

// Writes beside the target, to its name and ".part", and renames: after a power failure the file may be the old one,
// the new one, or empty. `finish`, if any, is given the written file before it takes its place. One writer a file at a
// time. Throws Error naming the file and the system's reason; the old file stays then.
inline void write_atomically(const std::filesystem::path& file, std::string_view bytes,
                             const std::function<void(const std::filesystem::path& part)>& finish = {}) {
  std::filesystem::path part = file;
  part += ".part";
  errno = 0;
  std::ofstream stream(part, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  std::error_code error;
  if (!stream) {
    error.assign(errno != 0 ? errno : EIO, std::generic_category());
  } else {
    if (finish) finish(part);
    std::filesystem::rename(part, file, error);
  }
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(part, ignored);
  throw Error(file.string() + ": cannot be written: " + error.message());
}

}  // namespace weft
