// Path-level EAS: a meta-controller transforms a trained network path by path, and learns by policy gradient which
// transformations lead to good ones.
//
// Cai, Yang, Zhang, Han, Yu 2018, "Path-Level Network Transformation for Efficient Architecture Search", section 3.3;
// numbers as in the authors' released code (han-cai/PathLevel-EAS). The first trial is the network to start from. Each
// other one is an episode of transformations of it, and inherits its weights. An episode goes through the tree depth
// first: a node that has nothing but an identity may get branches; each identity may become an operation; each leaf
// may become a node, where the same begins. A batch of episodes, rewarded by tan(accuracy pi / 2) less the baseline,
// moves the controller (REINFORCE).
//
// Batches are on-policy: nothing is proposed while the last results of one are out, so that the search is the same
// whatever the number of trials at once. Of trees and their morphs it knows what the capability space.trees says
// (plugins/space/path_level).

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "meta_controller.hpp"
#include "weft/budget.hpp"
#include "weft/controllers/reward.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

using path_level_eas::branches_of;
using path_level_eas::Choice;
using path_level_eas::MetaController;
using path_level_eas::node_of;
using weft::Genotype;
using weft::InvalidInput;
using weft::Json;

std::size_t height(const Json& node) {
  std::size_t highest = 0;
  for (const Json& branch : branches_of(node)) highest = std::max(highest, 1 + height(node_of(branch)));
  return highest;
}

// ---- an episode ---------------------------------------------------------------------------------------------------

struct Episode {
  weft::Morphisms::Child network;  // and how its weights follow from the start's
  std::vector<Choice> choices = {};
};

class Sampling {
 public:
  Sampling(const weft::SpaceRef& space, MetaController& controller, weft::Rng& rng, const Genotype& start)
      : space_(space), controller_(controller), rng_(rng), episode_{{start, {}}} {}

  Episode run() && {
    visit({});
    return std::move(episode_);
  }

 private:
  using Place = std::vector<std::size_t>;

  void visit(const Place& node) {
    merge(node);
    const std::size_t count = branches_of(at(node)).size();
    for (std::size_t branch = 0; branch < count; ++branch) decide(Choice::Kind::replace_identity, below(node, branch));
    for (std::size_t branch = 0; branch < count; ++branch) {
      const Place next = below(node, branch);
      decide(Choice::Kind::insert_node, next);
      if (!branches_of(at(next)).empty()) visit(next);
    }
  }

  // First how the node's branches merge, if it gets any, then how many there are: two decisions, each with its actor.
  void merge(const Place& place) {
    std::vector<Json> morphs = offered(Choice::Kind::set_merge_type, place);
    if (morphs.empty()) return;
    std::vector<std::string> merges = {"none"};
    for (const Json& morph : morphs) {
      const auto& name = morph.at("merge").get_ref<const std::string&>();
      if (std::find(merges.begin(), merges.end(), name) == merges.end()) merges.push_back(name);
    }
    const std::string taken = merges[draw(Choice::Kind::set_merge_type, place, merges)];
    std::erase_if(morphs, [&](const Json& morph) { return morph.at("merge") != taken; });
    if (morphs.empty()) return;
    std::vector<std::string> counts;
    for (const Json& morph : morphs) counts.push_back(taken + " " + morph.at("branches").dump());
    apply(morphs[counts.size() > 1 ? draw(Choice::Kind::set_branches, place, std::move(counts)) : 0]);
  }

  // Nothing where the space offers nothing.
  void decide(Choice::Kind kind, const Place& place) {
    const std::vector<Json> morphs = offered(kind, place);
    if (morphs.empty()) return;
    std::vector<std::string> options = {"none"};
    for (const Json& morph : morphs) options.push_back(morph.value("operation", "insert"));
    const std::size_t taken = draw(kind, place, std::move(options));
    if (taken > 0) apply(morphs[taken - 1]);
  }

  std::size_t draw(Choice::Kind kind, const Place& place, std::vector<std::string> options) {
    Choice choice{.kind = kind, .tree = tree(), .place = place, .options = std::move(options)};
    const path_level_eas::Vector probabilities = controller_.log_probabilities(choice).array().exp().matrix();
    choice.taken = rng_.weighted({probabilities.data(), static_cast<std::size_t>(probabilities.size())});
    return episode_.choices.emplace_back(std::move(choice)).taken;
  }

  void apply(const Json& morph) {
    weft::Morphisms::Child child = space_.morph(episode_.network.genotype, morph, rng_);
    episode_.network.genotype = std::move(child.genotype);
    episode_.network.transfer.append(std::move(child.transfer));
  }

  std::vector<Json> offered(Choice::Kind kind, const Place& place) const {
    static constexpr const char* names[] = {"set_merge_type", "replace_identity", "insert_node"};  // but set_branches
    std::string written = "root";
    for (const std::size_t branch : place) written += "/" + std::to_string(branch + 1);
    std::vector<Json> morphs = space_.morphs(episode_.network.genotype);
    std::erase_if(morphs, [&](const Json& morph) {
      return morph.at("morph") != names[static_cast<int>(kind)] || morph.at("at") != written;
    });
    return morphs;
  }

  const Json& tree() const { return episode_.network.genotype.opaque; }
  const Json& at(const Place& place) const {
    const Json* node = &tree();
    for (const std::size_t branch : place) node = &node_of(branches_of(*node)[branch]);
    return *node;
  }
  static Place below(Place node, std::size_t branch) {
    node.push_back(branch);
    return node;
  }

