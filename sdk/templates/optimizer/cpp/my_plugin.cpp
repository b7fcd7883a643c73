// my_plugin: draws architectures at random, and with some probability mutates the best one so far instead.
//
// ask() proposes, tell() learns how a trial ended. All randomness comes from the context's stream, so that a study can
// be resumed: the same results in the same order give the same proposals.

#include <optional>
#include <vector>

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Optimizer {
 public:
  explicit MyPlugin(const weft::Context& context)
      : space_(context.space()),
        rng_(context.rng()),
        mutation_probability_(context.get<double>("mutation_probability")) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) {
      const bool mutates = best_ && rng_.bernoulli(mutation_probability_);
      proposal.genotype = mutates ? space_.mutate(best_->genotype, rng_) : space_.sample(rng_);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (!result.complete()) return;  // failed and pruned trials are told, too
    if (!best_ || result.reward > best_->reward) best_ = Best{result.genotype, result.reward};
  }

 private:
  struct Best {
    weft::Genotype genotype;
    double reward;  // always to be maximised
  };

  weft::SpaceRef space_;
  weft::Rng rng_;
  double mutation_probability_;
  std::optional<Best> best_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
