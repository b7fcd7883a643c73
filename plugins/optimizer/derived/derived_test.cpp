#include "tests/catch.hpp"
#include "weft/oneshot.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// What a one-shot search is said to have derived: the first of the stream, in that order.
Json study_with_derived(std::size_t count) {
  const Instance space(small_space(), {});
  Json derived = Json::array();
  Rng rng(21);
  for (std::size_t i = 0; i < count; ++i)
    derived.push_back(Derived{SpaceRef(space.handle()).sample(rng), {{"one_shot_accuracy", i}}}.to_json());
  return {{"oneshot", {{"derived", derived}, {"folder", ""}}}};
}

std::vector<Proposal> all_of(const Json& study, const Json& args = Json::object()) {
  const Instance space(small_space(), {});
  const Instance instance(Plugin::open("optimizer", "derived"), args,
                          {.study = study, .collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  std::vector<Proposal> all;
  while (!optimizer.finished()) {
    const std::vector<Proposal> some = optimizer.ask(2);
    REQUIRE(some.size() <= 2);
    all.insert(all.end(), some.begin(), some.end());
  }
  CHECK(optimizer.ask(2).empty());
  return all;
}

}  // namespace

// What it proposes is given: it learns nothing of results.
TEST_CASE("derived keeps the contract of optimizers") {
  check_optimizer(
      Plugin::open("optimizer", "derived"), Json::object(),
      {.study = study_with_derived(40), .trials = 40, .long_study = 0, .improves = false, .failing_studies = 0});
}

TEST_CASE("derived proposes what was derived, in its order, each once, with what was said of it") {
  const Json study = study_with_derived(5);
  const std::vector<Proposal> all = all_of(study);
  REQUIRE(all.size() == 5);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Derived expected = Derived::from_json(study.at("oneshot").at("derived").at(i));
    CHECK(all[i].genotype == expected.genotype);
    CHECK(all[i].notes == expected.metrics);
  }
  CHECK(all_of(study, {{"most", 3}}).size() == 3);
  CHECK(all_of(Json::object()).empty());  // before the search has ended
}
