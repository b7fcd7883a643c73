// Grid search: every genotype of the space in order, each once, whatever the results are.
//
// The oldest of baselines, and RandAugment's search (Cubuk et al. 2020, section 3). The last decision changes fastest,
// its options in their order; where later decisions depend on earlier ones, so does what is enumerated. Of a space
// whose genotypes may be of several lengths the shorter ones come before those that go on from them.

#include <cstdint>
#include <string>
#include <vector>

#include "weft/plugin.hpp"

namespace {

// A walk through a space's genotypes, depth first.
class Enumeration {
 public:
  explicit Enumeration(const weft::SpaceRef& space) : space_(space) { find_complete(); }

  // The genotype at hand; must not be asked for at the end.
  weft::Genotype genotype() const { return weft::Genotype(taken_); }
  bool at_end() const { return at_end_; }
  void advance() {
    step();
    find_complete();
  }
  // Prefixes of genotypes that were visited.
  std::size_t visited() const { return visited_; }

 private:
  // To the first option of the next decision; where there is none, to the next option of the last one that has it.
  void step() {
    ++visited_;
    if (const std::optional<weft::Decision> decision = space_.next(taken_)) {
      taken_.push_back(0);
      options_.push_back(decision->options.size());
      return;
    }
    while (!taken_.empty() && static_cast<std::size_t>(taken_.back()) + 1 == options_.back()) {
      taken_.pop_back();
      options_.pop_back();
    }
    if (taken_.empty()) {
      at_end_ = true;
    } else {
      ++taken_.back();
    }
  }
  void find_complete() {
    while (!at_end_ && !space_.complete(taken_)) step();
  }

  const weft::SpaceRef& space_;
  std::vector<std::int32_t> taken_;
  std::vector<std::size_t> options_;  // how many each decision on the way has
  std::size_t visited_ = 0;
  bool at_end_ = false;
};

// How many genotypes there are, counted one by one as long as that takes no time.
std::string count(const weft::SpaceRef& space) {
  constexpr std::size_t most = 20'000;  // prefixes that are visited: some 50 ms
  std::size_t genotypes = 0;
  Enumeration all(space);
  for (; !all.at_end() && all.visited() < most; all.advance()) ++genotypes;
  return (all.at_end() ? "" : "more than ") + std::to_string(genotypes) + (genotypes == 1 ? " genotype" : " genotypes");
}

class GridSearch final : public weft::Optimizer {
 public:
  explicit GridSearch(const weft::Context& context) : space_(context.space()), grid_(space_) {
    context.log().info("the grid has " + count(space_));
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    for (; proposals.size() < capacity && !grid_.at_end(); grid_.advance())
      proposals.push_back({.genotype = grid_.genotype()});
    return proposals;
  }
  void tell(const weft::TrialResult&) override {}
  bool finished() const override { return grid_.at_end(); }

 private:
  weft::SpaceRef space_;
  Enumeration grid_;
};

}  // namespace

WEFT_PLUGIN(weft::component<GridSearch>("grid_search"))
