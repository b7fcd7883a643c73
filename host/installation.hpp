// Where the program's own files lie, found from the executable's place.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace weft::host {

struct Installation {
  std::filesystem::path program, libraries, programs, plugins, schemas, pipelines;

  static Installation locate() {
    const std::filesystem::path root = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
    return {root / "bin" / "weft",
            root / WEFT_LIBRARY_FOLDER,
            root / "libexec" / "weft",
            root / WEFT_LIBRARY_FOLDER / "weft" / "plugins",
            root / "share" / "weft" / "schemas",
            root / "share" / "weft" / "pipelines"};
  }

  // The user's own plugins; nothing where the environment names no home.
  static std::optional<std::filesystem::path> user_plugins() {
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home == '\0') return {};
    return std::filesystem::path(home) / ".local/share/weft/plugins";
  }
};

}  // namespace weft::host
