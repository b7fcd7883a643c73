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
};

namespace optimizer_contract {

// One optimizer with the space that it searches.
class Bench {
 public:
  Bench(const Plugin& plugin, const Json& args, const OptimizerCheck& check, std::uint64_t seed)
      : space_instance_(check.space, check.space_args, {.study = study(check), .rng = Rng(seed, 1)}),
        instance_(plugin, args,
                  {.study = study(check), .rng = Rng(seed, 2), .collaborators = {{"space", space_instance_.handle()}}}),
        space(space_instance_.handle()),
        optimizer(instance_.handle()) {}

 private:
  static Json study(const OptimizerCheck& check) {
    Json study = {{"objectives", Json::array({{{"name", "accuracy"}, {"direction", "maximize"}}})}, {"slots", 4}};
    study.merge_patch(check.study);
    return study;
  }
  Instance space_instance_;
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
};

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
      running.push_back({asked++, std::move(proposal)});
    }
    if (running.empty()) {
      INFO("every result is told, yet ask(" << capacity << ") proposes nothing and finished() is " << finished);
      REQUIRE(finished);
      break;
    }
    const std::size_t at = order.below(running.size());
    const double fate = order.uniform();
    const TrialState state = fate < pool.fail                ? TrialState::fail
                             : fate < pool.fail + pool.prune ? TrialState::pruned
                                                             : TrialState::complete;
    events.push_back({.told = result_of(running[at].trial, running[at].proposal, state)});
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

// Asks and tells one trial at a time; what is kept of each stays within bounds.
inline void check_memory(Bench& bench, const OptimizerCheck& check) {
  std::size_t before = 0;
  for (std::size_t trial = 0; trial < check.long_study && !bench.optimizer.finished(); ++trial) {
    if (trial == check.long_study / 10) before = allocated_bytes();
    const std::vector<Proposal> proposals = bench.optimizer.ask(1);
    REQUIRE(proposals.size() == 1);
    bench.optimizer.tell(result_of(static_cast<TrialId>(trial), proposals.front()));
  }
  const std::size_t after = allocated_bytes();
  INFO(before << " bytes allocated after a tenth of " << check.long_study << " trials, " << after << " at the end");
  REQUIRE((before == 0 || after < before + check.long_study * check.bytes_per_trial));
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
    INFO("pool of " << pool.slots << " slots");
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
  Bench long_running(plugin, args, check, 59);
  check_memory(long_running, check);
}

}  // namespace weft::testing
