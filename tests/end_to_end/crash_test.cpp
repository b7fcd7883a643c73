// kill -9 of the host and of a worker, Ctrl-C, and what resume makes of it.

#include <SQLiteCpp/SQLiteCpp.h>

#include <csignal>
#include <map>
#include <set>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

struct Event {
  std::string kind;
  int trial;
};

// None before the study has begun.
std::vector<Event> events_of(const fs::path& study) {
  if (!fs::exists(study / "study.db")) return {};
  SQLite::Database database((study / "study.db").string(), SQLite::OPEN_READWRITE, 5000);  // the host may be at it
  SQLite::Statement query(database, "SELECT kind, trial FROM events ORDER BY sequence");
  std::vector<Event> events;
  while (query.executeStep()) events.push_back({query.getColumn(0).getString(), query.getColumn(1).getInt()});
  return events;
}

}  // namespace

TEST_CASE("a table study killed twenty times ends as an undisturbed one") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 60);
  // In a worker, so that there is something to kill in every moment.
  description["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 20, 0.35, 1);
  REQUIRE(trials_of(folder / "killed", folder.path()) == trials_of(folder / "undisturbed", folder.path()));
}

TEST_CASE("a training study killed over and over ends as an undisturbed one, and trains nothing to completion twice") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", training_pipeline(8, {"cpu:1"}).dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  run_with_kills(pipeline, folder / "killed", folder.path(), 20, 2.5, 2);
  REQUIRE(trials_of(folder / "killed", folder.path()) == trials_of(folder / "undisturbed", folder.path()));
  std::map<int, int> told;
  for (const Event& event : events_of(folder / "killed")) {
    if (event.kind == "tell") REQUIRE(++told[event.trial] == 1);
    if (event.kind == "start") REQUIRE(told[event.trial] == 0);
  }
}

TEST_CASE("with two slots nothing is lost, and finished trials keep their results") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", training_pipeline(8, {"cpu:1", "cpu:1"}).dump());
  const fs::path study = folder / "study";
  auto child = start({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder.path());
  wait_until(child, [&] {
    const std::vector<Event> events = events_of(study);
    return std::count_if(events.begin(), events.end(), [](const Event& event) { return event.kind == "tell"; }) >= 3;
  });
  kill(child.id(), SIGKILL);
  child.wait();
  const Json before = trials_of(study, folder.path());
  const Ran resumed = run({"resume", study.string(), "--quiet"}, folder.path());
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  const Json after = trials_of(study, folder.path());
  REQUIRE(after.size() >= 8);
  std::size_t finished = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    REQUIRE(after[i].at("genotype") == before[i].at("genotype"));
    if (before[i].at("state") != "COMPLETE") continue;
    ++finished;
    REQUIRE(after[i] == before[i]);
  }
  REQUIRE(finished >= 1);
  for (const Json& trial : after) REQUIRE((trial.at("state") == "COMPLETE" || trial.at("state") == "PRUNED"));
}

TEST_CASE("a killed worker fails its trial alone and is replaced") {
  const TemporaryFolder folder;
  // Long trials, so that the worker is still at it when it is killed.
  Json description = training_pipeline(4, {"cpu:1"});
  description["evaluator"]["args"]["epochs"] = 40;
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const fs::path study = folder / "study";
  auto child = start({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder.path());
  // Once a trial has reported its first epoch, its worker is in the middle of it.
  int killed_trial = -1;
  wait_until(child, [&] {
    const std::vector<Event> events = events_of(study);
    if (events.empty() || events.back().kind != "report") return false;
    killed_trial = events.back().trial;
    for (const int worker : children_of(child.id())) kill(worker, SIGKILL);
    return true;
  });
  child.wait();
  REQUIRE(child.exit_code() == 0);
  REQUIRE(killed_trial >= 0);
  const Json trials = trials_of(study, folder.path());
  std::size_t failed = 0;
  for (const Json& trial : trials) {
    if (trial.at("state") != "FAIL") continue;
    ++failed;
    REQUIRE(trial.at("reason").get<std::string>().find("signal 9") != std::string::npos);
  }
  REQUIRE(failed == 1);
  REQUIRE(trials.size() >= 4);
}

TEST_CASE("Ctrl-C leaves a study that goes on where it stopped") {
  const TemporaryFolder folder;
  const fs::path pipeline = write_file(folder / "pipeline.json", training_pipeline(10, {"cpu:1"}).dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "undisturbed", "--quiet"}, folder.path()).code == 0);
  const fs::path study = folder / "study";
  auto child = start({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder.path());
  wait_until(child, [&] { return events_of(study).size() > 6; });
  kill(child.id(), SIGINT);
  child.wait();
  REQUIRE(child.exit_code() == 130);
  REQUIRE(read_file(folder / "stderr.txt").find("weft resume") != std::string::npos);
  REQUIRE(run({"resume", study.string(), "--quiet"}, folder.path()).code == 0);
  REQUIRE(trials_of(study, folder.path()) == trials_of(folder / "undisturbed", folder.path()));
}

TEST_CASE("a study that another process works on is left alone") {
  const TemporaryFolder folder;
  Json description = training_pipeline(50, {"cpu:1"});
  const fs::path pipeline = write_file(folder / "pipeline.json", description.dump());
  const fs::path study = folder / "study";
  auto child = start({"run", pipeline.string(), "--study", study.string(), "--quiet"}, folder.path());
  wait_until(child, [&] { return fs::exists(study / "study.db"); });
  const Ran second = run({"resume", study.string()}, folder.path());
  REQUIRE(second.code == 1);
  REQUIRE(second.err.find("another weft process") != std::string::npos);
  kill(child.id(), SIGKILL);
  child.wait();
}

TEST_CASE("resume refuses when a plugin proposes differently") {
  const TemporaryFolder folder;
  const fs::path pipeline =
      write_file(folder / "pipeline.json", table_pipeline(write_table(folder / "table.csv"), 30).dump());
  REQUIRE(run({"run", pipeline.string(), "--study", "study", "--quiet"}, folder.path()).code == 0);
  // As if the study had been begun with a plugin that draws differently.
  Json stored = Json::parse(read_file(folder / "study/pipeline.json"));
  stored["seed"] = 6;
  write_file(folder / "study/pipeline.json", stored.dump());
  const Ran resumed = run({"resume", "study", "--accept-changes"}, folder.path());
  REQUIRE(resumed.code == 1);
  REQUIRE(resumed.err.find("optimizer regularized_evolution proposes differently") != std::string::npos);
  REQUIRE(resumed.err.find("Trial 0") != std::string::npos);
  // Nothing was recorded of what cannot be: the study goes on once the seed is put back.
  stored["seed"] = 5;
  write_file(folder / "study/pipeline.json", stored.dump());
  REQUIRE(run({"resume", "study", "--set", "/budget/trials=40", "--quiet"}, folder.path()).code == 0);
}
