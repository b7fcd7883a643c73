// Efficient architecture search: reinforcement learning of transformations that widen and deepen a trained network and
// keep what it computes, so that a network that is sampled goes on from the weights of the one before.
//
// Cai, Chen, Zhang, Yu, Wang 2018, "Efficient Architecture Search by Network Transformation"; what the paper leaves
// open is as in the authors' code (han-cai/EAS). The meta-controller is controller.hpp. An episode begins with the
// network of its stage, and has some steps of the wider actor, then some of the deeper actor; its end is trained and
// its accuracy is the reward. Batches of episodes are on-policy: nothing is proposed while the last results of one are
// out, so that the search is the same whatever the number of trials at once.
//
// The first trial is the first network, trained without a parent. The best network of a stage is where the next begins.
//
// Ours: any number of tokens, where the code has 50; blocks without a layer cannot be chosen; the baseline begins at
// the first batch's mean, there at 0; the entropy of a kernel that is not decided does not count. Not here: the
// widening of DenseNets by their growth rate, and the store of rewards by which the code trains equal networks once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller.hpp"
#include "layers.hpp"
#include "weft/budget.hpp"
#include "weft/controllers/reward.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

using eas::Deepening;
using eas::Layer;
using eas::Widening;
using weft::Genotype;
using weft::InvalidInput;
using weft::Json;
using weft::TrialId;

struct Options {
  std::vector<std::size_t> stages;
  std::optional<int> start_epochs;
  std::optional<int> restart_epochs;
  int wider_steps;
  int deeper_steps;
  std::vector<std::int64_t> filters;
  std::vector<std::int64_t> features;
  std::vector<std::int64_t> kernels;
  std::size_t block_layers;
  std::size_t children;
  double entropy_weight;
  bool inherit_weights;

  explicit Options(const weft::Context& context)
      : stages(context.get<std::vector<std::size_t>>("stages")),
        start_epochs(epochs(context, "start_epochs")),
        restart_epochs(epochs(context, "restart_epochs")),
        wider_steps(context.get<int>("wider_steps")),
        deeper_steps(context.get<int>("deeper_steps")),
        filters(context.get<std::vector<std::int64_t>>("filters")),
        features(context.get<std::vector<std::int64_t>>("features")),
        kernels(context.get<std::vector<std::int64_t>>("kernels")),
        block_layers(context.get<std::size_t>("block_layers")),
        children(context.get<std::size_t>("children")),
        entropy_weight(context.get<double>("entropy_weight")),
        inherit_weights(context.get<bool>("inherit_weights")) {
    check_ascending(filters, "filters");
    check_ascending(features, "features");
    weft::require::odd(kernels, "kernels");
    if (wider_steps + deeper_steps == 0)
      throw InvalidInput(
          "/wider_steps and /deeper_steps are 0; one of them must be more, or every network is the first");
    if (context.get<std::int64_t>("embedding") > context.get<std::int64_t>("units"))
      throw InvalidInput("/embedding is " + std::to_string(context.get<std::int64_t>("embedding")) +
                         "; must not exceed units, " + std::to_string(context.get<std::int64_t>("units")));
    const weft::Budget budget(context.study());
    if (children + 1 >= budget.least())
      throw InvalidInput("/children is " + std::to_string(children) +
                         "; with the first network that must be less than " + budget.words() +
                         ", or nothing is sampled by what the controller learned");
  }

  // The next width of the layer's list; its own where there is none.
  std::int64_t wider(const Layer& layer) const {
    if (layer.kind == Layer::Kind::pool) return layer.width;
    const std::vector<std::int64_t>& widths = layer.kind == Layer::Kind::linear ? features : filters;
    const auto next = std::upper_bound(widths.begin(), widths.end(), layer.width);
    return next == widths.end() ? layer.width : *next;
  }

 private:
  static std::optional<int> epochs(const weft::Context& context, const char* name) {
    if (context.configuration().at(name).is_null()) return {};
    return context.get<int>(name);
  }

  static void check_ascending(const std::vector<std::int64_t>& widths, const char* name) {
    for (std::size_t i = 1; i < widths.size(); ++i) {
      if (widths[i] <= widths[i - 1])
        throw InvalidInput("/" + std::string(name) + "/" + std::to_string(i) + " is " + std::to_string(widths[i]) +
                           "; must be more than the one before it, " + std::to_string(widths[i - 1]));
    }
  }
};

// ---- transformations ---------------------------------------------------------------------------------------------

// A network, and how its weights follow from those of the one that it began as.
struct Transformed {
  Genotype genotype;
  weft::WeightTransfer transfer = {};

  void apply(const weft::SpaceRef& space, const Json& morph, weft::Rng& rng) {
    weft::Morphisms::Child child = space.morph(genotype, morph, rng);
    genotype = std::move(child.genotype);
    transfer.append(std::move(child.transfer));
  }
};

Json widening(const Layer& layer, std::int64_t to) { return {{"morph", "widen"}, {"at", layer.node}, {"to", to}}; }

