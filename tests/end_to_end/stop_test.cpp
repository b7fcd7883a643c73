// Stop signals: to the host, to all its processes, ignored ones; and what must not live on after any of them.

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// A trial that starts what is hard to find again, says who that is, and does not end.
const std::string family = R"(sleep 300 & echo $! >> pids
setsid sleep 301 & echo $! >> pids
(setsid sh -c 'echo $$ >> pids; trap "" TERM HUP INT; sleep 302 & echo $! >> pids; wait' &)
until [ $(wc -l < pids) = 4 ]; do sleep 0.01; done
echo $$ >> pids
wait)";

struct Running {
  explicit Running(const std::string& script, int trials = 1, int ignored = 0) {
    write_file(folder / "pipeline.json", command_pipeline(folder.path(), script, trials).dump());
    host = start({"run", "pipeline.json", "--study", "study", "--quiet"}, folder.path(), ignored);
  }

  // Those that the program wrote down, once they are so many.
  std::vector<int> pids(std::size_t count) {
    std::vector<int> found;
    wait_until(host, [&] {
      std::ifstream stream(folder / "pids");
      found.assign(std::istream_iterator<int>(stream), {});
      return found.size() >= count;
    });
    INFO(read_file(folder / "stderr.txt"));
    REQUIRE(found.size() >= count);
    return found;
  }
  int end() {
    host.wait();
    return host.exit_code();
  }
  Json trials() const { return trials_of(folder / "study", folder.path()); }

  TemporaryFolder folder;
  boost::process::child host;
};

}  // namespace

TEST_CASE("whatever a trial's program started ends with the host, however that is stopped") {
  const int signal = GENERATE(SIGINT, SIGTERM, SIGHUP, SIGKILL);
  Running running(family);
  const std::vector<int> pids = running.pids(5);
  for (const int pid : pids) REQUIRE(is_alive(pid));
  kill(running.host.id(), signal);
  running.host.wait();
  for (const int pid : pids) {
    INFO("signal " << signal);
    CHECK(ends(pid));
  }
}

TEST_CASE("whatever a trial's program started ends with its worker") {
  Running running(family, 2);
  const std::vector<int> pids = running.pids(5);
  for (const int worker : children_of(running.host.id())) kill(worker, SIGKILL);
  for (const int pid : pids) CHECK(ends(pid));
  kill(running.host.id(), SIGKILL);
  running.host.wait();
}

TEST_CASE("a stop signal to all processes of a study judges no trial, and it goes on where it stopped") {
  const int signal = GENERATE(SIGINT, SIGTERM, SIGHUP);
  Running running("echo $$ >> pids\n[ -e go ] || sleep 300\n" + command_result, 2);
  const int program = running.pids(1).front();
  SECTION("first to the host's group, then to the program's") {
    kill(-running.host.id(), signal);
    kill(-program, signal);
  }
  SECTION("first to the program, whose death is known before the host hears of anything") {
    // Again and again: a shell that is just about to start a command can miss an interrupt.
    for (int i = 0; i < 1000 && is_alive(program); ++i) {
      kill(-program, signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    REQUIRE(ends(program));
    kill(-running.host.id(), signal);
  }
  CHECK(running.end() == 130);
  for (const Json& trial : running.trials()) CHECK(trial.at("state") == "RUNNING");
  write_file(running.folder / "go", "");
  REQUIRE(run({"resume", "study", "--quiet"}, running.folder.path()).code == 0);
  for (const Json& trial : running.trials()) CHECK(trial.at("state") == "COMPLETE");
}

TEST_CASE("a signal that was ignored when the host started does not stop it") {
  Running running("echo $$ >> pids\nuntil [ -e go ]; do sleep 0.01; done\n" + command_result, 1, SIGHUP);
  running.pids(1);
  kill(-running.host.id(), SIGHUP);
  write_file(running.folder / "go", "");
  CHECK(running.end() == 0);
  CHECK(read_file(running.folder / "stderr.txt").find("stopping") == std::string::npos);
}
