// The children of a controller: sampled from its policy, out for evaluation in any number, and back in batches.
//
// ask() for each child that the host wants, tell() with every result; a batch that is complete is taken by batch(),
// with the advantage of each child. Nothing waits for a batch: while its last results are out, more children are
// sampled from the policy as it is, as by the replicas of Zoph & Le 2017, section 3.2, and a batch that the budget
// leaves incomplete is not learned from. Kept are the children that are out and those of the batch.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/budget.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/controllers/reward.hpp"
#include "weft/error.hpp"
#include "weft/in_flight.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"
#include "weft/trial.hpp"

namespace weft::controllers {

struct Child {
  Episode episode;
  double reward = 0.0;
  double advantage = 0.0;  // R - b
};

class Children {
 public:
  // From the members "children", "baseline_decay", "baseline_start" and those of Reward in a configuration.
  Children(const Json& configuration, const Json& study)
      : batch_size_(configuration.at("children").get<std::size_t>()),
        reward_(configuration, study),
        baseline_(configuration.at("baseline_decay").get<double>()),
        begins_at_mean_(configuration.at("baseline_start") == "mean") {
    const Budget budget(study);
    if (batch_size_ >= budget.least()) {
      throw InvalidInput("/children is " + std::to_string(batch_size_) + "; must be less than " + budget.words() +
                         ", or nothing is sampled by what the controller learned");
    }
  }

  Proposal ask(Policy& policy, const Decisions& space, Rng& rng) {
    Episode episode = policy.sample(space, rng);
    Proposal proposal{.genotype = episode.genotype()};
    out_.add(proposal, std::move(episode));
    return proposal;
  }

  void tell(const TrialResult& result) {
    std::optional<Episode> episode = out_.take(result);
    if (!episode) return;  // not one of ours
    const std::optional<double> reward = reward_.of(result);
    if (reward || reward_.failure().teaches()) batch_.push_back({std::move(*episode), reward});
  }

  // Empty until there are enough; and where all have failed and none ever completed, since nothing tells them apart.
  std::vector<Child> batch() {
    if (batch_.size() < batch_size_) return {};
    std::vector<Child> children;
    for (Ended& ended : std::exchange(batch_, {})) {
      const std::optional<double> reward = ended.reward ? ended.reward : reward_.failure().worth();
      if (reward) children.push_back({std::move(ended.episode), *reward});
    }
    if (!children.empty()) compare(children);
    return children;
  }

 private:
  struct Ended {
    Episode episode;
    std::optional<double> reward;  // nothing: it failed
  };

  // The baseline does not know the rewards it is compared with, but in the first batch, whose mean is all there is.
  void compare(std::vector<Child>& children) {
    double mean = 0.0;
    for (const Child& child : children) mean += child.reward / static_cast<double>(children.size());
    const bool first = !baseline_.value();
    const double baseline = baseline_.value().value_or(mean);
    for (Child& child : children) {
      child.advantage = child.reward - baseline;
      if (!first || !begins_at_mean_) baseline_.update(child.reward);
    }
    if (first && begins_at_mean_) baseline_.begin(mean);
  }

  std::size_t batch_size_;
  Reward reward_;
  Baseline baseline_;
  bool begins_at_mean_;
  InFlight<Episode> out_;
  std::vector<Ended> batch_;
};

}  // namespace weft::controllers
