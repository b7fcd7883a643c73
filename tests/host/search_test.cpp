// The search in one process, on the table of a space made by the test: order, budgets, duplicates, failures, replay.

#include "host/study/search.hpp"

#include <fmt/format.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "host/execution/inline_executor.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/study/folder.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "tests/host/scripted_search.hpp"

using namespace weft::host;
using weft::Json;
using weft::TrialId;
using weft::TrialState;
using weft::testing::table_pipeline;
using weft::testing::TemporaryFolder;
using weft::testing::write_table;
namespace fs = std::filesystem;

namespace {

// Runs jobs at once, but hands their results over in another order.
class Reordering final : public Executor {
 public:
  Reordering(Assembly& assembly, std::size_t slots, OnReport on_report)
      : assembly_(assembly), slots_(slots), on_report_(std::move(on_report)) {}
  std::size_t free_slots() const override { return slots_ - results_.size(); }
  void start(const Job& job) override {
    started.push_back(job.trial);
    results_.push_back(InlineExecutor::run_job(assembly_, job, 1, on_report_));
    if (job.trial == failing)
      results_.back() = {.trial = job.trial, .state = TrialState::fail, .reason = "as the test wants it"};
  }
  std::optional<JobResult> wait(std::chrono::milliseconds) override {
    if (results_.empty()) return {};
    JobResult last = results_.back();
    results_.pop_back();
    return last;
  }
  std::vector<SlotStatus> status() const override { return {}; }

  std::vector<TrialId> started;
  TrialId failing = -1;

 private:
  Assembly& assembly_;
  std::size_t slots_;
  OnReport on_report_;
  std::vector<JobResult> results_;
};

struct Bench {
  explicit Bench(const Json& description, Journal* journal = nullptr, std::size_t slots = 3)
      : catalogue(Catalogue::discover({})),
        pipeline(Pipeline::resolve(description, "test.json", catalogue)),
        assembly(pipeline, {}, Phase::search),
        optimizer(assembly.optimizer()),
        search({pipeline, assembly, optimizer, journal}),
        executor(assembly, slots, [this](TrialId trial, const Json& report) { return search.report(trial, report); }) {}

  Catalogue catalogue;
  Pipeline pipeline;
  Assembly assembly;
  weft::OptimizerRef optimizer;
  Search search;
  Reordering executor;
};

Json genotypes(const Trials& trials) {
  Json list = Json::array();
  for (const Trial& trial : trials.all())
    list.push_back({trial.proposal.genotype.to_json(), std::string(weft::to_string(trial.state)), trial.reward});
  return list;
}

}  // namespace

TEST_CASE("the budget of trials is kept exactly, with several slots and results out of order") {
  const TemporaryFolder folder;
  Bench bench(table_pipeline(write_table(folder / "table.csv"), 50));
  REQUIRE(bench.search.run(bench.executor, never) == Search::Outcome::finished);
  CHECK(bench.search.trials().size() == 50);
  CHECK(bench.search.trials().ended() == 50);
  for (const Trial& trial : bench.search.trials().all()) CHECK(trial.state == TrialState::complete);
}

TEST_CASE("a duplicate is not evaluated again unless the pipeline says so") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 150);
  Bench reusing(description);
  reusing.search.run(reusing.executor, never);
  std::set<std::string> distinct;
  for (const Trial& trial : reusing.search.trials().all()) distinct.insert(trial.proposal.genotype.key());
  CHECK(reusing.executor.started.size() == distinct.size());
  CHECK(distinct.size() < 150);
  description["duplicates"] = "evaluate";
  Bench evaluating(description);
  evaluating.search.run(evaluating.executor, never);
  CHECK(evaluating.executor.started.size() == 150);
}

TEST_CASE("a budget of unique candidates counts neither duplicates nor what waits for a twin") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 300);
  description["budget"] = {{"unique", 100}};
  for (const std::size_t slots : {std::size_t{1}, std::size_t{4}}) {
    Bench bench(description, nullptr, slots);
    REQUIRE(bench.search.run(bench.executor, never) == Search::Outcome::finished);
    std::size_t evaluated = 0;
    for (const Trial& trial : bench.search.trials().all()) evaluated += trial.duplicate_of ? 0 : 1;
    CHECK(evaluated == 100);
    CHECK(bench.executor.started.size() == 100);
    CHECK(bench.search.trials().size() > 100);  // evolution proposes some again
    CHECK(bench.search.trials().end_reason() == "budget");
  }
}

