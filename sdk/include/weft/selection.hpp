// Selection: which individuals of a population breed, and which of them survive.
//
// The operators of evolutionary methods as Wistuba, Rawat, Pedapati 2019, "A Survey on Neural Architecture Search",
// section 3.2 lists them, for optimizers to choose from. They see fitnesses alone (higher is better) and answer with
// indices into the caller's population, which lies oldest first. They draw from the Rng that they are given and from
// nothing else; none keeps anything.
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "weft/error.hpp"
#include "weft/rng.hpp"

namespace weft::selection {

// `count` distinct numbers below `end`, in random order, in time O(count); count <= end.
inline std::vector<std::size_t> draw_distinct(std::size_t count, std::size_t end, Rng& rng) {
  assert(count <= end && "more than there are");
  // Fisher-Yates over 0 .. end-1, of which only the places that were moved are stored.
  std::unordered_map<std::size_t, std::size_t> moved;
  const auto at = [&](std::size_t place) {
    const auto found = moved.find(place);
    return found == moved.end() ? place : found->second;
  };
  std::vector<std::size_t> drawn;
  drawn.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t from = i + rng.below(end - i);
    drawn.push_back(at(from));
    moved[from] = at(i);
  }
  return drawn;
}

// Goldberg and Deb 1991, "A Comparative Analysis of Selection Schemes Used in Genetic Algorithms".
struct Tournament {
  std::size_t size;          // k, how many are drawn; all, where the population is smaller
  double probability = 1.0;  // p, of accepting the one at hand
};

struct Outcome {
  std::size_t accepted;  // the individual that the tournament is held for
  std::size_t last;      // the one at the other end of the ranking
};

// Draws k individuals and scans them from the best to the worst, accepting each with probability p; the last one is
// accepted if none was. Equals are scanned in random order. The population must not be empty.
inline Outcome tournament(std::span<const double> fitness, const Tournament& tournament, Rng& rng) {
  std::vector<std::size_t> drawn = draw_distinct(std::min(tournament.size, fitness.size()), fitness.size(), rng);
  std::stable_sort(drawn.begin(), drawn.end(), [&](std::size_t a, std::size_t b) { return fitness[a] > fitness[b]; });
  std::size_t at = 0;
  while (at + 1 < drawn.size() && !rng.bernoulli(tournament.probability)) ++at;
  return {.accepted = drawn[at], .last = drawn.back()};
}

// A population in the order of its fitness, for tournaments of a share of it: a draw costs as much as the share's
// inverse, and not as the population. Individuals may be added at the end, and none taken away.
class Ranking {
 public:
  void follow(std::span<const double> fitness) {
    while (ranked_.size() < fitness.size()) {
      const auto added = static_cast<std::uint32_t>(ranked_.size());
      const auto at = std::upper_bound(ranked_.begin(), ranked_.end(), added,
                                       [&](std::uint32_t a, std::uint32_t b) { return fitness[a] > fitness[b]; });
      ranked_.insert(at, added);
    }
  }

  // Who is accepted, as by the function of this name. Rank by rank from the best: with k of n still to be drawn, this
  // one is among them with probability k / n.
  std::size_t tournament(std::span<const double> fitness, const Tournament& tournament, Rng& rng) const {
    std::size_t left = std::min(tournament.size, ranked_.size());
    std::size_t rank = 0;
    for (;; ++rank) {
      if (!rng.bernoulli(static_cast<double>(left) / static_cast<double>(ranked_.size() - rank))) continue;
      if (left == 1 || rng.bernoulli(tournament.probability)) break;
      --left;
    }
    return any_equal(fitness, fitness[ranked_[rank]], rng);
  }

 private:
  // Among equals it is as likely to have been any of them.
  std::size_t any_equal(std::span<const double> fitness, double value, Rng& rng) const {
    const auto first =
        std::partition_point(ranked_.begin(), ranked_.end(), [&](std::uint32_t at) { return fitness[at] > value; });
    const auto last =
        std::partition_point(first, ranked_.end(), [&](std::uint32_t at) { return fitness[at] >= value; });
    return first[static_cast<std::ptrdiff_t>(rng.below(static_cast<std::uint64_t>(last - first)))];
  }

  std::vector<std::uint32_t> ranked_;  // best first
};

