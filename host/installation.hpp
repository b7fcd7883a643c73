// Where the program's own files lie, found from the executable's place.
#pragma once

#include <filesystem>

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
};

}  // namespace weft::host