TEST_CASE("a failed trial is told, counted, and the search goes on") {
  const TemporaryFolder folder;
  Bench bench(table_pipeline(write_table(folder / "table.csv"), 30));
  bench.executor.failing = 4;
  REQUIRE(bench.search.run(bench.executor, never) == Search::Outcome::finished);
  CHECK(bench.search.trials().failed() >= 1);
  CHECK(bench.search.trials().at(4).reason == "evaluator table: as the test wants it");
  CHECK(bench.search.trials().ended() == 30);
}

TEST_CASE("replay of any prefix of the journal goes on to the same study") {
  const TemporaryFolder folder;
  const Json description = table_pipeline(write_table(folder / "table.csv"), 40);
  Journal::create(folder / "whole.db", {{"weft", "test"}});
  std::vector<Journal::Event> events;
  {
    Journal journal(folder / "whole.db", Journal::Mode::append);
    Bench bench(description, &journal);
    bench.search.run(bench.executor, never);
    journal.for_each([&](const Journal::Event& event) { events.push_back(event); });
  }
  // The order of results is part of the journal; after it, the rest may differ, so it is compared up to there.
  for (const std::size_t length :
       {std::size_t{1}, std::size_t{7}, events.size() / 3, events.size() / 2, events.size() - 2}) {
    const std::string file = fmt::format("prefix-{}.db", length);
    Journal::create(folder / file, {{"weft", "test"}});
    Journal journal(folder / file, Journal::Mode::append);
    Trials before;
    std::size_t end = length;
    while (end < events.size() && events[end].kind == "proposal")
      ++end;  // an ask and its proposals are one transaction
    for (std::size_t i = 1; i < end; ++i) {
      journal.append(events[i].elapsed, events[i].kind, events[i].trial, events[i].body.dump());
      before.apply(events[i]);
    }
    Bench bench(description, &journal);
    bench.search.replay();
    bench.search.go_on();
    REQUIRE(bench.search.run(bench.executor, never) == Search::Outcome::finished);
    REQUIRE(bench.search.trials().ended() == 40);
    for (const Trial& trial : before.all()) {
      const Trial& after = bench.search.trials().at(trial.id);
      CHECK(after.proposal.genotype == trial.proposal.genotype);
      if (!trial.under_way()) CHECK(after.reward == trial.reward);
    }
  }
}

TEST_CASE("the same pipeline and order of results give the same study") {
  const TemporaryFolder folder;
  const Json description = table_pipeline(write_table(folder / "table.csv"), 60);
  Bench first(description), second(description);
  first.search.run(first.executor, never);
  second.search.run(second.executor, never);
  CHECK(genotypes(first.search.trials()) == genotypes(second.search.trials()));
}

TEST_CASE("interrupted, the search stops and says so") {
  const TemporaryFolder folder;
  Bench bench(table_pipeline(write_table(folder / "table.csv"), 60));
  const std::atomic<bool> at_once = true;
  CHECK(bench.search.run(bench.executor, at_once) == Search::Outcome::interrupted);
  CHECK(bench.search.trials().size() == 0);
}

// ---- what an optimizer may do to the loop -----------------------------------------------------------------------

namespace {

Json without_trials(const fs::path& table, const Json& budget) {
  Json description = table_pipeline(table, 1);
  description["budget"] = budget;
  return description;
}

}  // namespace

TEST_CASE("duplicates that wait for a running twin take its room, and the workers are served meanwhile") {
  const TemporaryFolder folder;
  Script script(table_pipeline(write_table(folder / "table.csv"), 50), {cell(1)}, 4);
  script.executor.answer = [](Held& held, TrialId trial) -> std::optional<JobResult> {
    if (held.waits < 20) return {};
    return held.end(trial, TrialState::complete);
  };
  std::size_t most_open = 0;
  const auto answer = script.executor.answer;
  script.executor.answer = [&](Held& held, TrialId trial) {
    most_open = std::max(most_open, script.search.trials().size() - script.search.trials().ended());
    return answer(held, trial);
  };
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(most_open == 4);
  CHECK(script.executor.started.size() == 1);
  CHECK(script.search.trials().ended() == 50);
}

