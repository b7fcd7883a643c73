// Monte Carlo tree search: the tree's edges are the options of the space's decisions, its statistics say which branch
// is worth a trial, and what lies below a leaf is completed at random.
//
// Negrinho, Gordon 2017, "DeepArchitect: Automatically Designing and Training Deep Architectures": UCT, and bisection
// of ordered options (the defaults). Further members of the family, as arguments:
//
//   Wistuba 2018, "Practical Deep Learning Architecture Optimization"
//     surrogate ridge, surrogate_prior true, rollouts 10: a surrogate values states that were not explored, so that
//     branches share what is known. Deviation: the paper's surrogate, features and numbers are not known to us; the
//     function-preserving moves, by which its trials inherit weights, are not the business of a tree of decisions.
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

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "surrogate.hpp"
#include "value_network.hpp"
#include "weft/budget.hpp"
#include "weft/controllers/failure.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::Genotype;

struct Options {
  double reward_scale;
  double exploration;  // c
  bool normalise_rewards;
  bool bisection;
  std::string surrogate;
  bool surrogate_prior;
  std::size_t rollouts;
  std::size_t predictions;  // k
  std::size_t refit_every;
  std::size_t memory;

  explicit Options(const weft::Context& context)
      : reward_scale(context.get<double>("reward_scale")),
        exploration(context.get<double>("exploration")),
        normalise_rewards(context.get<bool>("normalise_rewards")),
        bisection(context.get<bool>("bisection")),
        surrogate(context.get<std::string>("surrogate")),
        surrogate_prior(context.get<bool>("surrogate_prior")),
        rollouts(context.get<std::size_t>("rollouts")),
        predictions(context.get<std::size_t>("predictions")),
        refit_every(context.get<std::size_t>("refit_every")),
        memory(context.get<std::size_t>("memory")) {
    if (surrogate != "none") {
      if (!context.space().has_encoding()) {
        throw weft::InvalidInput("/surrogate is \"" + surrogate +
                                 "\", but the space has no encoding (space.encoding); set it to \"none\"");
      }
      check_fits(weft::Budget(context.study()));
      return;
    }
    const auto needs_surrogate = [](bool wanted, const std::string& name, const std::string& value) {
      if (wanted)
        throw weft::InvalidInput("/" + name + " is " + value + "; needs a surrogate: \"ridge\" or \"network\"");
    };
    needs_surrogate(surrogate_prior, "surrogate_prior", "true");
    needs_surrogate(rollouts > 1, "rollouts", std::to_string(rollouts));
    needs_surrogate(predictions > 0, "predictions", std::to_string(predictions));
  }

 private:
  void check_fits(const weft::Budget& budget) const {
    const std::string value = "/refit_every is " + std::to_string(refit_every);
    if (refit_every > memory) {
      throw weft::InvalidInput(value + "; must not exceed /memory, " + std::to_string(memory) +
                               ", or rewards are forgotten that were never fitted");
    }
    if (refit_every >= budget.least())
      throw weft::InvalidInput(value + "; must be less than " + budget.words() + ", or the surrogate is never used");
  }
};

// ---- from the root to a genotype ------------------------------------------------------------------------------------

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

struct Node {
  double value = 0.0;                  // the sum of what was backed up of trials that completed
  std::uint32_t visits = 0;            // n: trials that ended
  std::uint32_t failures = 0;          // of them, those that did not complete
  std::uint32_t pending = 0;           // trials in flight
  std::vector<std::int32_t> children;  // by action: an index of the tree, or never_tried; empty until expanded
};
constexpr std::int32_t never_tried = -1;

// ---- the search -----------------------------------------------------------------------------------------------------

