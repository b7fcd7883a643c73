// What a tree of whatever kind does for the search, and what it does it with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "options.hpp"
#include "reward_model.hpp"
#include "uct.hpp"
#include "weft/context.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"
#include "weft/trial.hpp"

namespace mcts {

struct Search {
  Options options;
  weft::SpaceRef space;
  weft::Rng rng;
  Uct uct;
  RewardModel model;

  explicit Search(const weft::Context& context)
      : options(context),
        space(context.space()),
        rng(context.rng()),
        uct(options.exploration, options.normalise_rewards),
        model(context, options, space, rng) {}

  // The best score; ties at random.
  std::size_t best_of(const std::vector<double>& scores) {
    std::vector<std::size_t> best;
    double best_score = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] > best_score) best.clear();
      best_score = std::max(best_score, scores[i]);
      if (scores[i] == best_score) best.push_back(i);
    }
    return rng.choice(best);
  }

  // For which most is predicted, after a fit.
  std::size_t most_promising(const std::vector<Encoding>& encodings) const {
    Eigen::Index best = 0;
    model.predict(encodings).maxCoeff(&best);
    return static_cast<std::size_t>(best);
  }

  bool has_priors() const { return options.surrogate_prior && model.fitted(); }
};

// A way from the root to a candidate, until its trial has ended.
struct Visit {
  std::vector<Statistics*> path = {};    // of the nodes, from the root on; as long as the tree lives
  std::size_t end = 0;                   // the candidate, where the tree has a number for it
  std::optional<double> predicted = {};  // AlphaX: mean prediction of k rollouts
};

class Tree {
 public:
  virtual ~Tree() = default;
  // From the root along the best children to a node that was never tried, and on at random. Writes into the proposal
  // what is to be evaluated. Nothing: it waits for results.
  virtual std::optional<Visit> visit(weft::Proposal& proposal) = 0;
  // The visit's trial has completed.
  virtual void completed(const Visit&, weft::TrialId, double) {}
  // As Optimizer::retain().
  virtual std::optional<std::vector<weft::TrialId>> retain() const { return {}; }
};

}  // namespace mcts
