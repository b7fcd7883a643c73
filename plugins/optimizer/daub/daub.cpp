// DAUB, data allocation using upper bounds: which of these learners is the best with all data, without training all of
// them on it?
//
// Sabharwal, Samulowitz, Tesauro 2016, "Selecting Near-Optimal Learners via Incremental Data Allocation": each learner
// is trained on b, br and br^2 examples; then, until one has had all N of them, the one with the largest upper bound on
// its accuracy with N is trained on r times as many as before, from scratch.
//
// With several trials at once the initial ones run side by side, and after them whoever is not under way goes on, the
// largest bound first; the paper has one at a time. A learner that fails, or is pruned without a prediction, drops out.
// Bounds are clamped to the range of the objective; among equal ones the learner that was drawn first is chosen.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "learner.hpp"
#include "weft/budget.hpp"
#include "weft/curves/scale.hpp"
#include "weft/in_flight.hpp"
#include "weft/objective.hpp"
#include "weft/plugin.hpp"
#include "weft/search/sampler.hpp"

namespace {

using daub::initial_allocations;
using daub::Learner;

// The rewards between which the objective lies, if anybody says so.
std::optional<weft::curves::Scale> range_of(const weft::Context& context) {
  const weft::Json objectives = context.study().value("objectives", weft::Json::array());
  const bool stated = !objectives.empty() && objectives.front().contains("range");
  if (context.configuration().at("range").is_null() && !stated) return {};
  return weft::curves::Scale(context);
}

std::size_t checked_learners(const weft::Context& context) {
  const auto learners = context.get<std::size_t>("learners");
  const weft::Budget budget(context.study());
  if (initial_allocations * learners < budget.least()) return learners;
  throw weft::InvalidInput("/learners is " + std::to_string(learners) + "; the " +
                           std::to_string(initial_allocations * learners) +
                           " trials that begin the search, three each, must be fewer than " + budget.words() +
                           ", or nothing is selected; lower it or raise the budget");
}

std::size_t checked_winners(const weft::Context& context, std::size_t learners) {
  const auto winners = context.get<std::size_t>("winners");
  if (winners <= learners) return winners;
  throw weft::InvalidInput("/winners is " + std::to_string(winners) + "; must not exceed learners, " +
                           std::to_string(learners));
}

class Daub final : public weft::Optimizer {
 public:
  explicit Daub(const weft::Context& context)
      : learners_wanted_(checked_learners(context)),
        winners_wanted_(checked_winners(context, learners_wanted_)),
        allocations_(context),
        train_metric_(context.configuration().at("train_metric")),
        minimised_(weft::first_direction(context.study()) == weft::Direction::minimize),
        range_(range_of(context)),
        sampler_(context.plugin("sampler")),
        log_(context.log()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity && !finished()) {
      draw_learners();
      const std::optional<std::size_t> next = any_to_initialise() ? next_to_initialise() : largest_bound();
      if (!next) break;
      proposals.push_back(proposal_of(*next));
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<Training> training = in_flight_.take(result);
    if (!training) return;
    Learner& learner = learners_[training->learner];
    sampler_.tell(result, learner.candidate().number, learner.candidate().notes);
    const std::optional<double> reward = result.told_reward();
    if (!reward || !std::isfinite(*reward)) {
      learner.fail();
      return;
    }
    learner.tell(training->allocation, {*reward, train_value(result)}, allocations_);
    if (training->allocation + 1 == allocations_.count()) ++winners_;
  }

  bool finished() const override {
    return winners_ >= winners_wanted_ ||
           (all_drawn_ && std::all_of(learners_.begin(), learners_.end(), [&](const Learner& learner) {
              return learner.failed() || learner.known() == allocations_.count();
            }));
  }

 private:
  struct Training {
    std::size_t learner;
    std::size_t allocation;
  };

  // A sampler that has no more to give, though there is no result that it could wait for, leaves it at what there is.
  void draw_learners() {
    while (!all_drawn_) {
      std::optional<weft::search::Sampler::Drawn> drawn = sampler_.draw();
      if (drawn) learners_.emplace_back(std::move(*drawn));
      const bool may_wait = !in_flight_.empty() || next_to_initialise();
      all_drawn_ = learners_.size() == learners_wanted_ || (!drawn && !may_wait);
      if (!drawn) return;
    }
  }

  bool any_to_initialise() const {
    return !all_drawn_ || std::any_of(learners_.begin(), learners_.end(), [](const Learner& learner) {
      return !learner.failed() && !learner.initialised();
    });
  }

  // All on b examples first: who fails there is not trained on more. Nothing: the last of these trials are under way.
  std::optional<std::size_t> next_to_initialise() const {
    std::optional<std::size_t> next;
    for (std::size_t i = 0; i < learners_.size(); ++i) {
      if (learners_[i].failed() || learners_[i].proposed() >= initial_allocations) continue;
      if (!next || learners_[i].proposed() < learners_[*next].proposed()) next = i;
    }
    return next;
  }

  // Of those that are not under way.
  std::optional<std::size_t> largest_bound() const {
    std::optional<std::size_t> best;
    double largest = 0.0;
    for (std::size_t i = 0; i < learners_.size(); ++i) {
      const Learner& learner = learners_[i];
      if (learner.failed() || learner.under_way() || learner.known() == allocations_.count()) continue;
      const double bound = upper_bound(learner);
      if (best && bound <= largest) continue;
      best = i;
      largest = bound;
    }
    return best;
  }

  double upper_bound(const Learner& learner) const {
    const double bound = learner.upper_bound(allocations_.whole());
    return range_ ? std::clamp(bound, range_->to_reward(0.0), range_->to_reward(1.0)) : bound;
  }

  weft::Proposal proposal_of(std::size_t at) {
    Learner& learner = learners_[at];
    const std::size_t allocation = learner.propose();
    weft::Proposal proposal{.genotype = learner.candidate().genotype,
                            .fidelity = {.data_fraction = allocations_.fraction(allocation)}};
    in_flight_.add(proposal, {at, allocation});
    return proposal;
  }

  // As a reward: larger is better.
  std::optional<double> train_value(const weft::TrialResult& result) {
    if (train_metric_.is_null()) return {};
    const auto name = train_metric_.get<std::string>();
    const auto metric = result.metrics.find(name);
    if (metric != result.metrics.end() && metric->is_number()) {
      const double value = metric->get<double>();
      return minimised_ ? -value : value;
    }
    if (!lack_said_) log_.warning("trials do not report " + name + "; upper bounds go without it. See train_metric");
    lack_said_ = true;
    return {};
  }

  std::size_t learners_wanted_, winners_wanted_;
  daub::Allocations allocations_;
  weft::Json train_metric_;
  bool minimised_;
  std::optional<weft::curves::Scale> range_;
  weft::search::Sampler sampler_;
  weft::Log log_;
  std::vector<Learner> learners_;  // in the order in which they were drawn
  bool all_drawn_ = false;
  std::size_t winners_ = 0;
  weft::InFlight<Training> in_flight_;
  bool lack_said_ = false;
};

}  // namespace

WEFT_PLUGIN(weft::component<Daub>("daub"))