Json insertion(const Layer& layer, std::int64_t kernel) {
  if (layer.kind == Layer::Kind::linear) return {{"morph", "deepen_linear"}, {"at", layer.end}};
  return {{"morph", "deepen"}, {"at", layer.end}, {"kernel", kernel}};
}

Genotype first_network(const weft::Context& context) {
  try {
    return context.space().parse(context.get<std::string>("start"));
  } catch (const InvalidInput& error) {
    throw InvalidInput("/start: " + std::string(error.what()));
  }
}

// What an episode may ask for must be possible on the first network, so that no search ends in its midst.
void check_space(const weft::SpaceRef& space, const Genotype& first, const std::vector<Layer>& layers,
                 const Options& options, weft::Rng rng) {
  const auto check = [&](const Json& morph, const std::string& option) {
    try {
      space.morph(first, morph, rng);
    } catch (const InvalidInput& error) {
      throw InvalidInput("/" + option + ": the first network cannot be changed by " + morph.dump() + ": " +
                         error.what() + "; let the space do so, or change /" + option);
    }
  };
  for (const Layer& layer : layers) {
    if (layer.kind == Layer::Kind::pool) continue;
    const bool linear = layer.kind == Layer::Kind::linear;
    const std::int64_t widest = (linear ? options.features : options.filters).back();
    if (options.wider_steps > 0 && widest > layer.width)
      check(widening(layer, widest), linear ? "features" : "filters");
    for (std::size_t i = 0; options.deeper_steps > 0 && i < (linear ? 1 : options.kernels.size()); ++i)
      check(insertion(layer, options.kernels[i]), linear ? "deeper_steps" : "kernels");
  }
}

std::vector<Layer> layers_of(const weft::SpaceRef& space, const Genotype& genotype) {
  return eas::layers(space.decode(genotype).architecture);
}

std::vector<Layer> first_layers(const weft::SpaceRef& space, const Genotype& first) {
  try {
    std::vector<Layer> layers = layers_of(space, first);
    if (std::all_of(layers.begin(), layers.end(), [](const Layer& layer) { return layer.kind == Layer::Kind::pool; }))
      throw InvalidInput("it has no convolution or linear layer but its classifier; give it one");
    return layers;
  } catch (const InvalidInput& error) {
    throw InvalidInput("/start: the first network: " + std::string(error.what()));
  }
}

// ---- the search --------------------------------------------------------------------------------------------------

using Episode = std::vector<eas::Step>;

