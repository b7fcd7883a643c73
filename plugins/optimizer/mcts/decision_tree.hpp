// A tree whose edges are the options of the space's decisions.
//
// Negrinho, Gordon 2017, "DeepArchitect: Automatically Designing and Training Deep Architectures".
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "tree.hpp"

namespace mcts {

using weft::Genotype;

// A genotype in the making. Decisions without a choice are passed by.
class Walk {
 public:
  Walk(const weft::SpaceRef& space, bool bisection) : space_(&space), bisection_(bisection) { arrive(); }

  bool finished() const { return finished_; }
  const Genotype& genotype() const { return genotype_; }

  // The edges that leave this node of the tree: the halves of a range that is bisected, else its options; and last,
  // where the genotype may end here, that.
  std::size_t actions() const { return finished_ ? 0 : (bisects() ? 2 : open()) + (may_end_ ? 1 : 0); }

  void act(std::size_t action) {
    if (may_end_ && action + 1 == actions()) {
      finished_ = true;
    } else if (bisects()) {
      const std::size_t middle = (low_ + high_) / 2;
      (action == 0 ? high_ : low_) = middle;
      may_end_ = false;  // half a decision is made
      if (open() == 1) take(low_);
    } else {
      take(low_ + action);
    }
  }

  // Uniformly over the options, whether they are bisected or not.
  void complete_at_random(weft::Rng& rng) {
    while (!finished_) {
      const std::size_t drawn = rng.below(open() + (may_end_ ? 1 : 0));
      if (drawn == open()) {
        finished_ = true;
      } else {
        take(low_ + drawn);
      }
    }
  }

 private:
  std::size_t open() const { return high_ - low_; }
  bool bisects() const { return bisection_ && ordinal_ && open() > 1; }

  void take(std::size_t option) {
    genotype_.decisions.push_back(static_cast<std::int32_t>(option));
    arrive();
  }

  void arrive() {
    while (const std::optional<weft::Decision> decision = space_->next(genotype_.decisions)) {
      low_ = 0;
      high_ = decision->options.size();
      ordinal_ = decision->kind == weft::Decision::Kind::ordinal;
      may_end_ = space_->complete(genotype_.decisions);
      if (high_ > 1 || may_end_) return;
      genotype_.decisions.push_back(0);
    }
    finished_ = true;
  }

  const weft::SpaceRef* space_;
  bool bisection_;
  Genotype genotype_;
  std::size_t low_ = 0;  // the options [low, high) of the decision at hand are open
  std::size_t high_ = 0;
  bool ordinal_ = false;
  bool may_end_ = false;
  bool finished_ = false;
};

class DecisionTree final : public Tree {
 public:
  explicit DecisionTree(Search& search) : search_(search), nodes_(1) {}

  std::optional<Visit> visit(weft::Proposal& proposal) override {
    Walk walk(search_.space, search_.options.bisection);
    std::int32_t at = 0;
    Visit visit{.path = {&node(at).statistics}};
    while (!walk.finished() && !node(at).children.empty()) {
      const std::size_t action = select(node(at), walk);
      walk.act(action);
      at = child(at, action);
      visit.path.push_back(&node(at).statistics);
    }
    if (node(at).children.empty()) node(at).children.assign(walk.actions(), never_tried);
    visit.predicted = mean_prediction(walk);
    proposal.genotype = roll_out(walk);
    return visit;
  }

 private:
  struct Node {
    Statistics statistics;
    std::vector<std::int32_t> children;  // by action: an index of the tree, or never_tried; empty until expanded
  };
  static constexpr std::int32_t never_tried = -1;

  // ---- selection

  std::size_t select(const Node& parent, const Walk& walk) {
    const std::vector<std::optional<double>> predicted = predictions_for_untried(parent, walk);
    std::vector<double> scores;
    for (std::size_t action = 0; action < parent.children.size(); ++action) {
      const std::int32_t index = parent.children[action];
      scores.push_back(index == never_tried ? search_.uct.score_of_untried(parent.statistics, predicted[action])
                                            : search_.uct.score(parent.statistics, node(index).statistics));
    }
    return search_.best_of(scores);
  }

  // By action; nothing where the surrogate has no say.
  std::vector<std::optional<double>> predictions_for_untried(const Node& parent, const Walk& walk) {
    std::vector<std::optional<double>> values(parent.children.size());
    if (!search_.has_priors()) return values;
    std::vector<std::size_t> actions;
    std::vector<Genotype> completed;
    for (std::size_t action = 0; action < parent.children.size(); ++action) {
      if (parent.children[action] != never_tried) continue;
      Walk below = walk;
      below.act(action);
      below.complete_at_random(search_.rng);
      actions.push_back(action);
      completed.push_back(below.genotype());
    }
    if (completed.empty()) return values;
    const Eigen::VectorXf predicted = search_.model.predict(encoded(completed));
    for (std::size_t i = 0; i < actions.size(); ++i) values[actions[i]] = predicted(static_cast<Eigen::Index>(i));
    return values;
  }

  // ---- simulation

  Genotype roll_out(const Walk& leaf) {
    const std::vector<Genotype> completed = completions(leaf, search_.options.rollouts);
    if (completed.size() == 1 || !search_.model.fitted()) return completed.front();
    return completed[search_.most_promising(encoded(completed))];
  }

  std::optional<double> mean_prediction(const Walk& leaf) {
    if (search_.options.predictions == 0 || !search_.model.fitted()) return {};
    return search_.model.predict(encoded(completions(leaf, search_.options.predictions))).mean();
  }

  std::vector<Genotype> completions(const Walk& from, std::size_t count) {
    std::vector<Genotype> genotypes;
    for (std::size_t i = 0; i < count; ++i) {
      Walk walk = from;
      walk.complete_at_random(search_.rng);
      genotypes.push_back(walk.genotype());
    }
    return genotypes;
  }

  std::vector<Encoding> encoded(const std::vector<Genotype>& genotypes) const {
    std::vector<Encoding> encodings;
    for (const Genotype& genotype : genotypes) encodings.push_back(search_.model.encode(genotype));
    return encodings;
  }

  // ---- the tree

  Node& node(std::int32_t index) { return nodes_[static_cast<std::size_t>(index)]; }

  std::int32_t child(std::int32_t parent, std::size_t action) {
    std::int32_t& index = node(parent).children[action];
    if (index == never_tried) {
      index = static_cast<std::int32_t>(nodes_.size());
      nodes_.emplace_back();
    }
    return index;
  }

  Search& search_;
  std::deque<Node> nodes_;  // the root first; what visits point to stays where it is
};

}  // namespace mcts
