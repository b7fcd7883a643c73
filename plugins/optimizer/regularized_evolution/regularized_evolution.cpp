// Regularized evolution: tournament selection, and the oldest individual dies.
//
// Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search", Algorithm 1.
// Population and tournaments are drawn as in the authors' published code: the sample is drawn with replacement.
// Deviation: with several trials running at once, children are bred from the individuals that are finished, as in the
// paper's distributed runs. A candidate that fails never enters the population.

#include <deque>

#include "weft/plugin.hpp"

namespace {

struct Options {
  std::size_t population_size;  // P
  std::size_t sample_size;      // S

  explicit Options(const weft::Context& context)
      : population_size(context.get<std::size_t>("population_size")),
        sample_size(context.get<std::size_t>("sample_size")) {
    if (sample_size > population_size) {
      throw weft::InvalidInput("/sample_size is " + std::to_string(sample_size) +
                               "; must not exceed population_size, " + std::to_string(population_size));
    }
  }
};

struct Individual {
  weft::Genotype genotype;
  double reward;
};

class RegularizedEvolution final : public weft::Optimizer {
 public:
  explicit RegularizedEvolution(const weft::Context& context)
      : options_(context), space_(context.space()), rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) {
      proposal.genotype =
          population_.size() < options_.population_size ? space_.sample(rng_) : space_.mutate(select(), rng_);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (!result.complete()) return;
    population_.push_back({result.genotype, result.reward});
    if (population_.size() > options_.population_size) population_.pop_front();
  }

 private:
  // The best of S individuals drawn uniformly with replacement.
  const weft::Genotype& select() {
    const Individual* best = nullptr;
    for (std::size_t i = 0; i < options_.sample_size; ++i) {
      const Individual& drawn = population_[rng_.below(population_.size())];
      if (best == nullptr || drawn.reward > best->reward) best = &drawn;
    }
    return best->genotype;
  }

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  std::deque<Individual> population_;  // oldest first
};

}  // namespace

WEFT_PLUGIN(weft::component<RegularizedEvolution>("regularized_evolution"))
