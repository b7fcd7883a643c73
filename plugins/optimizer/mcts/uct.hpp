// What a tree knows of its nodes, and the score by which it is descended.
//
// Kocsis, Szepesvari 2006, "Bandit based Monte-Carlo Planning" (UCT).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "weft/controllers/failure.hpp"

namespace mcts {

struct Statistics {
  double value = 0.0;          // the sum of what was backed up of trials that completed
  std::uint32_t visits = 0;    // n: trials that ended
  std::uint32_t failures = 0;  // of them, those that did not complete
  std::uint32_t pending = 0;   // trials in flight

  bool tried() const { return visits + pending > 0; }

  // Of a trial that was pending. Without a value it has failed.
  void back_up(std::optional<double> backed_up) {
    --pending;
    ++visits;
    value += backed_up.value_or(0.0);
    if (!backed_up) ++failures;
  }
};

class Uct {
 public:
  Uct(double exploration, bool normalise_rewards)
      : exploration_(exploration),
        normalises_(normalise_rewards),
        failure_(normalise_rewards ? std::numeric_limits<double>::infinity() : 0.0) {}

  // mean + c sqrt(2 ln n(parent) / n(child)) of a child that was tried.
  double score(const Statistics& parent, const Statistics& child) const {
    return scaled(estimate(parent, child)) + exploration(parent, child.visits + child.pending);
  }

  // Of a child that was never tried: as if one trial had brought what is predicted; without a prediction it comes
  // first.
  double score_of_untried(const Statistics& parent, std::optional<double> predicted) const {
    if (!predicted) return std::numeric_limits<double>::infinity();
    return scaled(*predicted) + exploration(parent, 1);
  }

  // A trial brought this reward, and for it this value was backed up.
  void completed(double reward, double value) {
    failure_.completed(std::min(reward, value));
    lowest_ = std::min(lowest_, reward);
    highest_ = std::max(highest_, reward);
  }

  // What a failed trial is worth; nothing while none has completed.
  std::optional<double> failure() const { return failure_.worth(); }

 private:
  double estimate(const Statistics& parent, const Statistics& child) const {
    if (child.visits > 0) return mean(child);
    return parent.visits > 0 ? mean(parent) : 0.0;
  }

  // While nothing has completed, failures are worth as much as each other.
  double mean(const Statistics& node) const {
    return (node.value + node.failures * failure_.worth().value_or(0.0)) / node.visits;
  }

  double exploration(const Statistics& parent, std::uint32_t visits_of_child) const {
    const double visits = parent.visits + parent.pending;
    return exploration_ * std::sqrt(2.0 * std::log(visits) / visits_of_child);
  }

  double scaled(double value) const {
    if (!normalises_ || !(highest_ > lowest_)) return value;
    return (value - lowest_) / (highest_ - lowest_);
  }

  double exploration_;  // c
  bool normalises_;
  weft::controllers::Failure failure_;
  double lowest_ = std::numeric_limits<double>::infinity();  // reward so far
  double highest_ = -std::numeric_limits<double>::infinity();
};

}  // namespace mcts
