// The contract suite of stoppers: what every plugin of kind `stopper` must do, whenever it stops.
//
// Include Catch2 (version 2 or 3) first. Trials of a study report in turn; a study that is resumed observes all again
// without being asked, and an interrupted trial repeats an epoch: from there on the verdicts are the same.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/stopper_contract.hpp"
#endif

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "weft/stopper.hpp"
#include "weft/testing/curves.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

struct StopperCheck {
  Json study = {{"objectives", {{{"name", "accuracy"}, {"direction", "maximize"}, {"range", {0.0, 100.0}}}}},
                {"slots", 3}};
  int trials = 24;
  int horizon = 12;
  bool stops = true;  // some of these trials
};

namespace stopper_contract {

// A study of trials that report in turn, three at a time; `from` is the first event that is judged, and what is judged
// leaves a line. Every seventh report is repeated if `repeats`.
class Study {
 public:
  Study(Stopper& stopper, const StopperCheck& check, bool repeats)
      : stopper_(stopper), check_(check), repeats_(repeats) {}

  // `verdicts` of an earlier run stand for those of the first `replayed` reports.
  std::vector<std::string> run(const std::vector<std::string>& verdicts = {}, std::size_t replayed = 0) {
    std::vector<std::string> lines;
    std::vector<LearningCurve> running;
    int begun = 0;
    for (std::size_t turn = 0; begun < check_.trials || !running.empty(); ++turn) {
      while (running.size() < 3 && begun < check_.trials) {
        running.push_back(rising_curve(begun, check_.horizon, check_.horizon,
                                       Rng(5).derive("trial", static_cast<std::uint64_t>(begun)), 1.0));
        come_.push_back(0);
        ++begun;
      }
      const std::size_t at = turn % running.size();
      LearningCurve& whole = running[at];
      const auto trial = static_cast<std::size_t>(whole.trial);
      const LearningCurve curve = shortened(whole, ++come_[trial]);
      LearningCurve reported = curve;
      reported.report = {
          {"epoch", curve.epochs.back()}, {"validation_accuracy", curve.rewards.back()}, {"train_loss", 1.0}};
      stopper_.observe(reported);
      if (repeats_ && lines.size() % 7 == 3) stopper_.observe(reported);
      std::string line;
      if (lines.size() < replayed) {
        line = verdicts[lines.size()];
      } else {
        const Judgement judgement = stopper_.judge(reported);
        REQUIRE((judgement.verdict == Verdict::go_on || !judgement.reason.empty()));
        INFO("asked again, it answers the same");
        REQUIRE(stopper_.judge(reported).verdict == judgement.verdict);
        line = std::to_string(static_cast<int>(judgement.verdict)) + " " + judgement.reason;
        if (judgement.predicted) line += " " + std::to_string(*judgement.predicted);
      }
      lines.push_back(line);
      const bool stopped = !line.starts_with("0");
      if (!stopped && come_[trial] < static_cast<std::size_t>(check_.horizon)) continue;
      const bool fails = trial % 11 == 7;
      const TrialState state = stopped ? TrialState::pruned : fails ? TrialState::fail : TrialState::complete;
      stopper_.end(reported, state, state == TrialState::complete ? std::optional(curve.rewards.back()) : std::nullopt);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return lines;
  }

 private:
  Stopper& stopper_;
  const StopperCheck& check_;
  bool repeats_;
  std::vector<std::size_t> come_;  // epochs, by trial
};

}  // namespace stopper_contract

inline void check_stopper(const Plugin& plugin, const Json& args = Json::object(), const StopperCheck& check = {}) {
  INFO("stopper " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "stopper");
  const Company company(plugin, args, {.study = check.study, .rng = Rng(9)});
  const auto make = [&] { return Instance(plugin, args, company.surroundings()); };

  const Instance first = make();
  StopperRef stopper(first.handle());
  const std::vector<std::string> lines = stopper_contract::Study(stopper, check, false).run();
  const auto stopped =
      std::count_if(lines.begin(), lines.end(), [](const std::string& line) { return !line.starts_with("0"); });
  INFO(stopped << " of " << check.trials << " trials were stopped in " << lines.size() << " reports");
  REQUIRE((!check.stops || stopped > 0));

  for (const std::size_t replayed : {lines.size() / 3, lines.size() / 2}) {
    INFO("resumed after " << replayed << " reports");
    const Instance again = make();
    StopperRef resumed(again.handle());
    REQUIRE(stopper_contract::Study(resumed, check, true).run(lines, replayed) == lines);
  }

  const Instance odd = make();
  StopperRef bare(odd.handle());
  LearningCurve nothing{.trial = 0};
  nothing.report = {{"epoch", 1}};
  bare.observe(nothing);  // a report without the metric
  bare.judge(nothing);
  bare.end(nothing, TrialState::fail, {});
  bare.end({.trial = 5}, TrialState::fail, {});  // one that never reported

  // What stops nearly any stopper: who says "stop" says why (StopperRef::judge sees to it).
  for (const double change : {0.0, -1.0, 1e-9}) {
    const Instance stern = make();
    StopperRef judging(stern.handle());
    for (TrialId trial = 0; trial < check.trials; ++trial) {
      LearningCurve curve{.trial = trial, .horizon = check.horizon};
      const double start = trial % 2 == 0 ? 60.0 : 10.0;  // the best come to their ends
      for (int epoch = 1; epoch <= check.horizon; ++epoch) {
        curve.epochs.push_back(epoch);
        curve.rewards.push_back(start + change * epoch);
        curve.report = {
            {"epoch", epoch}, {"validation_accuracy", curve.rewards.back()}, {"train_loss", 1.0 - change * epoch}};
        judging.observe(curve);
        if (trial % 2 == 1) judging.judge(curve);
      }
      judging.end(curve, TrialState::complete, curve.rewards.back());
    }
  }
}

}  // namespace weft::testing
