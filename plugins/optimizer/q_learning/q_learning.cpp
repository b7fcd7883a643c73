// Q-learning: architectures are built decision by decision, at random with probability epsilon, else by the table of
// what each option has led to in this state. Epsilon falls with the number of models: of different ones, as Baker et
// al. count them, or of all proposals, as Zhong et al. do.
//
// Baker, Gupta, Naik, Raskar 2017, "Designing Neural Network Architectures using Reinforcement Learning", Algorithm 1
// and its schedule of epsilon; details as in the authors' published code (bowenbaker/metaqnn). Options for Zhong, Yan,
// Wu, Shao, Liu 2018, "Practical Block-wise Neural Network Architecture Generation": shaped rewards, and a reward with
// FLOPs and density, which come from the trial: an objective of the pipeline, or a metric of the evaluator.
// As with their distributed agents, results are learned from as they arrive, in any order, while other models are out.
// A model that is proposed again is left to the study, which takes its stored result unless told otherwise.
// What "at random" means the papers leave to the state's options, each equally likely. Where a space offers hundreds of
// options of which one ends the model, such as BlockQNN's, models then grow to the most layers there may be, and how
// the authors' own exploration met that is not known: exploration may follow the space's own sample instead.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "q_table.hpp"
#include "weft/budget.hpp"
#include "weft/controllers/failure.hpp"
#include "weft/plugin.hpp"

namespace {

using q_learning::Move;
using q_learning::QTable;

// Epsilon by the number of models proposed so far.
class Schedule {
 public:
  enum class Unit { unique, proposals };

  Schedule(const weft::Json& phases, Unit unit, const weft::Budget& budget) : unit_(unit) {
    for (const weft::Json& json : phases) {
      const Phase phase{json.at("epsilon"), json.at("models")};
      if (!phases_.empty() && phase.epsilon > phases_.back().epsilon) {
        throw weft::InvalidInput("/epsilon_schedule/" + std::to_string(phases_.size()) + "/epsilon is " +
                                 json.at("epsilon").dump() + "; must not exceed the epsilon before it, " +
                                 weft::Json(phases_.back().epsilon).dump());
      }
      phases_.push_back(phase);
    }
    if (phases_.empty()) throw weft::InvalidInput("/epsilon_schedule is empty; needs at least one phase");
    check_end(budget);
  }

  double epsilon(std::size_t unique, std::size_t proposals) const {
    std::size_t models = unit_ == Unit::unique ? unique : proposals;
    for (const Phase& phase : phases_) {
      if (models < phase.models) return phase.epsilon;
      models -= phase.models;
    }
    return phases_.back().epsilon;
  }

 private:
  struct Phase {
    double epsilon;
    std::size_t models;
  };

  // A search that ends before its last epsilon has hardly used what it learned. Of `limit` trials no more are unique;
  // of `limit` unique ones more are proposed.
  void check_end(const weft::Budget& budget) const {
    if (unit_ == Unit::unique && budget.unique) return check_end(*budget.unique, "/budget/unique");
    if (budget.trials) check_end(*budget.trials, "/budget/trials");
  }
  void check_end(std::size_t limit, const std::string& place) const {
    std::size_t before = 0;
    for (std::size_t i = 0; i + 1 < phases_.size(); ++i) before += phases_[i].models;
    if (before < limit) return;
    throw weft::InvalidInput("/epsilon_schedule has " + std::to_string(before) + " models before its last epsilon, " +
                             weft::Json(phases_.back().epsilon).dump() + "; must be less than " + place + ", " +
                             std::to_string(limit) + ": shorten its phases, to about one in " +
                             std::to_string((before + phases_.back().models) / limit + 1) + ", or raise the budget");
  }

  Unit unit_;
  std::vector<Phase> phases_;
};

struct Options {
  bool explores_samples;
  std::size_t replay;
  bool reward_shaping;
  double reward_scale;
  double flops_weight;  // mu
  std::string flops_metric;
  double density_weight;  // rho
  std::string density_metric;

  explicit Options(const weft::Context& context)
      : explores_samples(context.get<std::string>("exploration") == "sample"),
        replay(context.get<std::size_t>("replay")),
        reward_shaping(context.get<bool>("reward_shaping")),
        reward_scale(context.get<double>("reward_scale")),
        flops_weight(context.get<double>("flops_weight")),
        flops_metric(context.get<std::string>("flops_metric")),
        density_weight(context.get<double>("density_weight")),
        density_metric(context.get<std::string>("density_metric")) {}
};

class QLearning final : public weft::Optimizer {
 public:
  explicit QLearning(const weft::Context& context)
      : options_(context),
        schedule_(
            context.configuration().at("epsilon_schedule"),
            context.get<std::string>("schedule_unit") == "unique" ? Schedule::Unit::unique : Schedule::Unit::proposals,
            weft::Budget(context.study())),
        table_(context.get<double>("initial_value"), context.get<double>("lr"), context.get<double>("discount")),
        failure_(context.configuration().at("failure_reward")),
        objectives_(context.study().value("objectives", weft::Json::array())),
        space_(context.space()),
        rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) {
      proposal.genotype = sample(schedule_.epsilon(unique_.size(), proposals_++));
      unique_.insert(proposal.genotype.decisions);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (!result.told_reward() && !failure_.teaches()) return;
    if (result.genotype.decisions.empty()) return;
    const std::optional<double> told = reward_of(result);
    if (told) failure_.completed(least_return(*told, result.genotype.decisions.size()));
    remember(result.genotype.decisions, told);
    for (std::size_t i = 0; i < options_.replay; ++i) {
      const Model& model = rng_.choice(memory_);
      const std::optional<double> reward = model.reward ? model.reward : failure_.worth();
      // What a failure is worth does not grow with the decisions that led to it.
      if (reward) table_.update(model.moves, *reward, options_.reward_shaping && model.reward);
    }
  }

