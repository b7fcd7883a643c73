// Proximal policy optimization: an LSTM controller samples architectures, and follows the gradient of each batch for
// several steps, but never so far that a decision's probability leaves the neighbourhood of what it was.
//
// Zoph, Vasudevan, Shlens, Le 2018, "Learning Transferable Architectures for Scalable Image Recognition"; Schulman et
// al. 2017, "Proximal Policy Optimization Algorithms", Algorithm 1 and equation 9 without the value function, whose
// place a moving average of rewards takes. The controller is weft/controllers/policy.hpp.
// The ratio of each decision is to its probability when the child was sampled, also for results that arrive late.

#include "surrogate.hpp"
#include "weft/controllers/children.hpp"
#include "weft/controllers/policy.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::controllers::Child;
using weft::controllers::Children;
using weft::controllers::Policy;

class Ppo final : public weft::Optimizer {
 public:
  explicit Ppo(const weft::Context& context)
      : epochs_(context.get<int>("epochs")),
        surrogate_{context.get<double>("clip")},
        space_(context.space()),
        rng_(context.rng()),
        policy_(Policy::Options::from_json(context.configuration()), rng_.derive("parameters")),
        children_(context.configuration(), context.study()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) proposals.push_back(children_.ask(policy_, space_, rng_));
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    children_.tell(result);
    const std::vector<Child> batch = children_.batch();
    if (batch.empty()) return;
    for (int epoch = 0; epoch < epochs_; ++epoch) {
      for (const Child& child : batch) {
        policy_.accumulate(child.episode, [&](std::size_t choice, double log_probability) {
          return surrogate_.slope(log_probability, child.episode.choices[choice].log_probability, child.advantage);
        });
      }
      policy_.step();
    }
  }

 private:
  int epochs_;
  ppo::Surrogate surrogate_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  Policy policy_;
  Children children_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Ppo>("ppo"))
