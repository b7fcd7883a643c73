// Hyperband: how many candidates a given budget is best spread over is not known, so that successive halving is run
// with one answer after the other, from many candidates on little (s = s_max) to few on the whole resource (s = 0).
//
// Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar 2017, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
// Optimization", algorithm 1. For R = 81 and eta = 3 the brackets begin with 81, 34, 15, 8 and 5 candidates; HpBandSter
// (automl/HpBandSter, optimizers/hyperband.py) begins with 81, 27, 9, 6 and 5, as eta^s times a whole number. Where
// levels are allotted, the ratio of the last one's cost to the first rung's stands for eta^s.
//
// With one slot the brackets run one after the other, as in the paper. With several, whoever is idle while a rung waits
// for its last results begins the next bracket, as in HpBandSter (parallel_brackets).

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "weft/budget.hpp"
#include "weft/plugin.hpp"
#include "weft/search/bracket.hpp"

namespace {

namespace search = weft::search;

// n of bracket s, where `scale` is eta^s.
std::size_t bracket_size(const std::string& sizes, std::size_t s_max, std::size_t s, double scale) {
  constexpr double rounding = 1e-9;  // of ratios of costs that are whole on paper
  const double exact = sizes == "paper" ? static_cast<double>(s_max + 1) * scale / static_cast<double>(s + 1)
                                        : static_cast<double>((s_max + 1) / (s + 1)) * scale;
  return static_cast<std::size_t>(std::ceil(exact - rounding));
}

search::BracketSchedule schedule(const weft::Context& context, const search::Resource& resource) {
  search::BracketSchedule schedule{.rounds = context.get<std::size_t>("rounds"),
                                   .parallel = context.get<bool>("parallel_brackets")};
  const std::size_t s_max = resource.rungs() - 1;
  for (std::size_t first = 0; first <= s_max; ++first) {
    const std::size_t n = bracket_size(context.get<std::string>("sizes"), s_max, s_max - first, resource.scale(first));
    schedule.round.push_back({.rung = first, .candidates = n});
  }
  const weft::Budget budget(context.study());
  if (const std::size_t n = schedule.round.front().candidates; budget.least() <= n) {
    throw weft::InvalidInput("/maximum and /minimum make a first bracket of " + std::to_string(n) +
                             " candidates; must be less than " + budget.words() +
                             ", or none comes to the second rung: raise /minimum or the budget");
  }
  return schedule;
}

class Hyperband final : public weft::Optimizer {
 public:
  explicit Hyperband(const weft::Context& context)
      : Hyperband(context, search::Resource(context.configuration(), context.study())) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override { return brackets_.ask(capacity); }
  void tell(const weft::TrialResult& result) override { brackets_.tell(result); }
  bool finished() const override { return brackets_.finished(); }
  std::optional<std::vector<weft::TrialId>> resumable() const override { return brackets_.resumable(); }

 private:
  Hyperband(const weft::Context& context, const search::Resource& resource)
      : brackets_(resource, search::Sampler(context.plugin("sampler")), schedule(context, resource)) {}

  search::Brackets brackets_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Hyperband>("hyperband"))
