// The children of a controller: sampled from its policy, out for evaluation in any number, and back in batches.
//
// ask() for each child that the host wants, tell() with every result; a batch that is complete is taken by batch(),
// with the advantage of each child. Nothing waits for a batch: while its last results are out, more children are
// sampled from the policy as it is, as by the replicas of Zoph & Le 2017, section 3.2, and a batch that the budget
// leaves incomplete is not learned from. Kept are the children that are out and those of the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weft/budget.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/controllers/reward.hpp"
#include "weft/error.hpp"
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
  // From the members "children", "baseline_decay" and those of Reward in a configuration.
  Children(const Json& configuration, const Budget& budget)
      : batch_size_(configuration.at("children").get<std::size_t>()),
        reward_(configuration),
        baseline_(configuration.at("baseline_decay").get<double>()) {
    if (budget.trials && batch_size_ >= *budget.trials) {
      throw InvalidInput("/children is " + std::to_string(batch_size_) + "; must be less than the budget's trials, " +
                         std::to_string(*budget.trials) + ", or nothing is sampled by what the controller learned");
    }
  }

  Proposal ask(Policy& policy, const Decisions& space, Rng& rng) {
    Episode episode = policy.sample(space, rng);
    Proposal proposal{.genotype = episode.genotype()};
    out_.emplace(asked_++, std::move(episode));
    return proposal;
  }

  void tell(const TrialResult& result) {
    auto child = out_.extract(result.trial);
    if (child.empty()) return;  // not one of ours
    if (const std::optional<double> reward = reward_.of(result)) batch_.push_back({std::move(child.mapped()), *reward});
  }

  // Empty until there are enough. The baseline does not know the rewards it is compared with, but in the first batch,
  // whose mean is all there is.
  std::vector<Child> batch() {
    if (batch_.size() < batch_size_) return {};
    double mean = 0.0;
    for (const Child& child : batch_) mean += child.reward / static_cast<double>(batch_.size());
    const double baseline = baseline_.value().value_or(mean);
    for (Child& child : batch_) {
      child.advantage = child.reward - baseline;
      baseline_.update(child.reward);
    }
    return std::exchange(batch_, {});
  }

 private:
  std::size_t batch_size_;
  Reward reward_;
  Baseline baseline_;
  TrialId asked_ = 0;
  std::unordered_map<TrialId, Episode> out_;
  std::vector<Child> batch_;
};

}  // namespace weft::controllers