  const weft::SpaceRef& space_;
  MetaController& controller_;
  weft::Rng& rng_;
  Episode episode_;
};

// ---- the optimizer ------------------------------------------------------------------------------------------------

MetaController::Options controller_options(const weft::Context& context) {
  return {.sizes = {context.get<Eigen::Index>("units"), context.get<Eigen::Index>("embedding")},
          .actor_units = context.get<Eigen::Index>("actor_units"),
          .lr = context.get<double>("lr"),
          .entropy_weight = context.get<double>("entropy_weight"),
          .gradient_clip = context.get<double>("gradient_clip")};
}

class PathLevelEas final : public weft::Optimizer {
 public:
  explicit PathLevelEas(const weft::Context& context)
      : space_(context.space()),
        rng_(context.rng()),
        batch_size_(context.get<std::size_t>("children")),
        least_height_(context.get<std::size_t>("least_height")),
        inherits_(context.get<bool>("inherit_weights")),
        reward_(context.configuration(), context.study()),
        baseline_(context.get<double>("baseline_decay")),
        controller_(controller_options(context), rng_.derive("parameters")) {
    check_space();
    const weft::Budget budget(context.study());
    if (budget.least() <= batch_size_ || budget.least() - batch_size_ < 2) {
      throw InvalidInput("/children is " + std::to_string(batch_size_) + "; must be less by two than " +
                         budget.words() + ", or after the start nothing is sampled by what the controller learned");
    }
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    if (inherits_ && !trained_start_) {
      if (capacity > 0 && out_.empty()) out_.add(proposals.emplace_back(weft::Proposal{.genotype = start_}), 0);
      return proposals;
    }
    while (proposals.size() < capacity && batch_.size() < batch_size_) {
      Episode episode = sample();
      weft::Proposal& proposal = proposals.emplace_back(weft::Proposal{.genotype = episode.network.genotype});
      if (inherits_) {
        proposal.parent = trained_start_;
        proposal.transfer = episode.network.transfer.to_json();
      }
      out_.add(proposal, batch_.size());
      batch_.push_back({std::move(episode.choices)});
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<std::size_t> number = out_.take(result);
    if (!number) return;                 // not one of ours
    if (inherits_ && !trained_start_) {  // it is proposed until it has weights
      if (!result.complete()) return;
      trained_start_ = result.trial;
      baseline_.update(*reward_.of(result));
      return;
    }
    batch_[*number].reward = reward_.of(result);
    if (out_.empty() && batch_.size() == batch_size_) learn(std::exchange(batch_, {}));
  }

  std::optional<std::vector<weft::TrialId>> retain() const override {
    if (!inherits_) return {};
    return trained_start_ ? std::vector{*trained_start_} : std::vector<weft::TrialId>();
  }

 private:
  struct Sampled {
    std::vector<Choice> choices;
    std::optional<double> reward = {};  // nothing: it failed
  };

  // The highest tree is a chain of nodes, each in the first place where one can be inserted.
  void check_space() {
    if (!space_.has_morphisms())
      throw InvalidInput(
          "the space has no morphs (space.morphisms); path_level_eas needs a space of trees, path_level for one");
    start_ = space_.parse("start");
    Genotype highest = start_;
    weft::Rng unused(0);
    while (true) {
      const std::vector<Json> morphs = space_.morphs(highest);
      const auto inserts = [](const Json& morph) { return morph.at("morph") == "insert_node"; };
      const auto insertion = std::find_if(morphs.begin(), morphs.end(), inserts);
      if (insertion == morphs.end()) break;
      highest = space_.morph(highest, *insertion, unused).genotype;
    }
    if (height(highest.opaque) < least_height_)
      throw InvalidInput("/least_height is " + std::to_string(least_height_) + "; the space's trees have at most " +
                         std::to_string(height(highest.opaque)) + ", so that none would be proposed; give less");
  }

  // Low trees are drawn anew, but not for ever: a controller may have unlearnt to insert nodes.
  Episode sample() {
    constexpr int attempts = 100;
    for (int attempt = 1;; ++attempt) {
      Episode episode = Sampling(space_, controller_, rng_, start_).run();
      if (height(episode.network.genotype.opaque) >= least_height_ || attempt == attempts) return episode;
    }
  }

  // grad J = 1/m sum_k sum_t grad log P(a_t) (R_k - b); the baseline, at first the start's reward, follows the mean of
  // each batch before it is subtracted.
  void learn(std::vector<Sampled> batch) {
    std::erase_if(batch, [&](Sampled& sampled) {
      if (!sampled.reward) sampled.reward = reward_.failure().worth();
      return !sampled.reward;
    });
    if (batch.empty()) return;
    double mean = 0.0;
    for (const Sampled& sampled : batch) mean += *sampled.reward / static_cast<double>(batch.size());
    baseline_.update(mean);
    const double baseline = *baseline_.value();
    for (const Sampled& sampled : batch) {
      for (const Choice& choice : sampled.choices) controller_.accumulate(choice, *sampled.reward - baseline);
    }
    controller_.step(batch.size());
  }

  weft::SpaceRef space_;
  weft::Rng rng_;
  std::size_t batch_size_;
  std::size_t least_height_;
  bool inherits_;
  weft::controllers::Reward reward_;
  weft::controllers::Baseline baseline_;
  MetaController controller_;
  Genotype start_;
  std::optional<weft::TrialId> trained_start_;
  weft::InFlight<std::size_t> out_;  // by place in the batch
  std::vector<Sampled> batch_;       // and who is out
};

}  // namespace

WEFT_PLUGIN(weft::component<PathLevelEas>("path_level_eas"))