TEST_CASE("a trial is given the folders of the one that it goes on from and of its parent") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 5);
  description["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
  std::vector<weft::Proposal> proposals = {cell(0), cell(1), cell(2), cell(0, {.epochs = 5, .resume_from = 0}),
                                           cell(3)};
  proposals[2].parent = 1;
  proposals[3].parent = 1;
  Script script(description, proposals, 1);
  const StudyFolder study = StudyFolder::create(folder / "study", "{}");
  Search search(
      {.pipeline = script.pipeline, .assembly = script.assembly, .optimizer = script.optimizer, .folder = &study});
  search.run(script.executor, never);
  const auto& found = script.executor.folders;
  REQUIRE(found.size() == 5);
  CHECK_FALSE(found.at(0).resume);
  CHECK_FALSE(found.at(0).inherit);
  CHECK(found.at(2).inherit == study.trial(1));
  CHECK_FALSE(found.at(2).resume);
  CHECK(found.at(3).inherit == study.trial(1));
  CHECK(found.at(3).resume == study.trial(0));
  CHECK_FALSE(found.at(4).inherit);
}

namespace {

// Children that inherit, of trials of a script; evaluated by hand, with files.
struct Heredity {
  explicit Heredity(std::vector<weft::Proposal> proposals, std::size_t slots, const Json& changes = Json::object())
      : script(description(folder / "table.csv", proposals.size(), changes), proposals, slots),
        study(StudyFolder::create(folder / "study", "{}")) {
    script.optimizer.retained.emplace();
    search.emplace(Search::Parts{.pipeline = script.pipeline,
                                 .assembly = script.assembly,
                                 .optimizer = script.optimizer,
                                 .folder = &study});
    script.executor.answer = [this](Held& held, TrialId trial) {
      fs::create_directories(study.trial(trial));
      std::ofstream(weights(trial)) << "weights";
      return held.end(trial, failing.contains(trial) ? TrialState::fail : TrialState::complete, "as the test wants it");
    };
  }
  void run() { REQUIRE(search->run(script.executor, never) == Search::Outcome::finished); }
  fs::path weights(TrialId trial) const { return study.trial(trial) / "weights.pt"; }
  const Trial& trial(TrialId id) { return search->trials().at(id); }

  static Json description(const fs::path& table, std::size_t trials, const Json& changes) {
    Json json = table_pipeline(write_table(table), static_cast<int>(trials));
    json["executor"] = {{"name", "local"}, {"slots", {"cpu:1"}}};
    json["evaluator"] = {{"name", "command"}, {"args", {{"command", {"true"}}}}};
    json.merge_patch(changes);
    return json;
  }

  const TemporaryFolder folder;
  Script script;
  StudyFolder study;
  std::optional<Search> search;
  std::set<TrialId> failing;
};

weft::Proposal child(std::int32_t first, TrialId parent) {
  weft::Proposal proposal = cell(first);
  proposal.parent = parent;
  proposal.transfer = {{"transfer", 1}, {"steps", {{{"morph", "grown"}}}}};
  return proposal;
}

}  // namespace

TEST_CASE("a child waits for its parent, and begins when that has ended") {
  Heredity heredity({cell(0), cell(1), child(2, 0), child(3, 2)}, 4);
  const auto answer = heredity.script.executor.answer;
  std::vector<std::optional<TrialId>> waited;
  heredity.script.optimizer.most_at_once = 1;
  heredity.script.executor.answer = [&](Held& held, TrialId oldest) -> std::optional<JobResult> {
    if (held.waits < 10) return {};  // until all are proposed
    if (waited.empty()) waited = {heredity.trial(2).waits_for, heredity.trial(3).waits_for};
    return answer(held, oldest);
  };
  heredity.run();
  CHECK(waited == std::vector<std::optional<TrialId>>{0, 2});
  CHECK(heredity.script.executor.started == std::vector<TrialId>{0, 1, 2, 3});
  CHECK(heredity.script.executor.folders.at(3).inherit == heredity.study.trial(2));
  CHECK(heredity.trial(3).morphs() == std::vector<std::string>{"grown"});
}

