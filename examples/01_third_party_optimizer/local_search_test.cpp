#include "weft/testing/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;
using optimizer_contract::reward_of;

TEST_CASE("local_search keeps the contract of optimizers") {
  check_optimizer(Plugin::open("optimizer", "local_search"));
  check_optimizer(Plugin::open("optimizer", "local_search"), {{"first_improvement", true}}, {.trials = 60});
}

// The reward is separable: every step corrects one of the six decisions, and the only local optimum is the global one.
TEST_CASE("local_search climbs to the optimum in as many steps as there are wrong decisions") {
  const Instance space(small_space(), {});
  const Instance instance(Plugin::open("optimizer", "local_search"), Json::object(),
                          {.rng = Rng(3), .collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  TrialId trial = 0;
  double reached = -1.0;
  const auto evaluate_all = [&] {
    const std::vector<Proposal> proposals = optimizer.ask(100);
    for (const Proposal& proposal : proposals) {
      reached = std::max(reached, reward_of(proposal.genotype));
      optimizer.tell(result_of(trial++, proposal));
    }
    return proposals.size();
  };
  CHECK(evaluate_all() == 1);
  for (int wrong = static_cast<int>(std::lround(6 * (1 - reached))); wrong > 0; --wrong) {
    CHECK(evaluate_all() == 6 * 4);
    CHECK(reached == Approx(1.0 - (wrong - 1) / 6.0));
  }
  CHECK(evaluate_all() == 6 * 4);  // none of which is better,
  CHECK(evaluate_all() == 1);      // so that it begins anew
}
