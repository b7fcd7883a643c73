// Monte Carlo tree search: statistics of a tree's nodes say which branch is worth a trial, and what lies below a leaf
// is completed at random. The tree's edges are the options of the space's decisions, or morphs of networks.
//
// Negrinho, Gordon 2017, "DeepArchitect: Automatically Designing and Training Deep Architectures": UCT, and bisection
// of ordered options (the defaults). Further members of the family, as arguments:
//
//   Wistuba 2018, "Finding Competitive Network Architectures Within a Day Using UCT" (arXiv 1712.07420; published as
//   "Practical Deep Learning Architecture Optimization")
//     tree morphs, exploration 0.5, surrogate ridge, surrogate_prior true, refit_every 1: networks grow by morphs that
//     keep their function and inherit weights; branches share the statistics of equal architectures, and a surrogate
//     values those that were not explored. The paper's surrogate, rollouts and numbers are not known to us: ours stand
//     in, and so does what `retained` bounds.
//   Wang et al. 2019, "AlphaX"
//     exploration 4 (their 2c, c = 2), bisection false, surrogate network, predictions 10: what is backed up is the
//     mean of the reward and of the value network's mean prediction. Whether weights are shared is the evaluator's.
//     Missing: the recurrent value network that they have for NASNet's cells, of which we know no more than that; the
//     multilayer one of NASBench reads the space's encoding instead.
//
// Several trials at once, after Liu et al. 2020, "Watch the Unobserved: A Simple Approach to Parallelizing Monte Carlo
// Tree Search": a trial in flight counts as a visit and not as a value. A child whose first trial is in flight has no
// mean yet and takes its parent's. A trial that fails or is pruned counts as reward 0, as AlphaX does with networks
// beyond its budget; or as the lowest reward of all, where that is lower or where rewards are normalised.
//
// Where a space lets a genotype end although it may go on, ending is one more option of the tree and of a rollout.

#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "decision_tree.hpp"
#include "morph_tree.hpp"
#include "tree.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

class MonteCarloTreeSearch final : public weft::Optimizer {
 public:
  explicit MonteCarloTreeSearch(const weft::Context& context) : search_(context) {
    if (search_.options.tree == "morphs") {
      tree_ = std::make_unique<mcts::MorphTree>(search_);
    } else {
      tree_ = std::make_unique<mcts::DecisionTree>(search_);
    }
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      weft::Proposal proposal;
      std::optional<mcts::Visit> visit = tree_->visit(proposal);
      if (!visit) break;
      for (mcts::Statistics* const statistics : visit->path) ++statistics->pending;
      in_flight_.add(proposal, std::move(*visit));
      proposals.push_back(std::move(proposal));
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<mcts::Visit> ended = in_flight_.take(result);
    if (!ended) return;
    std::optional<double> reward = result.told_reward();
    if (reward) *reward *= search_.options.reward_scale;
    if (reward && !std::isfinite(*reward)) reward.reset();
    const std::optional<double> value = reward ? std::optional(value_of(*reward, *ended)) : std::nullopt;
    for (mcts::Statistics* const statistics : ended->path) statistics->back_up(value);
    if (reward) {
      search_.uct.completed(*reward, *value);
      tree_->completed(*ended, result.trial, *reward);
    }
    if (search_.model.exists())
      search_.model.learn(search_.model.encode(result.genotype), reward, search_.uct.failure(), search_.rng);
  }

  std::optional<std::vector<weft::TrialId>> retain() const override { return tree_->retain(); }

 private:
  static double value_of(double reward, const mcts::Visit& visit) {
    return visit.predicted ? 0.5 * (reward + *visit.predicted) : reward;
  }

  mcts::Search search_;
  std::unique_ptr<mcts::Tree> tree_;
  weft::InFlight<mcts::Visit> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MonteCarloTreeSearch>("mcts"))
