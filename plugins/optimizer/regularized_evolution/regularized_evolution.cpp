// Regularized evolution: tournament selection, and the oldest individual dies.
//
// Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search", Algorithm 1.
// Population and tournaments are drawn as in the authors' published code: the sample is drawn with replacement.
// With several trials running at once, children are bred from the individuals that are finished, as in the paper's
// distributed runs; what is under way counts towards the first population. A candidate that fails never enters it.

#include <deque>
#include <string>

#include "weft/budget.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"

namespace {

struct Options {
  std::size_t population_size;  // P
  std::size_t sample_size;      // S
  bool count_in_flight;

  explicit Options(const weft::Context& context)
      : population_size(context.get<std::size_t>("population_size")),
        sample_size(context.get<std::size_t>("sample_size")),
        count_in_flight(context.get<bool>("count_in_flight")) {
    if (sample_size > population_size) {
      throw weft::InvalidInput("/sample_size is " + std::to_string(sample_size) +
                               "; must not exceed population_size, " + std::to_string(population_size));
    }
    const weft::Budget budget(context.study());
    if (count_in_flight && population_size >= budget.least()) {
      throw weft::InvalidInput("/population_size is " + std::to_string(population_size) + "; must be less than " +
                               budget.words() + ", or nobody is bred");
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
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      const bool founds = founds_now();
      if (!founds && population_.empty()) break;
      weft::Proposal& proposal = proposals.emplace_back();
      proposal.genotype = founds ? space_.sample(rng_) : space_.mutate(select(), rng_);
      if (options_.count_in_flight) in_flight_.add(proposal, {});
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (options_.count_in_flight && !in_flight_.take(result)) return;  // not one of ours
    const std::optional<double> reward = result.told_reward();
    if (!reward) return;
    population_.push_back({result.genotype, *reward});
    if (population_.size() >= options_.population_size) founded_ = true;
    if (population_.size() > options_.population_size) population_.pop_front();
  }

 private:
  struct Nothing {};

  // Whether the next one belongs to the first population.
  bool founds_now() const {
    if (!options_.count_in_flight) return population_.size() < options_.population_size;
    return !founded_ && population_.size() + in_flight_.size() < options_.population_size;
  }

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
  bool founded_ = false;               // the first population was complete
  weft::InFlight<Nothing> in_flight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RegularizedEvolution>("regularized_evolution"))