TEST_CASE("a child of what failed fails with it, and of a duplicate it inherits from the original") {
  Heredity heredity({cell(0), cell(1), child(2, 0), cell(1), child(3, 3)}, 1);
  heredity.failing = {0};
  heredity.run();
  CHECK(heredity.trial(2).state == TrialState::fail);
  CHECK(heredity.trial(2).reason.starts_with("trial 0, whose weights it inherits, left none: "));
  CHECK(heredity.trial(3).duplicate_of == TrialId{1});
  CHECK(heredity.trial(4).state == TrialState::complete);
  CHECK(heredity.script.executor.folders.at(4).inherit == heredity.study.trial(1));
}

TEST_CASE("weights live as long as a child may come to want them") {
  Heredity heredity({cell(0), cell(1), child(2, 1), child(3, 1)}, 2, {{"keep_weights", 1}});
  const auto answer = heredity.script.executor.answer;
  std::vector<bool> kept;
  heredity.script.executor.answer = [&](Held& held, TrialId trial) {
    kept.push_back(fs::exists(heredity.weights(1)));
    if (trial == 0) heredity.script.optimizer.retained = {1};
    if (trial == 2) heredity.script.optimizer.retained->clear();
    return answer(held, trial);
  };
  heredity.run();
  CHECK(kept == std::vector<bool>{false, false, true, true});  // not the best: for the optimizer, then for trial 3
  CHECK(fs::exists(heredity.weights(0)));                      // the best, of equal ones the first
  for (const TrialId other : {1, 2, 3}) CHECK_FALSE(fs::exists(heredity.weights(other)));

  Heredity forgetful({cell(0), cell(1), child(2, 1)}, 1, {{"keep_weights", 1}});
  CHECK_THROWS_WITH(forgetful.search->run(forgetful.script.executor, never),
                    ContainsSubstring("trial 2: inherits the weights of trial 1, which it did not retain"));
}

TEST_CASE("what is known is evaluated again where its weights, which might be inherited, are gone") {
  Heredity heredity({cell(0), cell(1), cell(1), child(2, 2)}, 1, {{"keep_weights", 1}});
  const auto answer = heredity.script.executor.answer;
  heredity.script.executor.answer = [&](Held& held, TrialId trial) {
    if (trial == 2) heredity.script.optimizer.retained = {2};
    return answer(held, trial);
  };
  heredity.run();
  CHECK(heredity.script.executor.started == std::vector<TrialId>{0, 1, 2, 3});
  CHECK_FALSE(heredity.trial(2).duplicate_of.has_value());
  CHECK(heredity.script.executor.folders.at(3).inherit == heredity.study.trial(2));
}

TEST_CASE("after a replay the same trial stands for its twins") {
  std::vector<Journal::Event> events;
  for (const bool resumed : {false, true}) {
    INFO((resumed ? "resumed" : "undisturbed"));
    Heredity heredity({cell(0), cell(1), cell(1), cell(1)}, 1, {{"keep_weights", 1}});
    heredity.script.optimizer.most_at_once = 1;
    Journal::create(heredity.folder / "study.db", {{"weft", "test"}});
    Journal journal(heredity.folder / "study.db", Journal::Mode::append);
    Search search({.pipeline = heredity.script.pipeline,
                   .assembly = heredity.script.assembly,
                   .optimizer = heredity.script.optimizer,
                   .journal = &journal,
                   .folder = &heredity.study});
    const auto answer = heredity.script.executor.answer;
    heredity.script.executor.answer = [&](Held& held, TrialId trial) {
      if (trial == 2) heredity.script.optimizer.retained = {2};
      return answer(held, trial);
    };
    if (resumed) {
      for (const Journal::Event& event : events) {
        if (event.kind != "study") journal.append(event.elapsed, event.kind, event.trial, event.body.dump());
        if (event.kind == "tell" && event.trial == 2) break;
      }
      for (const TrialId kept : {0, 2}) {
        fs::create_directories(heredity.study.trial(kept));
        std::ofstream(heredity.weights(kept)) << "weights";
      }
      heredity.script.optimizer.retained = {2};
      search.replay();
      search.go_on();
    }
    REQUIRE(search.run(heredity.script.executor, never) == Search::Outcome::finished);
    CHECK_FALSE(search.trials().at(2).duplicate_of);
    CHECK(search.trials().at(3).duplicate_of == TrialId{2});
    if (!resumed) journal.for_each([&](const Journal::Event& event) { events.push_back(event); });
  }
}

