// REINFORCE: an LSTM controller samples architectures, and a policy gradient makes those that did well more likely.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", section 3.2; the controller is
// weft/controllers/policy.hpp. As by the paper's asynchronous replicas, a child's gradient is that of the policy when
// its batch is complete, which may have learned since the child was sampled; the paper does not correct for that. Here
// it can be, by importance weights, truncated as they have no bound of their own; `./dev bench controllers` shows that
// they do not help: with a hundred trials between a child and its result they learn more slowly (0.68 to 0.78). Not in
// the paper, and off by default: those weights; the weights of entropy and of skips, temperature and tanh of logits
// (Pham et al. 2018). The entropy is a term of the objective, with a gradient of its own, where the authors' code adds
// its value to the reward; their bias towards separable convolutions at the start is left out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "weft/controllers/children.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::controllers::Child;
using weft::controllers::Children;
using weft::controllers::Episode;
using weft::controllers::Policy;

// The space, whose networks may have more and more steps where it lets them end early: in section 4.1 of the paper the
// depth begins at 6 and grows by 2 with every 1,600 networks sampled.
class GrowingSpace final : public weft::Decisions {
 public:
  explicit GrowingSpace(const weft::Context& context)
      : space_(context.space()),
        increment_(context.get<std::int64_t>("depth_increment")),
        interval_(context.get<std::int64_t>("depth_interval")) {
    const weft::Json& depth = context.configuration().at("initial_depth");
    if (depth.is_null()) return;
    if (!ends_early()) {
      throw weft::InvalidInput("/initial_depth is " + depth.dump() +
                               ", but no network of this space ends before its last decision; leave it out");
    }
    end_ = space_.next({})->step + depth.get<std::int64_t>();
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    std::optional<weft::Decision> decision = space_.next(taken);
    if (end_ && decision && decision->step >= *end_ && space_.complete(taken)) return {};
    return decision;
  }

  // Called with every network sampled.
  void grow() {
    if (end_ && ++sampled_ % interval_ == 0) *end_ += increment_;
  }

 private:
  bool ends_early() const {
    for (std::vector<std::int32_t> taken; space_.next(taken); taken.push_back(0)) {
      if (space_.complete(taken)) return true;
    }
    return false;
  }

  weft::SpaceRef space_;
  std::int64_t increment_;
  std::int64_t interval_;
  std::optional<std::int64_t> end_;  // the first step that is too deep
  std::int64_t sampled_ = 0;
};

class Reinforce final : public weft::Optimizer {
 public:
  explicit Reinforce(const weft::Context& context)
      : space_(context),
        rng_(context.rng()),
        importance_limit_(context.configuration().at("importance_limit").is_null()
                              ? std::nullopt
                              : std::optional(context.get<double>("importance_limit"))),
        policy_(Policy::Options::from_json(context.configuration()), rng_.derive("parameters")),
        children_(context.configuration(), context.study()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      proposals.push_back(children_.ask(policy_, space_, rng_));
      space_.grow();
    }
    return proposals;
  }

  // The gradient is  1/m sum_k sum_t grad log P(a_t | a_1 .. a_t-1) (R_k - b).
  void tell(const weft::TrialResult& result) override {
    children_.tell(result);
    const std::vector<Child> batch = children_.batch();
    if (batch.empty()) return;
    for (const Child& child : batch) {
      const double slope = importance(child.episode) * child.advantage;
      policy_.accumulate(child.episode, [&](std::size_t, double) { return slope; });
    }
    policy_.step();
  }

 private:
  // How much more likely the policy makes the child now than when it was sampled.
  double importance(const Episode& episode) const {
    if (!importance_limit_) return 1.0;
    double sampled = 0.0;
    for (const weft::controllers::Choice& choice : episode.choices) sampled += choice.log_probability;
    return std::min(*importance_limit_, std::exp(policy_.evaluate(episode).log_probability() - sampled));
  }

  GrowingSpace space_;
  weft::Rng rng_;
  std::optional<double> importance_limit_;
  Policy policy_;
  Children children_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Reinforce>("reinforce"))
