// Searches over fidelities, and trials that are stopped: on a table, and by an executor that the test plays.

#include <fmt/format.h>

#include <fstream>
#include <set>

#include "host/execution/inline_executor.hpp"
#include "host/installation.hpp"
#include "host/plugins/schema.hpp"
#include "host/study/folder.hpp"
#include "host/study/judges.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "tests/host/scripted_search.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/library.hpp"

// Of libweft_torch, which this program does without.
void weft::detail::adopt_modules(const weft_context&) {}

using namespace weft::host;
using weft::Fidelity;
using weft::Json;
using weft::TrialId;
using weft::TrialState;
using weft::Verdict;
using weft::testing::table_pipeline;
using weft::testing::TemporaryFolder;

namespace {

// Every cell of NAS-Bench-201's space with its accuracy after 1, 2, .. epochs: what is good at the end begins slowly.
fs::path write_curves(const fs::path& file, int epochs) {
  const TemporaryFolder folder;
  std::ifstream plain(weft::testing::write_table(folder / "plain.csv"));
  std::ofstream curves(file);
  std::string line;
  std::getline(plain, line);
  curves << line;
  for (int epoch = 1; epoch <= epochs; ++epoch) curves << ",at_" << epoch;
  while (std::getline(plain, line)) {
    const double end = std::stod(line.substr(line.rfind(',') + 1));
    curves << "\n" << line;
    for (int epoch = 1; epoch <= epochs; ++epoch) curves << ',' << end * epoch / epochs;
  }
  curves << "\n";
  return file;
}

Json curve_pipeline(const fs::path& table, int trials, int epochs) {
  Json json = table_pipeline(table, trials);
  json["optimizer"] = {{"name", "random_search"}};
  json["evaluator"]["args"]["curve"] = {{"validation_accuracy", "at_{epoch}"}};
  json["evaluator"]["args"]["epochs"] = epochs;
  return json;
}

// A pipeline as it is run: with the real optimizer, in this process.
struct Study {
  explicit Study(const Json& description, Journal* journal = nullptr, Search::Observer observer = {})
      : catalogue(Catalogue::discover({})),
        pipeline(Pipeline::resolve(description, "test.json", catalogue)),
        assembly(pipeline, {}, Phase::search),
        optimizer(assembly.optimizer()),
        search({pipeline, assembly, optimizer, journal}, std::move(observer)),
        executor(assembly, pipeline.seed(),
                 [this](TrialId trial, const Json& report) { return search.report(trial, report); }) {}

  const std::deque<Trial>& trials() const { return search.trials().all(); }

  Catalogue catalogue;
  Pipeline pipeline;
  Assembly assembly;
  weft::OptimizerRef optimizer;
  Search search;
  InlineExecutor executor;
};

Json endings(const Study& study) {
  Json list = Json::array();
  for (const Trial& trial : study.trials()) {
    Json json = trial.to_json();
    json.erase("seconds");
    list.push_back(std::move(json));
  }
  return list;
}

// Says what it is told to say of the trials that a test names; keeps what it was told.
class Obedient final : public weft::Stopper {
 public:
  explicit Obedient(const weft::Context&) {}
  void observe(const weft::LearningCurve& curve) override { observed.push_back(curve); }
  weft::Judgement judge(const weft::LearningCurve& curve) override { return answer(curve); }
  void end(const weft::LearningCurve& curve, TrialState, std::optional<double>) override { ended.push_back(curve); }

  static inline std::vector<weft::LearningCurve> observed, ended;
  static inline std::function<weft::Judgement(const weft::LearningCurve&)> answer;
};
constexpr weft_component obedient = weft::component<Obedient>("obedient");

}  // namespace