TEST_CASE("a twin that waits takes the result before the files go that nobody keeps") {
  Heredity heredity({cell(0), cell(1), cell(1)}, 3, {{"keep_weights", 1}});
  const auto answer = heredity.script.executor.answer;
  heredity.script.executor.answer = [&](Held& held, TrialId trial) -> std::optional<JobResult> {
    if (held.waits < 10) return {};  // until all are proposed
    return answer(held, trial);
  };
  heredity.run();
  CHECK(heredity.script.executor.started == std::vector<TrialId>{0, 1});
  CHECK(heredity.trial(2).duplicate_of == TrialId{1});
  CHECK_FALSE(fs::exists(heredity.weights(1)));
}

TEST_CASE("what a failed trial began with is kept for --retry-failed") {
  for (const bool fails : {true, false}) {
    Heredity heredity({cell(0), cell(1), child(2, 1)}, 1, {{"keep_weights", 1}});
    if (fails) heredity.failing = {2};
    heredity.script.optimizer.most_at_once = 1;
    const auto answer = heredity.script.executor.answer;
    heredity.script.executor.answer = [&](Held& held, TrialId trial) {
      if (trial == 1) heredity.script.optimizer.retained = {1};
      if (trial == 2) heredity.script.optimizer.retained->clear();
      return answer(held, trial);
    };
    heredity.run();
    CHECK(fs::exists(heredity.weights(1)) == fails);
    if (!fails) continue;
    heredity.failing.clear();
    heredity.search->retry_failed();
    CHECK(heredity.trial(2).under_way());
  }
}

TEST_CASE("a transfer is checked as it arrives") {
  const auto refused = [](weft::Proposal proposal, const char* why, const Json& changes = Json::object()) {
    Heredity heredity({cell(0), std::move(proposal)}, 1, changes);
    CHECK_THROWS_WITH(heredity.search->run(heredity.script.executor, never), ContainsSubstring(why));
  };
  weft::Proposal orphan = child(1, 0);
  orphan.parent.reset();
  refused(orphan, "has a transfer of weights, but no parent");
  weft::Proposal wrong = child(1, 0);
  wrong.transfer = {{"transfer", 1}, {"steps", 3}};
  refused(wrong, "transfer/steps must be a list, not 3");
  refused(child(1, 0), "evaluator table does not provide evaluator.inheritance",
          {{"evaluator", {{"name", "table"}, {"args", {{"command", nullptr}, {"file", "unused.csv"}, {"metrics", {{"validation_accuracy", "x"}}}}}}}});
}

TEST_CASE("a search of which nothing new comes ends with that word") {
  const TemporaryFolder folder;
  Script script(without_trials(write_table(folder / "table.csv"), {{"seconds", 3600}}), {cell(0), cell(1), cell(2)}, 1);
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.search.trials().end_reason() == "exhausted");
  CHECK(script.executor.started.size() == 3);
  CHECK(script.search.trials().size() <= 3 + 1000 + 10 * 3 + 1);
}

TEST_CASE("a search that is resumed is exhausted by the same trial") {
  const TemporaryFolder folder;
  const Json description = without_trials(write_table(folder / "table.csv"), {{"seconds", 3600}});
  Script whole(description, {cell(0), cell(1)}, 1);
  whole.search.run(whole.executor, never);

  Journal::create(folder / "study.db", {{"weft", "test"}});
  std::atomic<bool> stop = false;
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script first(description, {cell(0), cell(1)}, 1, &journal);
    first.executor.answer = [&](Held& held, TrialId trial) { return held.end(trial, TrialState::complete); };
    const auto told = [&] { return first.search.trials().ended() >= 500; };
    Search search({first.pipeline, first.assembly, first.optimizer, &journal},
                  {[&](const Trial&) { stop = first.optimizer.told.size() >= 500 || told(); }, {}});
    REQUIRE(search.run(first.executor, stop) == Search::Outcome::interrupted);
  }
  Journal journal(folder / "study.db", Journal::Mode::append);
  Script second(description, {cell(0), cell(1)}, 1, &journal);
  second.search.replay();
  second.search.go_on();
  REQUIRE(second.search.trials().ended() >= 500);
  REQUIRE(second.search.run(second.executor, never) == Search::Outcome::finished);
  CHECK(second.search.trials().size() == whole.search.trials().size());
}