class MonteCarloTreeSearch final : public weft::Optimizer {
 public:
  explicit MonteCarloTreeSearch(const weft::Context& context)
      : options_(context),
        space_(context.space()),
        rng_(context.rng()),
        tree_(1),
        failure_(options_.normalise_rewards ? std::numeric_limits<double>::infinity() : 0.0) {
    if (options_.surrogate == "none") return;
    weft::Rng probe = context.rng().derive("probe");
    const std::size_t inputs = space_.encode(space_.sample(probe)).size();  // throws where a space cannot encode
    if (options_.surrogate == "ridge") surrogate_ = std::make_unique<mcts::Ridge>(context.get<double>("ridge_penalty"));
    if (options_.surrogate == "network") {
      const mcts::ValueNetwork::Options network{.hidden = context.get<std::vector<std::size_t>>("hidden"),
                                                .lr = context.get<double>("lr"),
                                                .batch_size = context.get<std::size_t>("batch_size"),
                                                .epochs = context.get<int>("epochs")};
      surrogate_ = std::make_unique<mcts::ValueNetwork>(inputs, network, rng_);
    }
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) propose(proposal);
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<Trial> ended = in_flight_.take(result);
    if (!ended) return;
    const double reward = options_.reward_scale * result.reward;
    const bool evaluated = result.complete() && std::isfinite(reward);
    back_up(*ended, evaluated ? std::optional(value_of(reward, *ended)) : std::nullopt);
    if (evaluated) {
      failure_.completed(std::min(reward, value_of(reward, *ended)));
      lowest_ = std::min(lowest_, reward);
      highest_ = std::max(highest_, reward);
    }
    if (surrogate_) learn(result.genotype, evaluated ? std::optional(reward) : std::nullopt);
  }

 private:
  struct Trial {
    std::vector<std::int32_t> path;   // its nodes of the tree, from the root on
    std::optional<double> predicted;  // AlphaX: mean prediction of k rollouts
  };

  // ---- selection, expansion, simulation

  // From the root along the best children to a node that was never tried, which is expanded, and on at random.
  void propose(weft::Proposal& proposal) {
    Walk walk(space_, options_.bisection);
    Trial trial{.path = {0}};
    while (!walk.finished() && !node(trial.path.back()).children.empty()) {
      const std::size_t action = select(node(trial.path.back()), walk);
      walk.act(action);
      trial.path.push_back(child(trial.path.back(), action));
    }
    Node& leaf = node(trial.path.back());
    if (leaf.children.empty()) leaf.children.assign(walk.actions(), never_tried);
    for (const std::int32_t index : trial.path) ++node(index).pending;
    trial.predicted = mean_prediction(walk);
    proposal.genotype = roll_out(walk);
    in_flight_.add(proposal, std::move(trial));
  }

  // argmax of mean + c sqrt(2 ln n(parent) / n(child)); ties at random.
  std::size_t select(const Node& parent, const Walk& walk) {
    const std::vector<double> unexplored = values_of_unexplored(parent, walk);
    std::vector<std::size_t> best;
    double best_score = -std::numeric_limits<double>::infinity();
    for (std::size_t action = 0; action < parent.children.size(); ++action) {
      const std::int32_t index = parent.children[action];
      const double score =
          index == never_tried
              ? (unexplored.empty() ? std::numeric_limits<double>::infinity()
                                    : scaled(unexplored[action]) + exploration(parent, 1))
              : scaled(estimate(parent, node(index))) + exploration(parent, node(index).visits + node(index).pending);
      if (score > best_score) best.clear();
      best_score = std::max(best_score, score);
      if (score == best_score) best.push_back(action);
    }
    return rng_.choice(best);
  }

  double estimate(const Node& parent, const Node& child) const {
    if (child.visits > 0) return mean(child);
    return parent.visits > 0 ? mean(parent) : 0.0;
  }

  // While nothing has completed, failures are worth as much as each other.
  double mean(const Node& node) const {
    return (node.value + node.failures * failure_.worth().value_or(0.0)) / node.visits;
  }

  double exploration(const Node& parent, std::uint32_t visits_of_child) const {
    const double visits = parent.visits + parent.pending;
    return options_.exploration * std::sqrt(2.0 * std::log(visits) / visits_of_child);
  }

  double scaled(double value) const {
    if (!options_.normalise_rewards || !(highest_ > lowest_)) return value;
    return (value - lowest_) / (highest_ - lowest_);
  }

  Genotype roll_out(const Walk& leaf) {
    const std::vector<Genotype> completed = completions(leaf, options_.rollouts);
    if (completed.size() == 1 || !fitted_) return completed.front();
    Eigen::Index best = 0;
    predict(completed).maxCoeff(&best);
    return completed[static_cast<std::size_t>(best)];
  }

  std::vector<Genotype> completions(const Walk& from, std::size_t count) {
    std::vector<Genotype> genotypes;
    for (std::size_t i = 0; i < count; ++i) {
      Walk walk = from;
      walk.complete_at_random(rng_);
      genotypes.push_back(walk.genotype());
    }
    return genotypes;
  }

  // ---- the surrogate in place of a trial

  // By action, a prediction for each child that was never tried; nothing where the surrogate has no say.
  std::vector<double> values_of_unexplored(const Node& parent, const Walk& walk) {
    if (!options_.surrogate_prior || !fitted_) return {};
    std::vector<std::size_t> actions;
    std::vector<Genotype> completed;
    for (std::size_t action = 0; action < parent.children.size(); ++action) {
      if (parent.children[action] != never_tried) continue;
      Walk below = walk;
      below.act(action);
      below.complete_at_random(rng_);
      actions.push_back(action);
      completed.push_back(below.genotype());
    }
    std::vector<double> values(parent.children.size());
    if (completed.empty()) return values;
    const Eigen::VectorXf predicted = predict(completed);
    for (std::size_t i = 0; i < actions.size(); ++i) values[actions[i]] = predicted(static_cast<Eigen::Index>(i));
    return values;
  }

  std::optional<double> mean_prediction(const Walk& leaf) {
    if (options_.predictions == 0 || !fitted_) return {};
    return predict(completions(leaf, options_.predictions)).mean();
  }

  // Without a reward the candidate has failed: the surrogate is to predict that, too.
  void learn(const Genotype& genotype, std::optional<double> reward) {
    const std::vector<double> code = space_.encode(genotype);
    remembered_.push_back({{code.begin(), code.end()}, reward});
    if (remembered_.size() > options_.memory) remembered_.pop_front();
    if (++unlearnt_ < options_.refit_every || !failure_.worth()) return;  // of failures alone nothing is learnt
    unlearnt_ = 0;
    fitted_ = true;
    Eigen::MatrixXf inputs(static_cast<Eigen::Index>(code.size()), static_cast<Eigen::Index>(remembered_.size()));
    Eigen::VectorXf rewards(inputs.cols());
    for (Eigen::Index i = 0; i < inputs.cols(); ++i) {
      const Remembered& sample = remembered_[static_cast<std::size_t>(i)];
      inputs.col(i) = Eigen::Map<const Eigen::VectorXf>(sample.encoding.data(), inputs.rows());
      rewards(i) = static_cast<float>(sample.reward.value_or(*failure_.worth()));
    }
    surrogate_->fit(inputs, rewards, rng_);
  }

  Eigen::VectorXf predict(const std::vector<Genotype>& genotypes) const {
    Eigen::MatrixXf inputs;
    for (std::size_t i = 0; i < genotypes.size(); ++i) {
      const std::vector<double> code = space_.encode(genotypes[i]);
      const auto features = static_cast<Eigen::Index>(code.size());
      if (i == 0) inputs.resize(features, static_cast<Eigen::Index>(genotypes.size()));
      inputs.col(static_cast<Eigen::Index>(i)) = Eigen::Map<const Eigen::VectorXd>(code.data(), features).cast<float>();
    }
    Eigen::VectorXf predicted = surrogate_->predict(inputs);
    if (!predicted.allFinite()) {
      throw weft::Error("the surrogate predicts a reward that is not finite: the rewards, up to " +
                        std::to_string(highest_) + ", are too large for it, or the network's /lr is");
    }
    return predicted;
  }

  // ---- backing up

  // Without a value the trial has failed.
  void back_up(const Trial& trial, std::optional<double> value) {
    for (const std::int32_t index : trial.path) {
      Node& visited = node(index);
      --visited.pending;
      ++visited.visits;
      visited.value += value.value_or(0.0);
      if (!value) ++visited.failures;
    }
  }

  static double value_of(double reward, const Trial& trial) {
    return trial.predicted ? 0.5 * (reward + *trial.predicted) : reward;
  }

  // ---- the tree

  Node& node(std::int32_t index) { return tree_[static_cast<std::size_t>(index)]; }

  std::int32_t child(std::int32_t parent, std::size_t action) {
    if (node(parent).children[action] == never_tried) {
      node(parent).children[action] = static_cast<std::int32_t>(tree_.size());
      tree_.emplace_back();
    }
    return node(parent).children[action];
  }

  struct Remembered {
    std::vector<float> encoding;
    std::optional<double> reward;
  };

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  std::vector<Node> tree_;  // the root first
  weft::InFlight<Trial> in_flight_;
  weft::controllers::Failure failure_;
  double lowest_ = std::numeric_limits<double>::infinity();  // reward so far
  double highest_ = -std::numeric_limits<double>::infinity();

  std::unique_ptr<mcts::Surrogate> surrogate_;
  std::deque<Remembered> remembered_;
  std::size_t unlearnt_ = 0;  // rewards since the last fit
  bool fitted_ = false;
};

}  // namespace

WEFT_PLUGIN(weft::component<MonteCarloTreeSearch>("mcts"))