TEST_CASE(
    "a stopper ends trials before their time, with its reason, and the journal's replay goes on to the same study") {
  const TemporaryFolder folder;
  Json description = curve_pipeline(write_curves(folder / "table.csv", 9), 40, 9);
  description["stoppers"] = {{{"name", "successive_halving"}, {"args", {{"minimum", 1}, {"maximum", 9}, {"eta", 3}}}}};
  Journal::create(folder / "whole.db", {{"weft", "test"}});
  Journal whole_journal(folder / "whole.db", Journal::Mode::append);
  Study whole(description, &whole_journal);
  REQUIRE(whole.search.run(whole.executor, never) == Search::Outcome::finished);
  const auto pruned = std::count_if(whole.trials().begin(), whole.trials().end(),
                                    [](const Trial& trial) { return trial.state == TrialState::pruned; });
  CHECK(pruned > 15);
  CHECK(pruned < 40);
  for (const Trial& trial : whole.trials()) {
    if (trial.state == TrialState::pruned) CHECK(trial.reason.starts_with("stopper successive_halving: "));
    CHECK_FALSE(trial.verdict);
  }
  for (const std::size_t ended : {1, 7, 23}) {
    const fs::path file = folder / fmt::format("{}.db", ended);
    Journal::create(file, {{"weft", "test"}});
    std::atomic<bool> stop = false;
    {
      Journal journal(file, Journal::Mode::append);
      std::size_t count = 0;
      Study part(description, &journal, {[&](const Trial&) { stop = ++count == ended; }, {}});
      part.search.run(part.executor, stop);
    }
    Journal journal(file, Journal::Mode::append);
    Study resumed(description, &journal);
    resumed.search.replay();
    resumed.search.go_on();
    REQUIRE(resumed.search.run(resumed.executor, never) == Search::Outcome::finished);
    CHECK(endings(resumed) == endings(whole));
  }
}

TEST_CASE("successive halving on the levels of a pipeline: the best is told among the highest") {
  const TemporaryFolder folder;
  Json description = curve_pipeline(write_curves(folder / "table.csv", 9), 1000, 9);
  description["fidelities"] = {
      {{"name", "short"}, {"cost", 1}, {"evaluator", {{"args", {{"metrics", {{"validation_accuracy", "at_1"}}}}}}}},
      {{"name", "whole"}, {"cost", 3}}};
  description["optimizer"] = {{"name", "successive_halving"}, {"args", {{"resource", "level"}, {"candidates", 30}}}};
  Study study(description);
  REQUIRE(study.search.run(study.executor, never) == Search::Outcome::finished);
  REQUIRE(study.trials().size() == 40);  // 30, and a third of them
  for (const Trial& trial : study.trials()) CHECK(trial.proposal.fidelity.level == (trial.id < 30 ? 0 : 1));
  const std::vector<TrialId> best = study.search.trials().best(11);
  CHECK(std::set<TrialId>(best.begin(), best.begin() + 10) == [] {
    std::set<TrialId> highest;
    for (TrialId id = 30; id < 40; ++id) highest.insert(id);
    return highest;
  }());
  CHECK(best[10] < 30);
  CHECK(study.search.trials().best()->id == best[0]);
}

TEST_CASE("what levels, stoppers and nested plugins have wrong is told at its place") {
  const TemporaryFolder folder;
  const Catalogue catalogue = Catalogue::discover({});
  const Json sound = curve_pipeline(write_curves(folder / "table.csv", 3), 5, 3);
  const auto refused = [&](const Json& changes, const std::string& why) {
    Json json = sound;
    json.merge_patch(changes);
    CHECK_THROWS_WITH(Pipeline::resolve(json, "test.json", catalogue), ContainsSubstring(why));
  };
  refused({{"fidelities", {{{"evaluator", {{"args", {{"epochz", 2}}}}}}}}},
          "test.json: /fidelities/0/evaluator/args/epochz is unknown");
  refused({{"fidelities", {{{"dataset", {{"args", Json::object()}}}}}}},
          "test.json: /fidelities/0/dataset is given, but the pipeline has no /dataset");
  refused({{"fidelities", {{{"cost", 0}}}}}, "/fidelities/0/cost");
  refused({{"stoppers", {{{"name", "medium"}}}}}, "did you mean \"median\"");
  refused({{"stoppers", {{{"name", "median"}, {"args", {{"grace", -1}}}}}}}, "test.json: /stoppers/0/args/grace is -1");
  refused({{"stoppers", {{{"name", "predictive_termination"}, {"args", {{"predictor", {{"name", "last_valu"}}}}}}}}},
          "/stoppers/0/args/predictor/name");
  refused({{"stoppers",
            {{{"name", "predictive_termination"},
              {"args", {{"predictor", {{"name", "last_value"}, {"args", {{"no", 1}}}}}}}}}}},
          "/stoppers/0/args/predictor/args/no is unknown");
  refused({{"optimizer", {{"name", "successive_halving"}, {"args", {{"candidates", 3}, {"maximum", 9}, {"eta", 1}}}}}},
          "/optimizer/args/eta is 1");
  refused({{"optimizer",
            {{"name", "successive_halving"},
             {"args", {{"candidates", 3}, {"maximum", 9}, {"sampler", {{"name", "hill"}}}}}}}},
          "/optimizer/args/sampler/name");
}

