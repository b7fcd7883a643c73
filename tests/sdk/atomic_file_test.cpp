#include "weft/atomic_file.hpp"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "tests/catch.hpp"

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("weft_atomic_file_test_" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

std::string content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

TEST_CASE("a file is written beside its place, and takes it when it is whole") {
  const Folder folder;
  const fs::path file = folder.path / "file";
  weft::write_atomically(file, "old");
  std::string beside;
  weft::write_atomically(file, std::string_view("new\0bytes", 9), [&](const fs::path& part) {
    beside = content(part);
    CHECK(content(file) == "old");
  });
  CHECK(beside == std::string_view("new\0bytes", 9));
  CHECK(content(file) == beside);
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("a file that cannot be written is named with the system's reason, and the old one stays") {
  const Folder folder;
  CHECK_THROWS_WITH(weft::write_atomically(folder.path / "absent/file", "text"),
                    ContainsSubstring("absent/file: cannot be written: No such file or directory"));
  const fs::path taken = folder.path / "taken";
  fs::create_directories(taken / "by a folder");
  CHECK_THROWS_WITH(weft::write_atomically(taken, "text"), ContainsSubstring("taken: cannot be written: "));
  CHECK(fs::is_directory(taken / "by a folder"));
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}
