// The program is not a way to rights that its caller does not have.

#include "host/processes/rights.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/error.hpp"

using namespace weft::testing;

TEST_CASE("with rights that its caller does not have the host does not begin") {
  CHECK_NOTHROW(weft::host::expect_own_rights(false));
  CHECK_THROWS_WITH(weft::host::expect_own_rights(true),
                    ContainsSubstring("set-user-ID") && ContainsSubstring("chmod ug-s"));
}

TEST_CASE("the program, set-user-ID, refuses to run at all") {
  const TemporaryFolder folder;
  struct statvfs mount {};
  REQUIRE(statvfs(folder.path().c_str(), &mount) == 0);
  if (geteuid() != 0 || (mount.f_flag & ST_NOSUID) != 0) {
    WARN("SKIPPED: needs root, and a file system that heeds the bit");
    return;
  }
  const fs::path copy = folder / "weft";
  fs::copy_file(program, copy);
  REQUIRE(chown(copy.c_str(), 12345, 12345) == 0);
  REQUIRE(chmod(copy.c_str(), 04755) == 0);
  boost::process::ipstream errors;
  const int code = boost::process::system(copy.string(), "--version", boost::process::std_out > boost::process::null,
                                          boost::process::std_err > errors);
  std::string words;
  std::getline(errors, words);
  CHECK(code == 2);
  CHECK_THAT(words, ContainsSubstring("set-user-ID"));
}
