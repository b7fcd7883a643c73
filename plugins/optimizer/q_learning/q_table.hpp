// The table of Q-learning: what each option is worth in each state, and the update that a finished episode makes.
// States are told apart by a 64-bit hash of their text, which for a space of long genotypes is as long as the prefix.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "weft/rng.hpp"

namespace q_learning {

using weft::hash_text;

// An option taken in a state, as numbers of a table.
struct Move {
  std::uint32_t state;
  std::uint32_t action;
};

class QTable {
 public:
  QTable(double initial_value, double lr, double discount)
      : initial_value_(initial_value), lr_(lr), discount_(discount) {}

  // What each of `options` is worth in `state`; the initial value where that was never told.
  std::vector<double> values(const std::string& state, const std::vector<std::string>& options) const {
    std::vector<double> values(options.size(), initial_value_);
    const auto at = state_numbers_.find(hash_text(state));
    if (at == state_numbers_.end()) return values;
    for (std::size_t i = 0; i < options.size(); ++i) {
      const auto option = option_numbers_.find(hash_text(options[i]));
      if (option == option_numbers_.end()) continue;
      for (const Action& action : states_[at->second]) {
        if (action.option == option->second) values[i] = action.value;
      }
    }
    return values;
  }

  // Enters a state with the options it offers. Prefixes that the space merges into one state may offer different ones:
  // the state then has them all.
  Move move(const std::string& state, const std::vector<std::string>& options, std::size_t taken) {
    const std::uint32_t number = number_of(state, state_numbers_);
    if (number == states_.size()) states_.emplace_back();
    std::vector<Action>& actions = states_[number];
    Move move{number, 0};
    for (std::size_t i = 0; i < options.size(); ++i) {
      const std::uint32_t option = number_of(options[i], option_numbers_);
      const auto known =
          std::find_if(actions.begin(), actions.end(), [&](const Action& action) { return action.option == option; });
      if (i == taken) move.action = static_cast<std::uint32_t>(known - actions.begin());
      if (known == actions.end()) actions.push_back({option, initial_value_});
    }
    return move;
  }

  // From the last move to the first, so that the reward reaches them all at once:
  //   Q(s_T, a_T) += lr (R - Q(s_T, a_T)),  Q(s_t, a_t) += lr (r_t + discount max_a Q(s_t+1, a) - Q(s_t, a_t)).
  // Baker et al. 2017: r_t = 0. Zhong et al. 2018: with `shaped`, r_t = R / T.
  void update(std::span<const Move> episode, double reward, bool shaped) {
    const double intermediate = shaped ? reward / static_cast<double>(episode.size()) : 0.0;
    for (std::size_t t = episode.size(); t-- > 0;) {
      const bool last = t + 1 == episode.size();
      const double target = last ? reward : intermediate + discount_ * best(episode[t + 1].state);
      double& value = states_[episode[t].state][episode[t].action].value;
      value += lr_ * (target - value);
    }
  }

 private:
  struct Action {
    std::uint32_t option;
    double value;
  };
  using Numbers = std::unordered_map<std::uint64_t, std::uint32_t>;  // by the hash of a text

  static std::uint32_t number_of(const std::string& text, Numbers& numbers) {
    return numbers.try_emplace(hash_text(text), static_cast<std::uint32_t>(numbers.size())).first->second;
  }
  double best(std::uint32_t state) const {
    const std::vector<Action>& actions = states_[state];
    return std::max_element(actions.begin(), actions.end(),
                            [](const Action& a, const Action& b) { return a.value < b.value; })
        ->value;
  }

  double initial_value_;
  double lr_;
  double discount_;
  Numbers state_numbers_;
  Numbers option_numbers_;
  std::vector<std::vector<Action>> states_;
};

}  // namespace q_learning