class Eas final : public weft::Optimizer {
 public:
  explicit Eas(const weft::Context& context)
      : options_(context),
        space_(context.space()),
        rng_(context.rng()),
        parent_{first_network(context), {}},
        controller_(controller_options(context), rng_.derive("controller")),
        reward_(context.configuration(), context.study()),
        baseline_(1.0 - context.get<double>("baseline_weight")) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity && !finished()) {
      if (start_ == Start::trained && batch_.size() < batch_size()) {
        proposals.push_back(propose_child());
      } else if (start_ == Start::wanted) {
        proposals.push_back(propose_start());
      } else {
        break;
      }
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<Place> place = in_flight_.take(result);
    if (!place) return;  // not one of ours
    if (!*place) return end_start(result);
    end_child(**place, result);
    if (++ended_ < batch_size()) return;
    learn();
    end_batch();
  }

  bool finished() const override { return stage_ == options_.stages.size(); }

  std::optional<std::vector<TrialId>> retain() const override {
    if (!options_.inherit_weights) return {};
    std::vector<TrialId> parents;
    if (parent_.trial) parents.push_back(*parent_.trial);
    if (best_) parents.push_back(*best_->network.trial);
    return parents;
  }

 private:
  struct Network {
    Genotype genotype;
    std::optional<TrialId> trial;  // that trained it
  };
  struct Child {
    Episode episode;
    std::optional<double> reward = {};
  };
  struct Best {
    Network network;
    double reward;
    std::size_t child;  // its number in the stage
  };
  using Place = std::optional<std::size_t>;  // of a child in its batch; nothing: the network that a stage begins with
  // Of that network.
  enum class Start { wanted, asked, trained };

  eas::Controller::Options controller_options(const weft::Context& context) const {
    const std::vector<Layer> layers = first_layers(space_, parent_.genotype);
    check_space(space_, parent_.genotype, layers, options_, rng_);
    return {.embedding = context.get<Eigen::Index>("embedding"),
            .units = context.get<Eigen::Index>("units"),
            .blocks = eas::blocks(layers).size(),
            .block_layers = options_.block_layers,
            .kernels = options_.kernels.size(),
            .lr = context.get<double>("lr")};
  }

  std::size_t batch_size() const { return std::min(options_.children, options_.stages[stage_] - sampled_); }

  // ---- proposals

  weft::Proposal propose_start() {
    weft::Proposal proposal{.genotype = parent_.genotype};
    proposal.fidelity.epochs = parent_.trial ? options_.restart_epochs : options_.start_epochs;
    inherit(proposal, {});
    in_flight_.add(proposal, std::nullopt);
    start_ = Start::asked;
    return proposal;
  }

  weft::Proposal propose_child() {
    Transformed network{parent_.genotype};
    Child child{.episode = episode(network)};
    weft::Proposal proposal{.genotype = std::move(network.genotype)};
    inherit(proposal, network.transfer);
    in_flight_.add(proposal, batch_.size());
    batch_.push_back(std::move(child));
    return proposal;
  }

  void inherit(weft::Proposal& proposal, const weft::WeightTransfer& transfer) const {
    if (!options_.inherit_weights || !parent_.trial) return;
    proposal.parent = parent_.trial;
    proposal.transfer = transfer.to_json();
  }

  Episode episode(Transformed& network) {
    Episode episode;
    for (int step = 0; step < options_.wider_steps; ++step) episode.emplace_back(widen(network));
    for (int step = 0; step < options_.deeper_steps; ++step) episode.emplace_back(deepen(network));
    return episode;
  }

  Widening widen(Transformed& network) {
    const std::vector<Layer> layers = layers_of(space_, network.genotype);
    std::vector<bool> possible;
    for (const Layer& layer : layers) possible.push_back(options_.wider(layer) > layer.width);
    Widening step = controller_.widen(eas::tokens(layers), std::move(possible), rng_);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (step.taken[i]) network.apply(space_, widening(layers[i], options_.wider(layers[i])), rng_);
    }
    return step;
  }

  Deepening deepen(Transformed& network) {
    const std::vector<Layer> layers = layers_of(space_, network.genotype);
    std::vector<std::vector<std::size_t>> blocks = eas::blocks(layers);
    std::vector<std::vector<bool>> convolutions;
    for (std::vector<std::size_t>& block : blocks) {
      block.resize(std::min(block.size(), options_.block_layers));
      std::vector<bool>& kinds = convolutions.emplace_back();
      for (const std::size_t layer : block) kinds.push_back(layers[layer].kind == Layer::Kind::convolution);
    }
    Deepening step = controller_.deepen(eas::tokens(layers), std::move(convolutions), rng_);
    const Layer& behind = layers[blocks[step.block()][step.layer()]];
    const std::int64_t kernel = step.behind_convolution() ? options_.kernels[step.kernel()] : 1;
    network.apply(space_, insertion(behind, kernel), rng_);
    return step;
  }

  // ---- results

  // One that failed is trained again: without its weights nobody has any to inherit.
  void end_start(const weft::TrialResult& result) {
    start_ = result.state == weft::TrialState::fail ? Start::wanted : Start::trained;
    if (start_ == Start::trained) parent_.trial = result.trial;
  }

  // Of children that are equally good the first is the best, in whatever order they end.
  void end_child(std::size_t place, const weft::TrialResult& result) {
    if (!result.complete() || !std::isfinite(result.reward)) return;
    batch_[place].reward = reward_.of(result);
    const std::size_t number = sampled_ + place;
    const bool is_best =
        !best_ || result.reward > best_->reward || (result.reward == best_->reward && number < best_->child);
    if (is_best) best_ = Best{{result.genotype, result.trial}, result.reward, number};
  }

  // The gradient is  1/m sum_k (R_k - b) sum_t grad log P(a_t | s_t) + entropy_weight grad H,  where b has seen the
  // batch and H is the mean over its steps.
  void learn() {
    std::vector<std::pair<const Child*, double>> rewarded;
    double mean = 0.0, steps = 0.0;
    for (const Child& child : batch_) {
      const std::optional<double> reward = child.reward ? child.reward : reward_.failure().worth();
      if (!reward) continue;
      rewarded.emplace_back(&child, *reward);
      mean += *reward;
      steps += static_cast<double>(child.episode.size());
    }
    if (rewarded.empty()) return;
    const auto count = static_cast<double>(rewarded.size());
    baseline_.update(mean / count);
    for (const auto& [child, reward] : rewarded) {
      for (const eas::Step& step : child->episode)
        controller_.accumulate(step, (reward - *baseline_.value()) / count, options_.entropy_weight / steps);
    }
    controller_.step();
  }

  void end_batch() {
    sampled_ += batch_.size();
    batch_.clear();
    ended_ = 0;
    if (sampled_ == options_.stages[stage_]) end_stage();
  }

  // Where nobody completed, the next begins where this one did.
  void end_stage() {
    ++stage_;
    sampled_ = 0;
    if (!best_) return;
    parent_ = std::move(best_->network);
    best_.reset();
    if (options_.restart_epochs) start_ = Start::wanted;
  }

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  Network parent_;  // where the stage begins
  Start start_ = Start::wanted;
  eas::Controller controller_;
  weft::controllers::Reward reward_;
  weft::controllers::Baseline baseline_;
  std::size_t stage_ = 0;
  std::size_t sampled_ = 0;  // of the stage, in batches before this one
  std::vector<Child> batch_;
  std::size_t ended_ = 0;     // of the batch
  std::optional<Best> best_;  // of the stage
  weft::InFlight<Place> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Eas>("eas"))
