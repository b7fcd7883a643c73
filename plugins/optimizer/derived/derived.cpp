// Proposes what the pipeline's one-shot search has derived, the best first, each once: so that an evaluator measures
// it, by the shared weights, by a table or trained from scratch, and the best is trained to the end.

#include <algorithm>
#include <utility>
#include <vector>

#include "weft/oneshot.hpp"
#include "weft/plugin.hpp"

namespace {

class DerivedOnes final : public weft::Optimizer {
 public:
  explicit DerivedOnes(const weft::Context& context) {
    // Before the one-shot search has ended there is nothing to propose, and nobody asks.
    const weft::Json oneshot = context.study().value("oneshot", weft::Json::object());
    for (const weft::Json& one : oneshot.value("derived", weft::Json::array()))
      derived_.push_back(weft::Derived::from_json(one));
    derived_.resize(std::min(derived_.size(), context.get<std::size_t>("most")));
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    for (; proposals.size() < capacity && proposed_ < derived_.size(); ++proposed_) {
      weft::Proposal proposal;
      proposal.genotype = derived_[proposed_].genotype;
      proposal.notes = derived_[proposed_].metrics;
      proposals.push_back(std::move(proposal));
    }
    return proposals;
  }

  void tell(const weft::TrialResult&) override {}
  bool finished() const override { return proposed_ == derived_.size(); }

 private:
  std::vector<weft::Derived> derived_;
  std::size_t proposed_ = 0;
};

}  // namespace

WEFT_PLUGIN(weft::component<DerivedOnes>("derived"))
