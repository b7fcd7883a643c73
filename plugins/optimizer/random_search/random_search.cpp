// Random search: every proposal is drawn from the space anew, whatever the results were.
//
// The null optimizer that every other one has to beat (Li & Talwalkar 2019, "Random Search and Reproducibility for
// NAS").

#include "weft/plugin.hpp"

namespace {

class RandomSearch final : public weft::Optimizer {
 public:
  explicit RandomSearch(const weft::Context& context) : space_(context.space()), rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) proposal.genotype = space_.sample(rng_);
    return proposals;
  }

  void tell(const weft::TrialResult&) override {}

 private:
  weft::SpaceRef space_;
  weft::Rng rng_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandomSearch>("random_search"))
