#include <algorithm>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Bench;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "grid_search"); }

// "stop", or "go on" to as many options as are asked for; with `progressive`, going on may be left out again.
class Branching final : public DecisionSpace {
 public:
  explicit Branching(const Context& context)
      : progressive_(context.configuration().value("progressive", false)),
        decides_(context.configuration().value("decides", true)) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (!decides_) return {};
    if (taken.empty()) return Decision{.name = "whether", .options = {"stop", "go on"}};
    if (taken.size() == 1 && taken[0] == 1) return Decision{.name = "where to", .options = {"a", "b", "c"}, .step = 1};
    return {};
  }
  bool complete(std::span<const std::int32_t> taken) const override {
    return !next(taken) || (progressive_ && taken.size() == 1);
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }

 private:
  bool progressive_, decides_;
};

// All that is proposed, and what is said before.
std::pair<std::vector<std::vector<std::int32_t>>, std::string> all_of(const weft_component& component,
                                                                      const Json& args) {
  const Instance space(component, args);
  const Instance instance(plugin(), {}, {.collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  std::vector<std::vector<std::int32_t>> all;
  while (!optimizer.finished()) {
    for (const Proposal& proposal : optimizer.ask(2)) all.push_back(proposal.genotype.decisions);
  }
  CHECK(optimizer.ask(2).empty());
  return {all, instance.log().at(0)};
}

}  // namespace

TEST_CASE("grid_search keeps the contract of optimizers") {
  // It learns nothing, from failures neither.
  check_optimizer(plugin(), Json::object(), {.improves = false, .failing_studies = 0});
}

TEST_CASE("grid_search proposes all genotypes in order, each once, whatever is told") {
  Bench bench(plugin(), Json::object(), {}, 1);
  std::vector<std::vector<std::int32_t>> all;
  while (!bench.optimizer.finished()) {
    for (const Proposal& proposal : bench.optimizer.ask(7)) {
      bench.optimizer.tell(result_of(static_cast<TrialId>(all.size()), proposal, TrialState::fail));
      all.push_back(proposal.genotype.decisions);
    }
  }
  REQUIRE(all.size() == 15625);  // 5^6
  CHECK(all[1] == std::vector<std::int32_t>{0, 0, 0, 0, 0, 1});
  CHECK(all.back() == std::vector<std::int32_t>{4, 4, 4, 4, 4, 4});
  CHECK(std::is_sorted(all.begin(), all.end()));
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("grid_search follows decisions that depend on others, and counts what there is") {
  using Genotypes = std::vector<std::vector<std::int32_t>>;
  static constexpr weft_component branching = component<Branching>("branching");
  const auto [all, said] = all_of(branching, Json::object());
  CHECK(all == Genotypes{{0}, {1, 0}, {1, 1}, {1, 2}});
  CHECK(said == "the grid has 4 genotypes");
  const auto [longer, said_of_longer] = all_of(branching, {{"progressive", true}});
  CHECK(longer == Genotypes{{0}, {1}, {1, 0}, {1, 1}, {1, 2}});
  CHECK(said_of_longer == "the grid has 5 genotypes");
  const auto [single, said_of_single] = all_of(branching, {{"decides", false}});
  CHECK(single == Genotypes{{}});
  CHECK(said_of_single == "the grid has 1 genotype");
}