TEST_CASE("every installed pipeline is whole, and each of its profiles") {
  const Catalogue catalogue = Catalogue::discover({});
  const std::vector<std::string> names = Pipeline::installed();
  REQUIRE(names.size() > 30);
  for (const std::string& name : names) {
    const Json profiles =
        read_json(Installation::locate().pipelines / (name + ".json")).value("profiles", Json::object());
    CHECK_NOTHROW(Pipeline::load(name, {}, catalogue));
    for (const auto& [profile, unused] : profiles.items()) {
      INFO(name << ", " << profile);
      CHECK_NOTHROW(Pipeline::load(name, {.profile = profile}, catalogue));
    }
  }
}

TEST_CASE("a proposal asks for a level that there is, and goes on from what was kept") {
  const TemporaryFolder folder;
  const auto refused = [&](std::vector<weft::Proposal> proposals, const std::string& why) {
    Json description = table_pipeline(weft::testing::write_table(folder / "table.csv"), 5);
    description["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
    description["evaluator"] = {{"name", "command"}, {"args", {{"command", {"true"}}}}};
    fs::remove_all(folder / "study");
    const StudyFolder study = StudyFolder::create(folder / "study", "{}");
    Script script(description, std::move(proposals), 1);
    script.optimizer.may_resume.emplace();
    Search search(
        {.pipeline = script.pipeline, .assembly = script.assembly, .optimizer = script.optimizer, .folder = &study});
    CHECK_THROWS_WITH(search.run(script.executor, never), ContainsSubstring(why));
  };
  refused({cell(0, {.level = 0})}, "asks for level 0; expected one of the 0 of /fidelities");
  refused({cell(0, {.epochs = 0})}, "asks for 0 epochs");
  refused({cell(0, {.data_fraction = 1.5})}, "asks for a share of 1.5");
  refused({cell(0, {.epochs = 1}), cell(1), cell(0, {.epochs = 2, .resume_from = 0})},
          "goes on from trial 0, whose checkpoint is not kept");
}

TEST_CASE("checkpoints live as long as a trial may come to go on from them") {
  const TemporaryFolder folder;
  Json description = table_pipeline(weft::testing::write_table(folder / "table.csv"), 4);
  description["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  description["evaluator"] = {{"name", "command"}, {"args", {{"command", {"true"}}}}};
  const StudyFolder study = StudyFolder::create(folder / "study", "{}");
  Script script(description,
                {cell(0, {.epochs = 1}), cell(1, {.epochs = 1}), cell(1, {.epochs = 2, .resume_from = 1}), cell(2)}, 1);
  script.optimizer.may_resume = {0};
  Search search(
      {.pipeline = script.pipeline, .assembly = script.assembly, .optimizer = script.optimizer, .folder = &study});
  const auto checkpoint = [&](TrialId trial) { return study.trial(trial) / "checkpoint.pt"; };
  script.optimizer.most_at_once = 1;
  std::vector<std::vector<bool>> kept;
  script.executor.answer = [&](Held& held, TrialId trial) {
    fs::create_directories(study.trial(trial));
    std::ofstream(checkpoint(trial)) << "checkpoint";
    kept.push_back({fs::exists(checkpoint(0)), fs::exists(checkpoint(1))});
    if (trial == 1) script.optimizer.may_resume = {1};
    if (trial == 2) script.optimizer.may_resume->clear();  // while trial 2 goes on from trial 1
    return held.end(trial, TrialState::complete);
  };
  REQUIRE(search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(kept == std::vector<std::vector<bool>>{{true, false}, {true, true}, {false, true}, {false, false}});
  CHECK(script.executor.folders.at(2).resume == study.trial(1));
}

TEST_CASE("a trial that was paused waits for whoever goes on from it") {
  const TemporaryFolder folder;
  Json description = curve_pipeline(write_curves(folder / "table.csv", 4), 2, 4);
  description["stoppers"] = {{{"name", "patience"}}};
  Script script(description, {cell(0), cell(0, {.resume_from = 0})}, 1);
  Search search({.pipeline = script.pipeline, .assembly = script.assembly, .optimizer = script.optimizer});
  script.executor.answer = [&](Held& held, TrialId trial) {
    if (trial == 0) search.trials().at(0).verdict = StandingVerdict{Verdict::pause, 1, "stopper x", "later", {}};
    return held.end(trial, trial == 0 ? TrialState::paused : TrialState::complete);
  };
  REQUIRE(search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(search.trials().at(0).state == TrialState::paused);
  CHECK(search.trials().at(0).reason == "stopper x: later");
  CHECK(search.trials().at(1).state == TrialState::complete);
  REQUIRE(script.optimizer.told.size() == 2);
  CHECK(script.optimizer.told[0].state == TrialState::paused);
}

TEST_CASE("a trial waits for the judgement of its own report, and no other waits with it") {
  using namespace std::chrono_literals;
  const TemporaryFolder folder;
  Json description = curve_pipeline(write_curves(folder / "table.csv", 4), 2, 4);
  description["stoppers"] = {{{"name", "patience"}}};
  const Catalogue catalogue = Catalogue::discover({});
  const Pipeline pipeline = Pipeline::resolve(description, "test.json", catalogue);
  std::atomic<bool> goes = false;
  Obedient::observed.clear();
  Obedient::ended.clear();
  Obedient::answer = [&](const weft::LearningCurve& curve) {
    while (!goes) std::this_thread::sleep_for(1ms);
    return curve.trial == 1 ? weft::Judgement::stop("enough", 12.5) : weft::Judgement{};
  };
  const weft::testing::Instance instance(obedient, Json::object());
  Judges judges(pipeline, {weft::StopperRef(instance.handle())}, true);
  weft::LearningCurve first{.trial = 0, .epochs = {1}, .rewards = {3.0}},
      second{.trial = 1, .epochs = {1}, .rewards = {2.0}};
  judges.observe(first);
  judges.judge(first, 1);
  judges.observe(second);
  judges.judge(second, 1);
  CHECK(judges.take().empty());  // the caller does not wait
  CHECK_FALSE(judges.alarm().rings());
  CHECK_FALSE(judges.settle(10ms));
  goes = true;
  REQUIRE(judges.settle(60s));
  CHECK(judges.alarm().rings());
  const std::vector<Ruling> rulings = judges.take();
  CHECK_FALSE(judges.alarm().rings());
  REQUIRE(rulings.size() == 2);
  CHECK(rulings[0].judgement.verdict == Verdict::go_on);
  CHECK(rulings[1].trial == 1);
  CHECK(rulings[1].by == "stopper patience");
  CHECK(rulings[1].judgement.predicted == 12.5);
  CHECK(Obedient::observed.size() == 2);

  Obedient::answer = [](const weft::LearningCurve&) -> weft::Judgement { throw weft::Error("lost count"); };
  judges.judge(first, 2);
  REQUIRE(judges.settle(60s));
  CHECK_THROWS_WITH(judges.take(),
                    ContainsSubstring("stopper patience") && ContainsSubstring("judge, trial 0: lost count"));
}
