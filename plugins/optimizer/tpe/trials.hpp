// What TPE knows of its trials: their answers column by column, and their order from the best to the worst.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "parzen.hpp"
#include "weft/search/history.hpp"
#include "weft/trial.hpp"

namespace tpe {

using weft::search::Amount;
using weft::search::Answers;
using weft::search::Vocabulary;

// Options of the good and of the bad trials: trials x decisions, oldest first.
struct Observed {
  std::vector<std::int32_t> good, bad;
};

// Complete trials by their reward, then those that were stopped with a predicted one: who came further first, then by
// that. A reward that is not a number is the worst there is. Last are those that tell nothing: they failed, were
// refused, or were stopped without a word of what they would have come to.
struct Standing {
  int kind;  // 0 complete, 1 pruned, 2 without a value
  double epochs_left_out;
  double loss;

  explicit Standing(const weft::TrialResult& result)
      : kind(result.complete() ? 0 : 2), epochs_left_out(0.0), loss(loss_of(result.told_reward())) {
    if (result.state != weft::TrialState::pruned || !result.predicted) return;
    kind = 1;
    const auto epochs = result.metrics.find("epochs");
    epochs_left_out = epochs != result.metrics.end() && epochs->is_number() ? -epochs->get<double>() : 0.0;
  }
  bool has_value() const { return kind < 2; }
  friend bool operator<(const Standing& one, const Standing& other) {
    return std::tie(one.kind, one.epochs_left_out, one.loss) < std::tie(other.kind, other.epochs_left_out, other.loss);
  }

 private:
  static double loss_of(std::optional<double> reward) {
    return reward && !std::isnan(*reward) ? -*reward : std::numeric_limits<double>::infinity();
  }
};

class Trials {
 public:
  // `amount`: trials of different amounts are not ranked together.
  void add(const Answers& answers, const Amount& amount, const Standing& standing) {
    const auto trial = static_cast<std::uint32_t>(standings_.size());
    standings_.push_back(standing);
    for (const weft::search::Answer& answer : answers) {
      if (answer.name >= columns_.size()) columns_.resize(answer.name + std::size_t{1});
      columns_[answer.name].push_back({trial, answer.option});
    }
    Ranking& ranking = rankings_[amount];
    const auto worse =
        std::upper_bound(ranking.best_first.begin(), ranking.best_first.end(), standing,
                         [&](const Standing& added, std::uint32_t at) { return added < standings_[at]; });
    ranking.best_first.insert(worse, trial);
    ranking.valued += standing.has_value() ? 1 : 0;
  }

  // Splits those of the largest amount that has `enough` with a value into the good and the bad ones. False: none has.
  bool split(std::size_t enough, std::string_view gamma) {
    const auto largest = std::find_if(rankings_.rbegin(), rankings_.rend(),
                                      [&](const auto& entry) { return entry.second.valued >= enough; });
    if (largest == rankings_.rend()) return false;
    sides_.assign(standings_.size(), Side::other_amount);
    std::size_t good = good_trials(largest->second.valued, gamma);
    for (const std::uint32_t trial : largest->second.best_first) {
      sides_[trial] = good > 0 ? Side::good : Side::bad;
      good -= good > 0 ? 1 : 0;
    }
    return true;
  }

  // After a split, of the trials that have all of these decisions, and took options of them that are offered now.
  // `names` are always decided together.
  Observed observed(std::span<const std::uint32_t> names, const Vocabulary& vocabulary) const {
    Observed observed;
    if (names.front() >= columns_.size()) return observed;
    const std::size_t rows = columns_[names.front()].size();
    for (std::size_t row = 0; row < rows; ++row) {
      const Side side = sides_[columns_[names.front()][row].trial];
      if (side == Side::other_amount) continue;
      std::vector<std::int32_t>& set = side == Side::good ? observed.good : observed.bad;
      for (std::size_t i = 0; i < names.size(); ++i) {
        const std::int32_t place = vocabulary[names[i]].places[columns_[names[i]][row].option];
        if (place == Vocabulary::not_offered) {
          set.resize(set.size() - i);
          break;
        }
        set.push_back(place);
      }
    }
    return observed;
  }

 private:
  enum class Side : std::uint8_t { other_amount, good, bad };
  struct Ranking {
    std::vector<std::uint32_t> best_first = {};
    std::size_t valued = 0;
  };
  struct Cell {
    std::uint32_t trial, option;
  };

  std::vector<Standing> standings_;         // by trial, oldest first
  std::vector<std::vector<Cell>> columns_;  // by name: the trials that took this decision, oldest first
  std::map<Amount, Ranking> rankings_;
  std::vector<Side> sides_;  // by trial
};

// The names of decisions in blocks: those of a block were taken together by every trial that took one of them. In a
// space whose decisions do not depend on each other it is one block. (Optuna calls it a group-decomposed space.)
class Blocks {
 public:
  void refine(const Answers& answers) {
    std::map<std::size_t, std::vector<std::uint32_t>> met;  // by block; the names that are new are one more
    for (const weft::search::Answer& answer : answers) {
      if (answer.name >= block_of_.size()) block_of_.resize(answer.name + std::size_t{1}, none);
      met[block_of_[answer.name]].push_back(answer.name);
    }
    for (auto& [block, names] : met) {
      if (block != none && blocks_[block].size() == names.size()) continue;
      for (const std::uint32_t name : names) {
        if (block != none) std::erase(blocks_[block], name);
        block_of_[name] = blocks_.size();
      }
      blocks_.push_back(std::move(names));
    }
  }

  // The block of a name; of one that was never met, the name alone.
  std::vector<std::uint32_t> of(std::uint32_t name) const {
    if (name >= block_of_.size() || block_of_[name] == none) return {name};
    return blocks_[block_of_[name]];
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<std::size_t> block_of_;  // by name
  std::vector<std::vector<std::uint32_t>> blocks_;
};

}  // namespace tpe