TEST_CASE("a failure is no result: a duplicate is evaluated, and so is the first that waited") {
  const TemporaryFolder folder;
  Script script(table_pipeline(write_table(folder / "table.csv"), 4), {cell(1)}, 2);
  script.executor.answer = [](Held& held, TrialId trial) -> std::optional<JobResult> {
    if (trial == 0) return held.end(trial, TrialState::fail, "the device was busy");
    return held.end(trial, trial == 1 ? TrialState::pruned : TrialState::complete);
  };
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.executor.started == std::vector<TrialId>{0, 1, 2});
  const Trials& trials = script.search.trials();
  CHECK(trials.all()[1].state == TrialState::pruned);
  CHECK(trials.all()[2].state == TrialState::complete);
  CHECK(trials.all()[3].duplicate_of == 2);
}

TEST_CASE("the same failure again and again ends the study, different ones do not") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 100);
  description["budget"]["failures"] = 5;
  std::vector<weft::Proposal> all;
  for (std::int32_t i = 0; i < 100; ++i)
    all.push_back({.genotype = weft::Genotype({i % 5, i / 5 % 5, i / 25, 0, 0, 0})});
  Script same(description, all, 1);
  same.executor.answer = [](Held& held, TrialId trial) {
    return held.end(trial, TrialState::fail,
                    fmt::format("process {} found no disk at 0x{:x}f after {} s, {}\nand a trace of its own {}",
                                100 + trial, 1000 + trial, trial % 2 == 0 ? 1 : 1'000'000'000,
                                "and waited and waited and waited and waited and waited and waited and waited for it",
                                std::string(static_cast<std::size_t>(trial), 'x')));
  };
  CHECK_THROWS_WITH(same.search.run(same.executor, never), ContainsSubstring("5 trials in a row") &&
                                                               ContainsSubstring("process 104 found no disk") &&
                                                               ContainsSubstring("--retry-failed"));
  CHECK(same.executor.started.size() == 5);

  Script different(description, all, 1);
  different.executor.answer = [](Held& held, TrialId trial) {
    return trial % 5 == 4 ? held.end(trial, TrialState::complete) : held.end(trial, TrialState::fail, "no disk");
  };
  CHECK(different.search.run(different.executor, never) == Search::Outcome::finished);
  CHECK(different.search.trials().failed() == 80);
}

TEST_CASE("failed trials are evaluated again when that is asked for, and their optimizer is not told twice") {
  const TemporaryFolder folder;
  const Json description = table_pipeline(write_table(folder / "table.csv"), 4);
  Journal::create(folder / "study.db", {{"weft", "test"}});
  const std::vector<weft::Proposal> proposals = {cell(0), cell(1), cell(2), cell(3)};
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script script(description, proposals, 1, &journal);
    script.executor.answer = [](Held& held, TrialId trial) {
      return held.end(trial, trial % 2 == 1 ? TrialState::fail : TrialState::complete, "the disk was full");
    };
    REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  }
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script script(description, proposals, 1, &journal);
    script.search.replay();
    script.search.go_on();
    script.search.retry_failed();
    CHECK_FALSE(script.search.trials().search_over());
    REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
    CHECK(script.executor.started == std::vector<TrialId>{1, 3});
    CHECK(script.search.trials().failed() == 0);
    CHECK(script.optimizer.told.size() == 4);
  }
  Journal journal(folder / "study.db", Journal::Mode::append);
  Script script(description, proposals, 1, &journal);
  script.search.replay();
  CHECK(script.optimizer.told.size() == 4);
  CHECK(script.search.trials().ended() == 4);
  for (const Trial& trial : script.search.trials().all()) CHECK(trial.state == TrialState::complete);
}

