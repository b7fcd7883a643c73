// The contract suite of optimizers: what every plugin of kind `optimizer` must do, whatever it believes in.
//
//   TEST_CASE("my optimizer keeps the contract") {
//     weft::testing::check_optimizer(Plugin::open("optimizer", "my_optimizer"), {{"population_size", 10}});
//   }
//
// Include Catch2 (version 2 or 3) first. A simulated pool of workers asks and tells, results arriving out of order and
// some trials failing; the reward is the share of decisions that take their first option.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/optimizer_contract.hpp"
#endif

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <ctime>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/optimizer.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/sanitizers.hpp"
#include "weft/testing/small_space.hpp"

namespace weft::testing {

struct OptimizerCheck {
  Plugin space = small_space();
  Json space_args = Json::object();
  Json study =
      Json::object();        // members over {"objectives": [{"name": "accuracy", "direction": "maximize"}], "slots": 4}
  std::size_t trials = 300;  // of one simulated study
  std::size_t decoded = 50;  // proposals of it that are decoded, which may take milliseconds each
  std::size_t long_study = 100000;     // trials of the study whose memory is measured; 0 leaves it out
  std::size_t bytes_per_trial = 1024;  // what it may keep of each
  bool improves = true;                // later proposals are better than earlier ones
  std::size_t failing_studies = 3;     // in which whatever takes the first option first fails; 0 leaves them out
};

namespace optimizer_contract {

// One optimizer with the space that it searches.
class Bench {
 public:
  Bench(const Plugin& plugin, const Json& args, const OptimizerCheck& check, std::uint64_t seed)
      : space_instance_(check.space, check.space_args, {.study = study(check), .rng = Rng(seed, 1)}),
        company_(plugin, args,
                 {.study = study(check), .rng = Rng(seed, 2), .collaborators = {{"space", space_instance_.handle()}}}),
        instance_(plugin, args, company_.surroundings()),
        space(space_instance_.handle()),
        optimizer(instance_.handle()) {}

