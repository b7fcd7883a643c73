// Successive halving: n candidates get little; the best in eta of them get eta times as much, and so on, until the last
// of them get the whole resource.
//
// Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", with eta for two
// as in Li et al. 2017, "Hyperband". A rung is decided when all of its trials have ended; those that failed go no
// further. Of epochs every rung goes on from the checkpoints of the one below.

#include <optional>
#include <string>
#include <vector>

#include "weft/budget.hpp"
#include "weft/plugin.hpp"
#include "weft/search/bracket.hpp"

namespace {

namespace search = weft::search;

std::size_t candidates(const weft::Context& context, const search::Resource& resource) {
  const std::size_t fewest = resource.fewest(0, resource.rungs() - 1);
  if (context.configuration().at("candidates").is_null()) return fewest;
  const auto given = context.get<std::size_t>("candidates");
  if (given < fewest) {
    throw weft::InvalidInput("/candidates is " + std::to_string(given) + "; must be at least " +
                             std::to_string(fewest) + ", or none comes to the last of " +
                             std::to_string(resource.rungs()) + " rungs");
  }
  return given;
}

search::BracketSchedule schedule(const weft::Context& context, const search::Resource& resource) {
  const std::size_t n = candidates(context, resource);
  const weft::Budget budget(context.study());
  if (budget.least() <= n) {
    throw weft::InvalidInput("/candidates is " + std::to_string(n) + "; must be less than " + budget.words() +
                             ", or none comes to the second rung");
  }
  return {.round = {{.rung = 0, .candidates = n}},
          .rounds = context.get<std::size_t>("rounds"),
          .parallel = context.get<bool>("parallel_brackets")};
}

class SuccessiveHalving final : public weft::Optimizer {
 public:
  explicit SuccessiveHalving(const weft::Context& context)
      : SuccessiveHalving(context, search::Resource(context.configuration(), context.study())) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override { return brackets_.ask(capacity); }
  void tell(const weft::TrialResult& result) override { brackets_.tell(result); }
  bool finished() const override { return brackets_.finished(); }
  std::optional<std::vector<weft::TrialId>> resumable() const override { return brackets_.resumable(); }

 private:
  SuccessiveHalving(const weft::Context& context, const search::Resource& resource)
      : brackets_(resource, search::Sampler(context.plugin("sampler")), schedule(context, resource)) {}

  search::Brackets brackets_;
};

}  // namespace

WEFT_PLUGIN(weft::component<SuccessiveHalving>("successive_halving"))
