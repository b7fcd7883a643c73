// The search in one process, on the table of a space made by the test: order, budgets, duplicates, failures, replay.

#include "host/study/search.hpp"

#include <fmt/format.h>

#include <atomic>

#include "host/execution/inline_executor.hpp"
#include "host/plugins/catalogue.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::host;
using weft::Json;
using weft::TrialId;
using weft::TrialState;
using weft::testing::table_pipeline;
using weft::testing::TemporaryFolder;
using weft::testing::write_table;

namespace {

const std::atomic<bool> never = false;

// Runs jobs at once, but hands their results over in another order.
class Reordering final : public Executor {
 public:
  Reordering(Assembly& assembly, std::size_t slots, OnReport on_report)
      : evaluator_(assembly.evaluator()), slots_(slots), on_report_(std::move(on_report)) {}
  std::size_t free_slots() const override { return slots_ - results_.size(); }
  void start(const Job& job) override {
    started.push_back(job.trial);
    results_.push_back(InlineExecutor::run_job(evaluator_, job, 1, on_report_));
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
  weft::EvaluatorRef evaluator_;
  std::size_t slots_;
  OnReport on_report_;
  std::vector<JobResult> results_;
};

struct Bench {
  explicit Bench(const Json& description, Journal* journal = nullptr)
      : catalogue(Catalogue::discover({})),
        pipeline(Pipeline::resolve(description, "test.json", catalogue)),
        assembly(pipeline, {}, Phase::search),
        optimizer(assembly.optimizer()),
        search({pipeline, assembly, optimizer, journal}),
        executor(assembly, 3, [this](TrialId trial, const Json& report) { return search.report(trial, report); }) {}

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
    REQUIRE(bench.search.run(bench.executor, never) == Search::Outcome::finished);
    REQUIRE(bench.search.trials().ended() == 40);
    for (const Trial& trial : before.all()) {
      const Trial& after = bench.search.trials().at(trial.id);
      CHECK(after.proposal.genotype == trial.proposal.genotype);
      if (trial.ended()) CHECK(after.reward == trial.reward);
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
