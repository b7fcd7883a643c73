#include "weft/testing/catch.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/small_space.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of evaluators") {
  const Instance space(small_space(), {});
  check_evaluator(Plugin::open("evaluator", "my_plugin"), {}, {.collaborators = {{"space", space.handle()}}});
}

TEST_CASE("a network of `half` multiply-adds is worth one half") {
  const Instance space(small_space(), {});
  const Genotype genotype({0, 1, 2, 3, 4, 0});
  const std::int64_t multiply_adds = SpaceRef(space.handle()).decode(genotype).architecture.cost().multiply_adds;
  const Instance instance(Plugin::open("evaluator", "my_plugin"), {{"half", multiply_adds}},
                          {.collaborators = {{"space", space.handle()}}});
  const Evaluation evaluation = EvaluatorRef(instance.handle()).evaluate({.genotype = genotype}, {});
  CHECK(evaluation.metrics == Json{{"validation_accuracy", 0.5}});
}
