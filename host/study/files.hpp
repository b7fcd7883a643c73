// Writing files so that a reader never sees half of one, whatever happens to the process or the machine.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "weft/atomic_file.hpp"  // IWYU pragma: export

namespace weft::host {

// As weft::write_atomically(), and on disk when it returns.
void write_durably(const std::filesystem::path& file, std::string_view text);

// Has a file's content, or a folder's list of names, on disk. Throws Error naming it and the system's reason.
void sync_to_disk(const std::filesystem::path& path);

// A folder of a name that nobody has, for the user alone; goes with this object.
class TemporaryFolder {
 public:
  // In `within`, which is created if it is not there. Throws Error naming it and the system's reason.
  TemporaryFolder(const std::filesystem::path& within, const std::string& prefix);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace weft::host