TEST_CASE("a state in which nothing goes on fails its trial") {
  const TemporaryFolder folder;
  Script script(table_pipeline(write_table(folder / "table.csv"), 1), {cell(1)}, 1);
  script.executor.answer = [](Held& held, TrialId trial) { return held.end(trial, TrialState::paused); };
  script.search.run(script.executor, never);
  CHECK(script.search.trials().all()[0].state == TrialState::fail);
  CHECK_THAT(script.search.trials().all()[0].reason, ContainsSubstring("PAUSED"));
}

TEST_CASE("a silent trial is stopped when the time and the grace are over") {
  const TemporaryFolder folder;
  Script script(without_trials(write_table(folder / "table.csv"), {{"seconds", 1}, {"grace", 0}}), {cell(1)}, 1);
  script.executor.answer = [](Held& held, TrialId trial) -> std::optional<JobResult> {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (held.cancelled.empty()) return {};
    return held.end(trial, TrialState::pruned, held.cancelled[trial]);
  };
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.search.trials().all()[0].state == TrialState::pruned);
  CHECK_THAT(script.search.trials().all()[0].reason,
             ContainsSubstring("stalled") && ContainsSubstring("/budget/grace"));
}

TEST_CASE("a trial that goes on although it was told to stop is stopped") {
  const TemporaryFolder folder;
  Script script(without_trials(write_table(folder / "table.csv"), {{"seconds", 1}, {"grace", 0.01}}), {cell(1)}, 1);
  script.executor.answer = [&](Held& held, TrialId trial) -> std::optional<JobResult> {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    script.search.report(trial, {{"epoch", held.waits}});
    if (held.cancelled.empty()) return {};
    return held.end(trial, TrialState::pruned, held.cancelled[trial]);
  };
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK_THAT(script.search.trials().all()[0].reason, ContainsSubstring("not ended, as it was told to"));
}

TEST_CASE("what ends after the stop signal is not judged") {
  const TemporaryFolder folder;
  std::atomic<bool> stop = false;
  Script script(table_pipeline(write_table(folder / "table.csv"), 5), {cell(0), cell(1)}, 1);
  script.executor.answer = [&](Held& held, TrialId trial) {
    stop = true;
    return held.end(trial, TrialState::fail, "signal 15");
  };
  CHECK(script.search.run(script.executor, stop) == Search::Outcome::interrupted);
  CHECK(script.search.trials().ended() == 0);
}

TEST_CASE("what was evaluated at another fidelity is no twin, in a run and after its replay") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 3);
  description["objectives"].push_back({{"name", "parameters"}});  // so that graphs are made, and hashed
  // The same graph by another way: two convolutions, one after the other.
  const weft::Genotype one({3, 0, 0, 0, 3, 0}), other({0, 3, 0, 0, 0, 3});
  const std::vector<weft::Proposal> proposals = {
      {.genotype = one, .fidelity = {.epochs = 1}}, {.genotype = other}, {.genotype = one}};
  Journal::create(folder / "study.db", {{"weft", "test"}});
  std::atomic<bool> stop = false;
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script script(description, proposals, 1, &journal);
    Search search({script.pipeline, script.assembly, script.optimizer, &journal},
                  {[&](const Trial&) { stop = true; }, {}});
    search.run(script.executor, stop);
    REQUIRE(search.trials().ended() == 1);
  }
  Journal journal(folder / "study.db", Journal::Mode::append);
  Script script(description, proposals, 1, &journal);
  script.search.replay();
  script.search.go_on();
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.executor.started == std::vector<TrialId>{1});
  CHECK(script.search.trials().all()[2].duplicate_of == 1);
}

TEST_CASE("a table's trial costs less than a page of the journal's log") {
  const TemporaryFolder folder;
  const Json description = table_pipeline(write_table(folder / "table.csv"), 2000);
  Journal::create(folder / "study.db", {{"weft", "test"}});
  const auto written = [] {
    std::ifstream stream("/proc/self/io");
    for (std::string name, value; stream >> name >> value;) {
      if (name == "wchar:") return std::stoll(value);
    }
    return -1LL;
  };
  Journal journal(folder / "study.db", Journal::Mode::append);
  Bench bench(description, &journal);
  InlineExecutor executor(bench.assembly, 1,
                          [&](TrialId trial, const Json& report) { return bench.search.report(trial, report); });
  const long long before = written();
  bench.search.run(executor, never);
  REQUIRE(before >= 0);
  CHECK((written() - before) / 2000 < 4096);
}

