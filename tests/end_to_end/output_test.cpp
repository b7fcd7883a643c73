// Where answers and remarks go, and what happens when they cannot: closed descriptors, full disks, readers that leave,
// locales that are not installed.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

struct Shell {
  Shell() {
    Json pipeline = table_pipeline(write_table(folder / "table.csv"), 200);
    write_file(folder / "table.json", pipeline.dump());
    pipeline["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
    pipeline["budget"] = {{"trials", 5}};
    pipeline["optimizer"] = {{"name", "random_search"}};
    write_file(folder / "workers.json", pipeline.dump());
    fs::create_symlink(program, folder / "weft");
  }

  // Standard error goes to err.txt, unless the command says something else.
  int operator()(const std::string& command) const {
    return boost::process::system("/bin/bash", "-c", "set -o pipefail; exec 2> err.txt; " + command,
                                  boost::process::start_dir = folder.path().string());
  }
  std::string errors() const { return read_file(folder / "err.txt"); }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("an answer that cannot be written is an error") {
  const Shell shell;
  REQUIRE(shell("./weft run table.json --study study --quiet > /dev/null") == 0);
  for (const std::string command :
       {"trials study --json", "trials study", "best study", "export study --format dot", "doctor --json", "--version",
        "--help", "plugin list", "plugin show accuracy", "check table.json", "run table.json --no-journal",
        "run table.json --no-journal --json", "resume study --json"}) {
    INFO(command);
    CHECK(shell("./weft " + command + " > /dev/full") == 1);
    CHECK_THAT(shell.errors(), ContainsSubstring("standard output: the answer cannot be written: No space left"));
  }
  CHECK(shell("./weft trials study >&-") == 1);
  CHECK_THAT(shell.errors(), ContainsSubstring("standard output: the answer cannot be written: Bad file descriptor"));
}

TEST_CASE("an answer waits for room in a pipe that does not block") {
  const Shell shell;
  REQUIRE(shell("./weft run table.json --study study --quiet > /dev/null") == 0);
  REQUIRE(shell("./weft trials study --json > whole.json") == 0);
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  fcntl(ends[0], F_SETFL, 0);
  fcntl(ends[1], F_SETPIPE_SZ, 4096);
  std::FILE* const end = fdopen(ends[1], "w");
  const std::string whole = read_file(shell.folder / "whole.json");
  REQUIRE(whole.size() > 2 * 4096);
  boost::process::child weft(program, "trials", "study", "--json", boost::process::std_out > end,
                             boost::process::start_dir = shell.folder.path().string());
  std::fclose(end);
  std::string read_slowly;
  std::array<char, 1024> piece{};
  for (ssize_t count = 0; (count = read(ends[0], piece.data(), piece.size())) > 0;) {
    read_slowly.append(piece.data(), static_cast<std::size_t>(count));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  close(ends[0]);
  weft.wait();
  CHECK(weft.exit_code() == 0);
  CHECK(read_slowly == whole);
}

TEST_CASE("a reader of answers that has had enough ends the program quietly, as it ends others") {
  const Shell shell;
  REQUIRE(shell("./weft run table.json --study study --quiet > /dev/null") == 0);
  // The reader has left before the answer begins: what fits into a pipe would not tell.
  REQUIRE(shell("mkfifo left") == 0);
  CHECK(shell("{ cat left; ./weft trials study --json; } | { exec < /dev/null; echo > left; }") == 128 + SIGPIPE);
  CHECK(shell.errors().empty());
}

TEST_CASE("remarks that cannot be written stop no study") {
  const Shell shell;
  CHECK(shell("./weft run workers.json --study closed 2>&- > /dev/null") == 0);
  CHECK(shell("./weft run workers.json --study full 2> /dev/full > /dev/null") == 0);
  CHECK(shell("./weft run workers.json --study gone 2>&1 > /dev/null | true") == 0);
  CHECK(shell("./weft run workers.json --study none <&- >&- 2>&-") == 1);  // its answer is lost, the study is not
  for (const char* study : {"closed", "full", "gone", "none"}) {
    INFO(study);
    const Json trials = trials_of(shell.folder / study, shell.folder.path());
    CHECK(trials.size() == 5);
    for (const Json& trial : trials) CHECK(trial.at("state") == "COMPLETE");
  }
}

TEST_CASE("a locale that is not installed is no obstacle") {
  const Shell shell;
  for (const std::string variable : {"LC_ALL", "LANG", "LC_CTYPE"}) {
    INFO(variable);
    const std::string weft = "unset LC_ALL LANG; env " + variable + "=xx_XX.UTF-8 ./weft ";
    CHECK(shell(weft + "doctor > /dev/null") <= 1);
    CHECK_THAT(shell.errors(), !ContainsSubstring("locale"));
    CHECK(shell(weft + "run workers.json --study " + variable + " --quiet > /dev/null") == 0);
    const int drawn = shell(weft + "export " + variable + " --format svg > picture.svg");
    INFO(shell.errors());
    CHECK((drawn == 0 || shell.errors().find("graphviz") != std::string::npos));
  }
}
