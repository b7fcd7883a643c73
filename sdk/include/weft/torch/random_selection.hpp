// Architectures drawn at random and judged by shared weights, the best first: how one-shot strategies without a
// structure of their own choose.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/genotype.hpp"
#include "weft/oneshot.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"

namespace weft {

// Of two arguments. Throws InvalidInput, naming both, where the first is larger.
inline void must_not_exceed(const std::string& name, std::size_t value, const std::string& limit, std::size_t most) {
  if (value <= most) return;
  throw InvalidInput("/" + name + " is " + std::to_string(value) + "; must not exceed /" + limit + ", " +
                     std::to_string(most));
}

// What is worse than every other score where the loss is not a finite number, so that scores have an order.
inline Score comparable(const Score& score) {
  constexpr double most = std::numeric_limits<double>::max();
  return score.loss < most ? score : Score{most, 0.0};
}

struct Judged {
  Genotype genotype;
  SupernetPath path;
  Score score;
};

// Of so many draws from the space, each path once: in the order they were drawn, with `score_of(path)`.
template <typename ScoreOf>
std::vector<Judged> judge_random(const SpaceRef& space, std::size_t draws, Rng rng, const ScoreOf& score_of) {
  std::vector<Judged> judged;
  std::set<SupernetPath> known;
  for (std::size_t i = 0; i < draws; ++i) {
    Genotype genotype = space.sample(rng);
    SupernetPath path = space.path(genotype);
    if (!known.insert(path).second) continue;
    const Score score = comparable(score_of(path));
    judged.push_back({std::move(genotype), std::move(path), score});
  }
  return judged;
}

// The best by accuracy, equals by loss, equals of that in the order they came.
inline void keep_best(std::vector<Judged>& judged, std::size_t most) {
  std::ranges::stable_sort(judged, [](const Judged& one, const Judged& other) {
    if (one.score.accuracy != other.score.accuracy) return one.score.accuracy > other.score.accuracy;
    return one.score.loss < other.score.loss;
  });
  judged.resize(std::min(judged.size(), most));
}

// With "selection_accuracy" and "selection_loss", by which they were chosen.
inline std::vector<Derived> derived_of(const OneShotSearch& search, Network& network,
                                       const std::vector<Judged>& judged) {
  std::vector<Derived> derived;
  for (const Judged& one : judged) {
    derived.push_back(search.derived(network, one.genotype));
    derived.back().metrics["selection_accuracy"] = one.score.accuracy;
    derived.back().metrics["selection_loss"] = one.score.loss;
  }
  return derived;
}

}  // namespace weft
