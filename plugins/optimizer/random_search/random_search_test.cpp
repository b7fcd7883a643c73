#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("random_search keeps the contract of optimizers") {
  check_optimizer(Plugin::open("optimizer", "random_search"), Json::object(), {.improves = false});
}

TEST_CASE("random_search proposes what the space samples, as many as asked for") {
  const Instance space(small_space(), {});
  const Instance instance(Plugin::open("optimizer", "random_search"), {},
                          {.rng = Rng(9), .collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  const std::vector<Proposal> proposals = optimizer.ask(500);
  REQUIRE(proposals.size() == 500);
  Rng rng(9);
  for (const Proposal& proposal : proposals) REQUIRE(proposal.genotype == SpaceRef(space.handle()).sample(rng));
}
