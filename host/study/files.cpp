#include "host/study/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "weft/error.hpp"

namespace weft::host {

void sync_to_disk(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  // Some file systems have nothing to sync of a folder; one that may be written need not be one that may be read; and
  // what was removed meanwhile has nothing to be kept.
  if (!synced && reason != EINVAL && reason != EACCES && reason != ENOENT)
    throw Error(fmt::format("{}: cannot be written to disk: {}", path.string(), std::strerror(reason)));
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& within, const std::string& prefix) {
  std::error_code error;
  std::filesystem::create_directories(within, error);
  if (error) throw Error(fmt::format("{}: cannot be created: {}", within.string(), error.message()));
  std::string pattern = (within / (prefix + "XXXXXX")).string();
  if (mkdtemp(pattern.data()) == nullptr)
    throw Error(fmt::format("{}: cannot be written: {}", within.string(), std::strerror(errno)));
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_durably(const std::filesystem::path& file, std::string_view text) {
  write_atomically(file, text, sync_to_disk);
  sync_to_disk(file.parent_path().empty() ? "." : file.parent_path());
}

}  // namespace weft::host