TEST_CASE("a trial that is begun again must be the architecture that it was") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 3);
  description["objectives"].push_back({{"name", "parameters"}});
  Journal::create(folder / "study.db", {{"weft", "test"}});
  std::atomic<bool> stop = false;
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script script(description, {cell(3)}, 1, &journal);
    script.executor.answer = [&](Held&, TrialId) -> std::optional<JobResult> {
      stop = true;
      return {};
    };
    script.search.run(script.executor, stop);
  }
  {
    Journal journal(folder / "study.db", Journal::Mode::append);
    Script script(description, {cell(3)}, 1, &journal);
    script.search.replay();
    CHECK_NOTHROW(script.search.go_on());
    journal.append(1.0, "start", 0, R"({"attempt": 2, "hash": "0123456789abcdef"})");
  }
  Journal journal(folder / "study.db", Journal::Mode::append);
  Script script(description, {cell(3)}, 1, &journal);
  script.search.replay();
  CHECK_THROWS_WITH(script.search.go_on(),
                    ContainsSubstring("another architecture") && ContainsSubstring("0123456789abcdef"));
  journal.append(1.0, "change", -1, R"({"accepted": true})");
  for (int resumed = 0; resumed < 2; ++resumed) {  // who has accepted it is not asked again
    Script accepting(description, {cell(3)}, 1, &journal);
    accepting.search.replay();
    CHECK_NOTHROW(accepting.search.go_on());
  }
}

TEST_CASE("a failed trial is evaluated again although its candidate was accepted as another") {
  const TemporaryFolder folder;
  Json description = table_pipeline(write_table(folder / "table.csv"), 1);
  description["objectives"].push_back({{"name", "parameters"}});
  Journal::create(folder / "study.db", {{"weft", "test"}});
  Journal journal(folder / "study.db", Journal::Mode::append);
  {
    Script script(description, {cell(3)}, 1, &journal);
    script.executor.answer = [](Held& held, TrialId trial) { return held.end(trial, TrialState::fail, "no luck"); };
    REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  }
  journal.append(1.0, "retry", 0, "{}");
  journal.append(1.0, "start", 0, R"({"attempt": 2, "hash": "0123456789abcdef"})");
  journal.append(1.0, "tell", 0, R"({"state": "FAIL", "metrics": {}, "seconds": 0, "reason": "no luck"})");
  journal.append(1.0, "change", -1, R"({"accepted": true})");
  Script script(description, {cell(3)}, 1, &journal);
  script.search.replay();
  script.search.go_on();
  CHECK_NOTHROW(script.search.retry_failed());
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.search.trials().all()[0].state == TrialState::complete);
}

TEST_CASE("a trial that is begun after the time was over has the grace from its own start") {
  const TemporaryFolder folder;
  const Json description = without_trials(write_table(folder / "table.csv"), {{"seconds", 1}, {"grace", 5}});
  Journal::create(folder / "study.db", {{"weft", "test"}});
  Journal journal(folder / "study.db", Journal::Mode::append);
  std::atomic<bool> stop = false;
  {
    Script script(description, {cell(3)}, 1, &journal);
    script.executor.answer = [&](Held&, TrialId) -> std::optional<JobResult> {
      stop = true;
      return {};
    };
    script.search.run(script.executor, stop);
  }
  journal.append(100.0, "start", 0, R"({"attempt": 2})");
  Script script(description, {cell(3)}, 1, &journal);
  script.search.replay();
  script.search.go_on();
  script.executor.answer = [](Held& held, TrialId trial) -> std::optional<JobResult> {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return held.waits < 50 ? std::nullopt : std::optional(held.end(trial, TrialState::complete));  // two ticks
  };
  REQUIRE(script.search.run(script.executor, never) == Search::Outcome::finished);
  CHECK(script.executor.cancelled.empty());
  CHECK(script.search.trials().all()[0].state == TrialState::complete);
}
