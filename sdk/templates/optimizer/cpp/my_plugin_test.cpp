#include "weft/testing/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of optimizers") { check_optimizer(Plugin::open("optimizer", "my_plugin")); }

TEST_CASE("mutates the best of what it was told") {
  const Instance space_instance(small_space(), {});
  const SpaceRef space(space_instance.handle());
  const Instance instance(Plugin::open("optimizer", "my_plugin"), {{"mutation_probability", 1.0}},
                          {.collaborators = {{"space", space_instance.handle()}}});
  OptimizerRef optimizer(instance.handle());
  Rng rng(3);
  const Genotype best = space.sample(rng);
  optimizer.tell({.trial = 0, .genotype = space.sample(rng), .reward = 0.2});
  optimizer.tell({.trial = 1, .genotype = best, .reward = 0.9});
  optimizer.tell({.trial = 2, .genotype = space.sample(rng), .reward = 0.5});
  for (const Proposal& proposal : optimizer.ask(50)) {
    int changed = 0;
    for (std::size_t i = 0; i < best.decisions.size(); ++i) {
      changed += proposal.genotype.decisions[i] != best.decisions[i] ? 1 : 0;
    }
    CHECK(changed == 1);
  }
}
