// Binary gates: of the options of a decision only those that were drawn are in memory, one of them is open, and what
// the loss says of each gate is what it says of the options' probabilities (Cai, Zhu, Han 2019, section 3.2).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <vector>

#include "weft/rng.hpp"

namespace proxyless {

using Numbers = std::vector<double>;  // one for each option

inline double log_sum_exp(const Numbers& logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

inline Numbers softmax(const Numbers& logits) {
  const double whole = log_sum_exp(logits);
  Numbers probabilities;
  for (const double logit : logits) probabilities.push_back(std::exp(logit - whole));
  return probabilities;
}

// The gates of a decision in one step.
struct BinaryGates {
  std::vector<int> paths;  // ascending: the options that take part
  Numbers probabilities;   // of these, which add up to 1: all others are masked, as if they did not exist
  std::size_t open = 0;    // among the paths: its gate is 1, those of the others are 0
};

// So many different options, ascending, one after another by the probabilities of those that are left; all of them
// where there are no more.
inline std::vector<int> draw_paths(const Numbers& probabilities, int count, weft::Rng& rng) {
  Numbers left;
  // An option whose probability has become 0 is drawn where no other is left.
  for (const double p : probabilities) left.push_back(std::max(p, std::numeric_limits<double>::min()));
  std::vector<int> paths;
  while (paths.size() < std::min(left.size(), static_cast<std::size_t>(count))) {
    const std::size_t option = rng.weighted(left);
    left[option] = 0.0;
    paths.push_back(static_cast<int>(option));
  }
  std::ranges::sort(paths);
  return paths;
}

// At those of `options`.
inline Numbers at_paths(const Numbers& options, const std::vector<int>& paths) {
  Numbers chosen;
  for (const int path : paths) chosen.push_back(options[static_cast<std::size_t>(path)]);
  return chosen;
}

inline BinaryGates draw_gates(const Numbers& logits, int paths, weft::Rng& rng) {
  BinaryGates gates{.paths = draw_paths(softmax(logits), paths, rng)};
  gates.probabilities = softmax(at_paths(logits, gates.paths));
  gates.open = rng.weighted(gates.probabilities);
  return gates;
}

// dL/dalpha_i = sum_j dL/dg_j p_j (delta_ij - p_i), Eq. 4: of the options that p and dL/dg are of. Of an expectation
// sum_j p_j F_j the gradient is the same with F in the place of dL/dg.
inline Numbers structure_gradient(const Numbers& probabilities, const Numbers& by_gate) {
  const double mean = std::inner_product(probabilities.begin(), probabilities.end(), by_gate.begin(), 0.0);
  Numbers gradient;
  for (std::size_t i = 0; i < by_gate.size(); ++i) gradient.push_back(probabilities[i] * (by_gate[i] - mean));
  return gradient;
}

// What the paths' logits are after a step, moved together so that the other options keep their probabilities: the sum
// of exponentials is as before (section 3.2.1).
inline Numbers with_equal_sum(const Numbers& before, Numbers after) {
  const double offset = log_sum_exp(after) - log_sum_exp(before);
  for (double& logit : after) logit -= offset;
  return after;
}

// dJ/dalpha of a decision, J the expected reward, as one sample says: (R - b) (delta_ik - p_i), k the option that was
// drawn (section 3.3.2; Williams 1992).
inline Numbers reinforce_gradient(const Numbers& probabilities, int drawn, double advantage) {
  Numbers gradient;
  for (std::size_t i = 0; i < probabilities.size(); ++i)
    gradient.push_back(advantage * ((static_cast<int>(i) == drawn ? 1.0 : 0.0) - probabilities[i]));
  return gradient;
}

}  // namespace proxyless