 private:
  static Json study(const OptimizerCheck& check) {
    Json study = {{"objectives", Json::array({{{"name", "accuracy"}, {"direction", "maximize"}}})}, {"slots", 4}};
    study.merge_patch(check.study);
    return study;
  }
  Instance space_instance_;
  Company company_;
  Instance instance_;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
};

inline double reward_of(const Genotype& genotype) {
  if (genotype.decisions.empty()) return static_cast<double>(hash_text(genotype.key()) % 1000) / 1000.0;
  const auto first = std::count(genotype.decisions.begin(), genotype.decisions.end(), 0);
  return static_cast<double>(first) / static_cast<double>(genotype.decisions.size());
}

inline TrialResult result_of(TrialId trial, const Proposal& proposal, TrialState state = TrialState::complete) {
  TrialResult result;
  result.trial = trial;
  result.state = state;
  result.genotype = proposal.genotype;
  result.fidelity = proposal.fidelity;
  result.notes = proposal.notes;
  if (result.complete()) {
    result.reward = reward_of(proposal.genotype);
    result.objectives = {result.reward};
    result.metrics = {{"validation_accuracy", result.reward}};
  } else {
    result.reason = "as the suite wants it";
  }
  return result;
}

inline std::string text_of(const Proposal& proposal) {
  return Json{proposal.genotype.to_json(), proposal.parent.value_or(-1), proposal.transfer, proposal.fidelity.to_json(),
              proposal.notes}
      .dump();
}

// What happened in a study, in order: enough to play it again.
struct Event {
  std::size_t capacity = 0;                 // of an ask
  std::vector<std::string> proposals = {};  // that it returned
  std::optional<TrialResult> told = {};     // or what was told instead
};

struct Pool {
  std::size_t slots = 4;
  double fail = 0.0;  // share of trials that end so
  double prune = 0.0;
  bool first_option_fails = false;  // besides: whatever takes the first option of its first decision
  double shift = 0.0;               // of all rewards
};

inline bool takes_first_option(const Genotype& genotype) {
  return !genotype.decisions.empty() && genotype.decisions.front() == 0;
}

// Runs a study of `trials` on a pool whose trials end in random order.
inline std::vector<Event> simulate(Bench& bench, std::size_t trials, const Pool& pool, std::size_t decoded = 0) {
  struct Running {
    TrialId trial;
    Proposal proposal;
  };
  std::vector<Event> events;
  std::vector<Running> running;
  TrialId asked = 0;
  Rng order(43);
  for (std::size_t told = 0; told < trials;) {
    const std::size_t capacity = std::min(pool.slots - running.size(), trials - static_cast<std::size_t>(asked));
    const bool finished = bench.optimizer.finished();
    std::vector<Proposal> proposals;
    const std::vector<TrialId> resumable = bench.optimizer.resumable().value_or(std::vector<TrialId>());
    const std::set<TrialId> may_resume(resumable.begin(), resumable.end());
    REQUIRE(
        std::all_of(resumable.begin(), resumable.end(), [&](TrialId trial) { return trial >= 0 && trial < asked; }));
    if (!finished && capacity > 0) {
      proposals = bench.optimizer.ask(capacity);
      INFO("ask(" << capacity << ") after " << told << " results proposed " << proposals.size());
      REQUIRE(proposals.size() <= capacity);
      events.push_back({.capacity = capacity});
    }
    for (Proposal& proposal : proposals) {
      events.back().proposals.push_back(text_of(proposal));
      INFO("proposal " << asked << ": " << events.back().proposals.back());
      if (static_cast<std::size_t>(asked) < decoded) bench.space.decode(proposal.genotype);
      REQUIRE((!proposal.parent || (*proposal.parent >= 0 && *proposal.parent < asked)));
      REQUIRE((!proposal.fidelity.resume_from || *proposal.fidelity.resume_from < asked));
      INFO("what it goes on from must have been named by resumable() until then");
      REQUIRE((!proposal.fidelity.resume_from || may_resume.contains(*proposal.fidelity.resume_from)));
      running.push_back({asked++, std::move(proposal)});
    }
    if (running.empty()) {
      INFO("every result is told, yet ask(" << capacity << ") proposes nothing and finished() is " << finished);
      REQUIRE(finished);
      break;
    }
    const std::size_t at = order.below(running.size());
    const double fate = order.uniform();
    const bool fails = pool.first_option_fails && takes_first_option(running[at].proposal.genotype);
    const TrialState state = fails || fate < pool.fail       ? TrialState::fail
                             : fate < pool.fail + pool.prune ? TrialState::pruned
                                                             : TrialState::complete;
    TrialResult result = result_of(running[at].trial, running[at].proposal, state);
    if (result.complete()) result.objectives = {result.reward += pool.shift};
    events.push_back({.told = std::move(result)});
    bench.optimizer.tell(*events.back().told);
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
    ++told;
  }
  return events;
}

// Plays recorded events into a fresh instance, as resuming a study does, and requires the same proposals. With
// `idle_asks`, ask(0) precedes every event and must neither propose nor change anything.
inline void replay(Bench& bench, const std::vector<Event>& events, bool idle_asks) {
  for (std::size_t at = 0; at < events.size(); ++at) {
    INFO("event " << at << " of " << events.size());
    if (idle_asks) REQUIRE(bench.optimizer.ask(0).empty());
    if (events[at].told) {
      bench.optimizer.tell(*events[at].told);
      continue;
    }
    std::vector<std::string> proposals;
    for (const Proposal& proposal : bench.optimizer.ask(events[at].capacity)) proposals.push_back(text_of(proposal));
    REQUIRE(proposals == events[at].proposals);
  }
}

// 0 where it cannot be told: without glibc, and under sanitizers, which bring an allocator of their own.
inline std::size_t allocated_bytes() {
#if defined(__GLIBC__) && !defined(WEFT_SANITIZED)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

// Of this thread, in seconds: other processes do not count.
inline double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Asks and tells one trial at a time; what is kept of each stays within bounds, and so does what each costs: in the
// last hundredth of the study it is not much more than in its second one. (`./dev bench controllers` has the figures;
// the bound here leaves room for caches and other processes.)
inline void check_costs(Bench& bench, const OptimizerCheck& check) {
  std::size_t before = 0;
  double early = 0.0;
  double late = 0.0;
  const std::size_t part = std::max<std::size_t>(1, check.long_study / 100);
  for (std::size_t trial = 0; trial < check.long_study && !bench.optimizer.finished(); ++trial) {
    if (trial == check.long_study / 10) before = allocated_bytes();
    const double began = processor_time();
    const std::vector<Proposal> proposals = bench.optimizer.ask(1);
    REQUIRE(proposals.size() == 1);
    bench.optimizer.tell(result_of(static_cast<TrialId>(trial), proposals.front()));
    if (trial / part == 1) early += processor_time() - began;
    if (trial + part >= check.long_study) late += processor_time() - began;
  }
  const std::size_t after = allocated_bytes();
  INFO(before << " bytes allocated after a tenth of " << check.long_study << " trials, " << after << " at the end");
  REQUIRE((before == 0 || after < before + check.long_study * check.bytes_per_trial));
  INFO(early << " s for " << part << " trials early in the study, " << late << " s at its end");
  REQUIRE(late < 4.0 * early + 0.01);
}

// A failure is never better than a success: who fails without exception is not proposed more often than by chance,
// whatever rewards look like.
inline void check_failures(const Plugin& plugin, const Json& args, const OptimizerCheck& check) {
  for (const double shift : {0.0, -3.0}) {
    double chance = 0.0;
    double late = 0.0;
    double proposed = 0.0;
    for (std::uint64_t seed = 0; seed < check.failing_studies; ++seed) {
      Bench bench(plugin, args, check, seed);
      Rng draws(seed);
      for (int i = 0; i < 1000; ++i)
        chance +=
            takes_first_option(bench.space.sample(draws)) ? 1e-3 / static_cast<double>(check.failing_studies) : 0.0;
      std::vector<std::string> proposals;
      for (const Event& event : simulate(bench, check.trials, {.slots = 2, .first_option_fails = true, .shift = shift}))
        proposals.insert(proposals.end(), event.proposals.begin(), event.proposals.end());
      for (std::size_t i = proposals.size() - proposals.size() / 4; i < proposals.size(); ++i) {
        proposed += 1.0;
        late += takes_first_option(Genotype::from_json(Json::parse(proposals[i])[0])) ? 1.0 : 0.0;
      }
    }
    INFO("rewards shifted by " << shift << ": " << late << " of the last " << proposed
                               << " proposals take the option that always fails; by chance a share of " << chance);
    REQUIRE(late <= (chance + 0.1) * proposed);
  }
}

// Whatever is minimised has negative rewards: they are refused before the first trial, or borne.
inline void check_minimised(const Plugin& plugin, const Json& args, OptimizerCheck check) {
  check.study["objectives"] = Json::array({{{"name", "perplexity"}, {"direction", "minimize"}}});
  std::optional<Bench> bench;
  try {
    bench.emplace(plugin, args, check, 61);
  } catch (const InvalidInput&) {
    return;
  }
  simulate(*bench, check.trials, {.slots = 3, .fail = 0.1, .shift = -100.0});
}

// What is told of trials that this instance never proposed breaks nothing.
inline void check_strangers(Bench& bench, const OptimizerCheck& check) {
  Rng draws(67);
  for (const TrialState state : {TrialState::complete, TrialState::fail}) {
    Proposal proposal{.genotype = bench.space.sample(draws)};
    bench.optimizer.tell(result_of(1'000'000, proposal, state));
    proposal.notes = {{"proposal", 1'000'000}};
    bench.optimizer.tell(result_of(1'000'001, proposal, state));
  }
  simulate(bench, std::min<std::size_t>(check.trials, 100), {.slots = 4, .fail = 0.1}, 0);
}

// Mean reward of the first and of the last quarter of the proposals.
inline std::pair<double, double> quarters(const std::vector<Event>& events) {
  std::vector<double> rewards;
  for (const Event& event : events) {
    for (const std::string& text : event.proposals)
      rewards.push_back(reward_of(Genotype::from_json(Json::parse(text)[0])));
  }
  const std::size_t quarter = rewards.size() / 4;
  double first = 0.0;
  double last = 0.0;
  for (std::size_t i = 0; i < quarter; ++i) {
    first += rewards[i];
    last += rewards[rewards.size() - 1 - i];
  }
  return {first / static_cast<double>(quarter), last / static_cast<double>(quarter)};
}

}  // namespace optimizer_contract

// The whole suite. `args` are filled up with the manifest's defaults; choose them so that check.trials trials suffice
// to see the method at work.
inline void check_optimizer(const Plugin& plugin, const Json& args = Json::object(), const OptimizerCheck& check = {}) {
  using namespace optimizer_contract;
  INFO("optimizer " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "optimizer");

  for (const Pool& pool : {Pool{.slots = 1}, Pool{.slots = 7, .fail = 0.15, .prune = 0.15}}) {
    INFO("slots of the pool: " << pool.slots);
    Bench original(plugin, args, check, 47);
    const std::vector<Event> events = simulate(original, check.trials, pool, check.decoded);
    Bench stranger(plugin, args, check, 48);  // of another seed, running beside: instances share nothing
    simulate(stranger, 20, pool, check.decoded);
    Bench resumed(plugin, args, check, 47);
    replay(resumed, events, false);
    Bench idle(plugin, args, check, 47);
    replay(idle, events, true);
  }
  for (const Pool& pool : {Pool{.slots = 3, .fail = 1.0}, Pool{.slots = 3, .prune = 1.0}}) {
    INFO((pool.fail > 0 ? "every trial fails" : "every trial is pruned"));
    Bench bench(plugin, args, check, 53);
    simulate(bench, 60, pool, check.decoded);
  }
  if (check.improves) {
    double first = 0.0;
    double last = 0.0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      Bench bench(plugin, args, check, seed);
      const auto [early, late] = quarters(simulate(bench, check.trials, {.slots = 2}, check.decoded));
      first += early / 5;
      last += late / 5;
    }
    INFO("mean reward of the first quarter of the proposals " << first << ", of the last " << last);
    REQUIRE(last > first + 0.05);
  }
  if (check.failing_studies > 0) check_failures(plugin, args, check);
  check_minimised(plugin, args, check);
  Bench strangers(plugin, args, check, 71);
  check_strangers(strangers, check);
  Bench long_running(plugin, args, check, 59);
  check_costs(long_running, check);
}

}  // namespace weft::testing
