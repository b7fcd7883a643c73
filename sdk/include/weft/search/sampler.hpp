// An optimizer within another one: where a search over fidelities gets its candidates from.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/optimizer.hpp"

namespace weft::search {

class Sampler {
 public:
  // A candidate, and what its results are told under.
  struct Drawn {
    Genotype genotype;
    std::int64_t number = 0;
    Json notes = {};  // the sampler's own
  };

  explicit Sampler(weft_handle optimizer) : optimizer_(optimizer) {}

  // Nothing: it waits for results, or is finished.
  std::optional<Drawn> draw() {
    if (finished()) return {};
    std::vector<Proposal> proposals = optimizer_.ask(1);
    if (proposals.empty()) return {};
    Proposal& proposal = proposals.front();
    if (!proposal.transfer.is_null() || proposal.fidelity != Fidelity{}) {
      throw Error(
          "the optimizer named in /sampler proposes a fidelity, or weights that are inherited, of its own; fidelities "
          "are set here, and every candidate begins anew: choose one, or set it, to propose genotypes alone");
    }
    return Drawn{std::move(proposal.genotype), drawn_++, std::move(proposal.notes)};
  }
  // It has nothing left to propose, whatever it is told.
  bool finished() const { return optimizer_.finished(); }
  std::int64_t drawn() const { return drawn_; }

  // A result of it, at whichever fidelity: one that is evaluated on several is told of each. Trials have the sampler's
  // own numbers, so that it is not told from which other one a training went on.
  void tell(TrialResult result, std::int64_t number, const Json& notes) {
    result.trial = number;
    result.notes = notes;
    result.fidelity.resume_from.reset();
    optimizer_.tell(result);
  }

 private:
  OptimizerRef optimizer_;
  std::int64_t drawn_ = 0;
};

}  // namespace weft::search
