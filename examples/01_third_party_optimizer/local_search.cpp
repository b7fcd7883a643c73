// Local search: evaluate all neighbours of an architecture, move to the best of them, until none is better.
//
// White, Nolen, Savani 2020, "Local Search is State of the Art for Neural Architecture Search Benchmarks", Algorithm 1;
// with `first_improvement` its variant that moves as soon as a neighbour is better. A neighbour differs in one
// decision; all are tried in random order, several at once with several workers. At a local optimum the search begins
// anew.

#include <algorithm>
#include <limits>
#include <map>

#include "weft/plugin.hpp"

namespace {

class LocalSearch final : public weft::Optimizer {
 public:
  explicit LocalSearch(const weft::Context& context)
      : first_improvement_(context.get<bool>("first_improvement")), space_(context.space()), rng_(context.rng()) {
    move();
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    for (; proposals.size() < capacity && !untried_.empty(); untried_.pop_back()) {
      proposals.push_back({.genotype = std::move(untried_.back()), .notes = step_});
      ++running_;
    }
    return proposals;  // none while the last neighbours are being evaluated
  }

  void tell(const weft::TrialResult& result) override {
    if (result.notes != step_) return;  // a late neighbour of an architecture that was left for its first improvement
    --running_;
    if (result.complete() && result.reward > best_reward_) {
      best_ = result.genotype;
      best_reward_ = result.reward;
    }
    const bool all_evaluated = untried_.empty() && running_ == 0;
    if (all_evaluated || (first_improvement_ && best_reward_ > reward_)) move();
  }

 private:
  // To the best neighbour if it is better; else to a random architecture, the only neighbour of nothing.
  void move() {
    untried_ = best_reward_ > reward_ ? neighbours(best_) : std::vector<weft::Genotype>();
    if (untried_.empty()) {
      untried_ = {space_.sample(rng_)};
      best_reward_ = nothing;
    }
    reward_ = best_reward_;
    rng_.shuffle(untried_);
    running_ = 0;
    ++step_;
  }

  using Answers = std::map<std::string, std::string>;  // decision -> option

  std::vector<weft::Genotype> neighbours(const weft::Genotype& genotype) const {
    std::vector<weft::Genotype> prefixes;  // each ends with a changed decision
    Answers answers;
    for (auto at = genotype.decisions.begin(); at != genotype.decisions.end(); ++at) {
      weft::Genotype prefix({genotype.decisions.begin(), at + 1});
      const weft::Decision decision = *space_.next({genotype.decisions.begin(), at});
      answers[decision.name] = decision.options[static_cast<std::size_t>(*at)];
      for (int option = 0; option < std::ssize(decision.options); ++option) {
        prefix.decisions.back() = option;
        if (option != *at) prefixes.push_back(prefix);
      }
    }
    for (weft::Genotype& prefix : prefixes) complete(prefix, answers);
    return prefixes;
  }

  // As before; where a decision is new, or its option no longer offered, by the first option.
  void complete(weft::Genotype& genotype, const Answers& answers) const {
    while (const auto decision = space_.next(genotype.decisions)) {
      const auto answer = answers.find(decision->name);
      if (answer == answers.end() && space_.complete(genotype.decisions)) break;  // as long as it was
      const auto& options = decision->options;
      const auto kept = std::find(options.begin(), options.end(), answer == answers.end() ? "" : answer->second);
      genotype.decisions.push_back(kept == options.end() ? 0 : static_cast<std::int32_t>(kept - options.begin()));
    }
  }

  static constexpr double nothing = -std::numeric_limits<double>::infinity();
  bool first_improvement_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  double reward_ = nothing;       // of the current architecture
  double best_reward_ = nothing;  // of the best of it and its neighbours so far
  weft::Genotype best_;
  std::vector<weft::Genotype> untried_;  // neighbours
  std::size_t running_ = 0;
  int step_ = 0;  // goes with each trial
};
}  // namespace

WEFT_PLUGIN(weft::component<LocalSearch>("local_search"))
