// The executor of worker processes: waiting, cancelling, watching.

#include "host/execution/local_executor.hpp"

#include <thread>

#include "host/execution/assembly.hpp"
#include "host/plugins/catalogue.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/error.hpp"

using namespace weft::host;
using namespace std::chrono_literals;
using weft::Json;
using weft::TrialId;
using weft::TrialState;
using weft::Verdict;
using weft::testing::command_pipeline;
using weft::testing::command_result;
using weft::testing::TemporaryFolder;

namespace {

constexpr auto for_ever = std::chrono::hours(24);  // a test that waits in vain is ended by its time limit

// A script on two slots; $1 is the trial.
struct Bench {
  explicit Bench(const std::string& script, const std::vector<std::string>& slots = {"cpu:1", "cpu:1"})
      : executor(slots,
                 {{"pipeline",
                   command_pipeline(folder.path(),
                                    "set -- $(echo \"$r\" | grep -o '\"trial\":[0-9]*' | cut -d: -f2)\n" + script, 1)},
                  {"file", "test.json"},
                  {"plugin_path", Json::array()},
                  {"phase", "search"}},
                 "evaluator command", [this](TrialId trial, const Json& report) {
                   reports.push_back({trial, report.at("epoch")});
                   return Verdict::go_on;
                 }) {}

  void start(TrialId trial) { executor.start({.trial = trial, .genotype = genotype}); }
  JobResult result() { return executor.wait(for_ever).value(); }

  TemporaryFolder folder;
  weft::Genotype genotype = sample();
  LocalExecutor executor;
  std::vector<std::pair<TrialId, int>> reports;

 private:
  static weft::Genotype sample() {
    const TemporaryFolder folder;
    const Catalogue catalogue = Catalogue::discover({});
    const Pipeline pipeline =
        Pipeline::resolve(command_pipeline(folder.path(), command_result, 1), "test.json", catalogue);
    Assembly assembly(pipeline, {}, Phase::search);
    weft::Rng rng(1);
    return assembly.space().sample(rng);
  }
};

}  // namespace

TEST_CASE("wait handles message after message, from each worker, and rests only when there is none") {
  Bench bench(
      "for epoch in 1 2 3 4 5; do echo \"{\\\"event\\\": \\\"report\\\", \\\"epoch\\\": $epoch}\"; read -r v; done\n" +
      command_result);
  bench.start(0);
  bench.start(1);
  CHECK(bench.executor.free_slots() == 0);
  CHECK(bench.result().state == TrialState::complete);
  CHECK(bench.result().state == TrialState::complete);
  CHECK(bench.executor.free_slots() == 2);
  CHECK(bench.reports.size() == 10);
}

TEST_CASE("a wait of no time hears what has arrived") {
  Bench bench("echo '{\"event\": \"report\", \"epoch\": 1}'; read -r v\n" + command_result);
  bench.start(0);
  std::optional<JobResult> result;
  while (!result) result = bench.executor.wait(0ms);
  CHECK(result->state == TrialState::complete);
  CHECK(bench.reports.size() == 1);
}

TEST_CASE("a trial that does not end is cancelled: pruned, with the reason, and its slot is free again") {
  Bench bench("[ $1 = 1 ] || sleep 600\n" + command_result);
  bench.start(0);
  CHECK_FALSE(bench.executor.wait(10ms));
  bench.executor.cancel(7, "nobody has heard of it");
  bench.executor.cancel(0, "the time is over");
  const JobResult result = bench.result();
  CHECK(result.trial == 0);
  CHECK(result.state == TrialState::pruned);
  CHECK(result.reason == "the time is over");
  CHECK(bench.executor.free_slots() == 2);
  bench.start(1);
  CHECK(bench.result().state == TrialState::complete);
}

TEST_CASE("a trial whose report is heard while it is being cancelled has time to end by itself") {
  Bench bench("echo '{\"event\": \"report\", \"epoch\": 1}'; read -r v\n" + command_result, {"cpu:1"});
  std::chrono::milliseconds pause = 100ms;
  do {  // the report must lie there, unread
    bench.start(0);
    std::this_thread::sleep_for(pause *= 2);
    bench.executor.cancel(0, "silent");
  } while (bench.reports.empty() && bench.result().state == TrialState::pruned);
  CHECK(bench.reports.size() == 1);
  CHECK(bench.result().state == TrialState::complete);
}

TEST_CASE("an idle worker that died fails no trial") {
  Bench bench(command_result, {"cpu:1"});
  bench.start(0);
  CHECK(bench.result().state == TrialState::complete);
  for (const int worker : weft::testing::children_of(getpid())) {
    kill(worker, SIGKILL);
    CHECK(weft::testing::ends(worker));
  }
  bench.start(1);
  CHECK(bench.result().state == TrialState::complete);
}

TEST_CASE("slots beyond the limit of descriptors are refused by number") {
  CHECK_NOTHROW(LocalExecutor::check_slots(1, "p.json: /executor/slots"));
  CHECK_THROWS_WITH(LocalExecutor::check_slots(100'000'000'000, "p.json: /executor/slots"),
                    ContainsSubstring("p.json: /executor/slots has 100000000000 slots; must not exceed"));
}