// From what fitness-proportionate selection counts: the fitness itself, or what it exceeds the population's lowest by
// (Xie and Yuille 2017, whose weakest never survives).
enum class Offset { none, minimum };

// p_i = f_i / sum f: the weights of fitness-proportionate selection, all equal where every fitness is 0. Throws
// InvalidInput on a negative fitness.
inline std::vector<double> proportionate(std::span<const double> fitness, Offset offset) {
  const double lowest = fitness.empty() ? 0.0 : *std::min_element(fitness.begin(), fitness.end());
  if (offset == Offset::none && lowest < 0.0) {
    throw InvalidInput("fitness-proportionate selection met the fitness " + std::to_string(lowest) +
                       "; must not be negative, unless it is counted from the population's minimum");
  }
  std::vector<double> weights(fitness.begin(), fitness.end());
  if (offset == Offset::minimum) {
    for (double& weight : weights) weight -= lowest;
  }
  const bool any = std::any_of(weights.begin(), weights.end(), [](double weight) { return weight > 0.0; });
  if (!any) std::fill(weights.begin(), weights.end(), 1.0);
  return weights;
}

// ---- survivors: everybody, where no more than `count` compete; in ascending order, but for the roulette wheel
// ---------

// The fittest; among equals the older.
inline std::vector<std::size_t> elitist_survivors(std::span<const double> fitness, std::size_t count) {
  std::vector<std::size_t> ranked(fitness.size());
  std::iota(ranked.begin(), ranked.end(), std::size_t{0});
  std::stable_sort(ranked.begin(), ranked.end(), [&](std::size_t a, std::size_t b) { return fitness[a] > fitness[b]; });
  ranked.resize(std::min(count, ranked.size()));
  std::sort(ranked.begin(), ranked.end());
  return ranked;
}

// The last `count` of the population, whatever they are worth (Real et al. 2019).
inline std::vector<std::size_t> youngest_survivors(std::size_t competing, std::size_t count) {
  std::vector<std::size_t> survivors(std::min(count, competing));
  std::iota(survivors.begin(), survivors.end(), competing - survivors.size());
  return survivors;
}

// Tournaments for the worst are held, and who is accepted dies, until `count` are left (Real et al. 2017).
inline std::vector<std::size_t> tournament_survivors(std::span<const double> fitness, std::size_t count,
                                                     const Tournament& deadly, Rng& rng) {
  std::vector<std::size_t> alive(fitness.size());
  std::iota(alive.begin(), alive.end(), std::size_t{0});
  std::vector<double> unfitness(fitness.begin(), fitness.end());
  for (double& value : unfitness) value = -value;
  while (alive.size() > count) {
    const auto dead = static_cast<std::ptrdiff_t>(tournament(unfitness, deadly, rng).accepted);
    alive.erase(alive.begin() + dead);
    unfitness.erase(unfitness.begin() + dead);
  }
  return alive;
}

// `count` spins of the roulette wheel, in the order of the draws: an individual may survive more than once, and fewer
// than `count` may compete.
inline std::vector<std::size_t> roulette_survivors(std::span<const double> weights, std::size_t count, Rng& rng) {
  std::vector<std::size_t> survivors(weights.empty() ? 0 : count);
  for (std::size_t& survivor : survivors) survivor = rng.weighted(weights);
  return survivors;
}

// As if the wheel was spun, and whoever it stopped at was taken off, until `count` were drawn; those of weight 0 come
// last. By sorting exponential variates: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir".
inline std::vector<std::size_t> proportionate_survivors(std::span<const double> weights, std::size_t count, Rng& rng) {
  struct Key {
    bool possible;
    double key;
    std::size_t index;
  };
  std::vector<Key> keys;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double logarithm = std::log1p(-rng.uniform());
    keys.push_back({weights[i] > 0.0, weights[i] > 0.0 ? logarithm / weights[i] : logarithm, i});
  }
  std::stable_sort(keys.begin(), keys.end(),
                   [](const Key& a, const Key& b) { return a.possible != b.possible ? a.possible : a.key > b.key; });
  keys.resize(std::min(count, keys.size()));
  std::vector<std::size_t> survivors;
  survivors.reserve(keys.size());
  for (const Key& key : keys) survivors.push_back(key.index);
  std::sort(survivors.begin(), survivors.end());
  return survivors;
}

}  // namespace weft::selection