 private:
  struct Model {
    std::vector<Move> moves;
    std::optional<double> reward;  // nothing: it failed
  };

  // epsilon-greedy; ties are broken at random.
  weft::Genotype sample(double epsilon) {
    weft::Genotype genotype;
    std::vector<std::int32_t>& taken = genotype.decisions;
    const std::vector<std::int32_t> explored =
        options_.explores_samples ? space_.sample(rng_).decisions : std::vector<std::int32_t>();
    while (const std::optional<weft::Decision> decision = space_.next(taken)) {
      if (!rng_.bernoulli(epsilon)) {
        taken.push_back(static_cast<std::int32_t>(best(space_.state(taken), decision->options)));
      } else if (taken.size() < explored.size() && std::equal(taken.begin(), taken.end(), explored.begin())) {
        taken.push_back(explored[taken.size()]);
      } else {
        taken.push_back(static_cast<std::int32_t>(rng_.below(decision->options.size())));
      }
    }
    return genotype;
  }

  std::size_t best(const std::string& state, const std::vector<std::string>& options) {
    const std::vector<double> values = table_.values(state, options);
    std::vector<std::size_t> best;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!best.empty() && values[i] > values[best.front()]) best.clear();
      if (best.empty() || values[i] == values[best.front()]) best.push_back(i);
    }
    return rng_.choice(best);
  }

  // Each model once, with its latest reward.
  void remember(const std::vector<std::int32_t>& decisions, std::optional<double> reward) {
    const auto [at, is_new] = known_.try_emplace(decisions, memory_.size());
    if (is_new) memory_.push_back({moves_of(decisions), reward});
    memory_[at->second].reward = reward;
  }

  std::vector<Move> moves_of(std::span<const std::int32_t> decisions) {
    std::vector<Move> moves;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      const std::span<const std::int32_t> taken = decisions.first(i);
      const std::optional<weft::Decision> decision = space_.next(taken);
      if (!decision) throw weft::InvalidInput("the genotype goes on after the space's last decision");
      moves.push_back(table_.move(space_.state(taken), decision->options, static_cast<std::size_t>(decisions[i])));
    }
    return moves;
  }

  // Zhong et al. 2018: ACC - mu log(FLOPs) - rho log(Density); with both weights 0, Baker's accuracy.
  std::optional<double> reward_of(const weft::TrialResult& result) {
    if (!result.told_reward()) return {};
    double reward = options_.reward_scale * *result.told_reward();
    if (options_.flops_weight > 0.0)
      reward -= options_.flops_weight * log_of(options_.flops_metric, "flops_weight", result);
    if (options_.density_weight > 0.0)
      reward -= options_.density_weight * log_of(options_.density_metric, "density_weight", result);
    return reward;
  }

  // The least that any of its decisions earns from there on: with shaping all T of them earn R + (T - 1) R / T.
  double least_return(double reward, std::size_t decisions) const {
    if (!options_.reward_shaping) return reward;
    return std::min(reward, reward * (2.0 - 1.0 / static_cast<double>(decisions)));
  }

  double log_of(const std::string& name, const std::string& weight, const weft::TrialResult& result) const {
    std::optional<double> value;
    if (result.metrics.contains(name)) value = result.metrics.at(name).get<double>();
    for (std::size_t i = 0; i < objectives_.size() && i < result.objectives.size(); ++i) {
      if (objectives_[i].value("name", "") == name) value = result.objectives[i];
    }
    if (!value || *value <= 0.0) {
      throw weft::InvalidInput(
          "trial " + std::to_string(result.trial) + " has " +
          (value ? weft::Json(*value).dump() + " as its" : std::string("no")) + " objective or metric \"" + name +
          "\", whose logarithm is subtracted; add it to the pipeline's objectives, or set /" + weight + " to 0");
    }
    return std::log(*value);
  }

  Options options_;
  Schedule schedule_;
  QTable table_;
  weft::controllers::Failure failure_;
  weft::Json objectives_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  std::set<std::vector<std::int32_t>> unique_;  // of the proposals
  std::size_t proposals_ = 0;
  std::map<std::vector<std::int32_t>, std::size_t> known_;  // decisions -> place in memory
  std::vector<Model> memory_;                               // every model that was told
};

}  // namespace

WEFT_PLUGIN(weft::component<QLearning>("q_learning"))
