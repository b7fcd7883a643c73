// REINFORCE: an LSTM controller samples architectures, and a policy gradient makes those that did well more likely.
//
// Zoph, Le 2017, "Neural Architecture Search with Reinforcement Learning", section 3.2; the controller is
// weft/controllers/policy.hpp. As by the paper's asynchronous replicas, a child's gradient is that of the policy when
// its batch is complete, which may have learned since the child was sampled.
// Not in the paper: the weights of entropy and of skips (Pham et al. 2018, 0 by default). The entropy is a term of the
// objective, with a gradient of its own, where the authors' code adds its value to the reward.
// Left to the space and the budget: the depth that the paper increases during the search.

#include "weft/controllers/children.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::controllers::Child;
using weft::controllers::Children;
using weft::controllers::Policy;

class Reinforce final : public weft::Optimizer {
 public:
  explicit Reinforce(const weft::Context& context)
      : space_(context.space()),
        rng_(context.rng()),
        policy_(Policy::Options::from_json(context.configuration()), rng_.derive("parameters")),
        children_(context.configuration()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    return children_.ask(capacity, policy_, space_, rng_);
  }

  // The gradient is  1/m sum_k sum_t grad log P(a_t | a_1 .. a_t-1) (R_k - b).
  void tell(const weft::TrialResult& result) override {
    children_.tell(result);
    const std::vector<Child> batch = children_.batch();
    if (batch.empty()) return;
    for (const Child& child : batch) {
      policy_.accumulate(child.episode, [&](std::size_t, double) { return child.advantage; });
    }
    policy_.step();
  }

 private:
  weft::SpaceRef space_;
  weft::Rng rng_;
  Policy policy_;
  Children children_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Reinforce>("reinforce"))
