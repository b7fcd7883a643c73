// Where data lies: paths as people write them in a pipeline, and what is said of one that cannot be read.
//
// A plugin that reads files turns each argument that names one into a path by data_path(), and asks require_file() or
// require_folder() before it reads.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "weft/error.hpp"

namespace weft {

namespace detail {

inline std::string environment(const std::string& name, std::string_view given) {
  const char* value = std::getenv(name.c_str());
  if (value != nullptr && *value != '\0') return value;
  throw InvalidInput("the path " + std::string(given) + " names $" + name +
                     ", which is not set in the environment; set it, or write the path out");
}

// The length of the variable's name at the beginning of `text`; 0 where there is none.
inline std::size_t name_length(std::string_view text) {
  std::size_t length = 0;
  const auto part_of_name = [](char c, bool first) {
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && c >= '0' && c <= '9');
  };
  while (length < text.size() && part_of_name(text[length], length == 0)) ++length;
  return length;
}

// Why `path` cannot be read as a folder or as a file; empty where it can.
inline std::string obstacle(const std::filesystem::path& path, bool folder) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == EACCES) return "may not be read: a folder on the way to it is closed to you";
    if (errno != ENOENT && errno != ENOTDIR) return std::string("cannot be read: ") + std::strerror(errno);
    std::error_code ignored;
    for (std::filesystem::path above = path.parent_path(); !above.empty() && above != above.parent_path();
         above = above.parent_path()) {
      if (std::filesystem::exists(above, ignored) && !std::filesystem::is_directory(above, ignored))
        return "does not exist: " + above.string() + " is a file";
    }
    return path.is_absolute() ? "does not exist"
                              : "does not exist, seen from " + std::filesystem::current_path(ignored).string() +
                                    ", the current folder, from which relative paths count";
  }
  if (folder != S_ISDIR(status.st_mode)) return folder ? "is no folder" : "is a folder, not a file";
  if (!folder && !S_ISREG(status.st_mode)) return "is no file of data";
  // As the effective user, who will open it.
  if (faccessat(AT_FDCWD, path.c_str(), folder ? R_OK | X_OK : R_OK, AT_EACCESS) != 0)
    return "may not be read; check its permissions";
  return {};
}

inline void require(const std::filesystem::path& path, bool folder, std::string_view remedy) {
  const std::string found = obstacle(path, folder);
  if (found.empty()) return;
  throw InvalidInput(path.string() + " " + found + (remedy.empty() ? "" : ". ") + std::string(remedy));
}

}  // namespace detail

// `given` as it is, where there is such a file or folder; else with ~ at its beginning, $NAME and ${NAME} replaced from
// the environment. Throws InvalidInput naming a variable that is not set.
inline std::filesystem::path data_path(std::string_view given) {
  std::error_code absent;
  if (std::filesystem::exists(std::filesystem::path(given), absent)) return std::filesystem::path(given);
  std::string path;
  std::size_t at = 0;
  if (given == "~" || given.starts_with("~/")) {
    path = detail::environment("HOME", given);
    at = 1;
  }
  while (at < given.size()) {
    const std::string_view rest = given.substr(at);
    const bool braced = rest.starts_with("${");
    const std::size_t before = braced ? 2 : 1;
    const std::size_t length = rest.front() == '$' ? detail::name_length(rest.substr(before)) : 0;
    if (length == 0 || (braced && !rest.substr(before + length).starts_with('}'))) {
      path += rest.front();
      ++at;
      continue;
    }
    path += detail::environment(std::string(rest.substr(before, length)), given);
    at += before + length + (braced ? 1 : 0);
  }
  return path;
}

// Throws InvalidInput that says what stands in the way of reading `path`, and then `remedy`.
inline void require_file(const std::filesystem::path& path, std::string_view remedy = {}) {
  detail::require(path, false, remedy);
}
inline void require_folder(const std::filesystem::path& path, std::string_view remedy = {}) {
  detail::require(path, true, remedy);
}

}  // namespace weft
