#include "weft/data_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "tests/catch.hpp"

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Equals;

// A variable of the environment, put back at the end.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

// Root may read everything: as somebody else meanwhile.
class AsNobody {
 public:
  AsNobody() {
    if (geteuid() == 0 && seteuid(65534) == 0) was_root_ = true;
  }
  ~AsNobody() {
    if (was_root_ && seteuid(0) != 0) std::abort();
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  bool was_root_ = false;
};

}  // namespace

TEST_CASE("paths of data: ~ and variables are expanded as a shell does") {
  const Variable home("HOME", "/home/me"), data("WEFT_TEST_DATA", "/data"), empty("WEFT_TEST_EMPTY", nullptr);
  CHECK(weft::data_path("~") == "/home/me");
  CHECK(weft::data_path("~/images") == "/home/me/images");
  CHECK(weft::data_path("$HOME/images") == "/home/me/images");
  CHECK(weft::data_path("${WEFT_TEST_DATA}sets/$WEFT_TEST_DATA.1") == "/datasets//data.1");
  CHECK(weft::data_path("images") == "images");
  CHECK(weft::data_path("") == "");
  for (const char* literal : {"a~b/~", "~other/images", "cost$", "5$/kg", "${WEFT_TEST_DATA", "${}", "$1"})
    CHECK(weft::data_path(literal) == literal);
  CHECK_THROWS_WITH(weft::data_path("$WEFT_TEST_EMPTY/images"),
                    ContainsSubstring("$WEFT_TEST_EMPTY/images names $WEFT_TEST_EMPTY, which is not set"));
}

TEST_CASE("paths of data: what stands in the way of reading is said") {
  std::string pattern = (fs::temp_directory_path() / "weft-data-path-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  fs::permissions(folder, fs::perms(0755));
  fs::create_directory(folder / "closed");
  std::ofstream(folder / "file") << "text";
  std::ofstream(folder / "closed/file") << "text";
  CHECK_NOTHROW(weft::require_file(folder / "file"));
  CHECK_NOTHROW(weft::require_folder(folder / "closed"));
  CHECK_THROWS_WITH(weft::require_file("not/there", "Give one"),
                    Equals("not/there does not exist, seen from " + fs::current_path().string() +
                           ", the current folder, from which relative paths count. Give one"));
  CHECK_THROWS_WITH(weft::require_folder(folder / "none"), Equals((folder / "none").string() + " does not exist"));
  CHECK_THROWS_WITH(weft::require_folder(folder / "file/below"),
                    ContainsSubstring("does not exist: " + (folder / "file").string() + " is a file"));
  std::ofstream(folder / "cost$NAME") << "text";
  CHECK(weft::data_path((folder / "cost$NAME").string()) == folder / "cost$NAME");  // what is there is meant
  CHECK_THROWS_WITH(weft::require_folder(folder / "file"), ContainsSubstring("file is no folder"));
  CHECK_THROWS_WITH(weft::require_file(folder), ContainsSubstring("is a folder, not a file"));
  CHECK_THROWS_WITH(weft::require_file("/dev/null"), ContainsSubstring("is no file of data"));
  fs::create_symlink("circle", folder / "circle");
  CHECK_THROWS_WITH(weft::require_file(folder / "circle"), ContainsSubstring("cannot be read: Too many levels"));
  fs::permissions(folder / "file", fs::perms::none);
  fs::permissions(folder / "closed", fs::perms::none);
  {
    const AsNobody nobody;
    CHECK_THROWS_WITH(weft::require_file(folder / "file"), ContainsSubstring("file may not be read; check its perm"));
    CHECK_THROWS_WITH(weft::require_folder(folder / "closed"), ContainsSubstring("closed may not be read"));
    CHECK_THROWS_WITH(weft::require_file(folder / "closed/file"),
                      ContainsSubstring("may not be read: a folder on the way to it is closed to you"));
  }
  fs::permissions(folder / "closed", fs::perms::owner_all);
  fs::remove_all(folder);
}
