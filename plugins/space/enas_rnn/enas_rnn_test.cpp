// ENAS's recurrent cells: the size of the space, arcs, sizes of networks, and the supernet's paths.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/supernet.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::decode;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), std::int64_t vocabulary = 10) {
  return Instance(Plugin::open("space", "enas_rnn"), args,
                  {.study = {{"task", {{"input", {5, 1}}, {"classes", vocabulary}}}}});
}

}  // namespace

TEST_CASE("enas_rnn keeps the contract of spaces") {
  const Json text = {{"input", {5, 1}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "enas_rnn"), {{"nodes", 3}, {"features", 4}}, {{"task", text}});
  weft::testing::check_space(Plugin::open("space", "enas_rnn"),
                             {{"nodes", 2}, {"features", 3}, {"layers", 2}, {"state_dropout", 0}}, {{"task", text}});
}

TEST_CASE("enas_rnn: the size of the space, and arcs") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  double size = 1.0;
  for (std::size_t at = 0; at < genotype.decisions.size(); ++at)
    size *= static_cast<double>(space.next({genotype.decisions.data(), at})->options.size());
  CHECK(size == 362880.0 * 262144.0);  // 9! 4^9
  const std::string arc = "0 2 1 0 2 1 0 3 4 2 1 0 6 1 7 1 3 0";
  CHECK(space.parse(arc) == weft::Genotype({2, 1, 0, 2, 1, 0, 3, 4, 2, 1, 0, 6, 1, 7, 1, 3, 0}));
  CHECK(space.notation(space.parse(arc)) == arc);
  for (const char* wrong : {"0 2 2 0 2 1 0 3 4 2 1 0 6 1 7 1 3 0", "0 4 1 0 2 1 0 3 4 2 1 0 6 1 7 1 3 0", "0 2 1 0",
                            "0 2 1 0 2 1 0 3 4 2 1 0 6 1 7 1 3"})
    CHECK_THROWS_AS(space.parse(wrong), weft::InvalidInput);

  // A controller points at the node that an option is; the first state is none.
  const auto decision = space.next(std::vector<std::int32_t>{0, 1, 2});
  REQUIRE(decision.has_value());
  CHECK(decision->name == "node 3/input");
  CHECK(decision->step == 2);
  CHECK(decision->named_steps == std::vector<int>{weft::Decision::no_step, 0, 1});
}

TEST_CASE("enas_rnn: what a network has of the supernet's weights") {
  constexpr std::int64_t vocabulary = 10000, h = 200;
  const Instance instance = open_space(Json::object(), vocabulary);
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  const std::int64_t around = vocabulary * h + vocabulary + 2 * h * 2 * h;  // embedding, bias, W of [x, h]
  CHECK(space.decode(space.sample(rng)).architecture.cost().parameters == around + 9 * h * 2 * h);
  // One matrix for each activation and each state that a node may read.
  CHECK(space.supernet().cost().parameters == around + 4 * 45 * h * 2 * h);

  // The paper's network has 24M.
  const Instance matched = open_space({{"match_parameters", 24'000'000}}, vocabulary);
  const std::int64_t parameters =
      weft::SpaceRef(matched.handle()).decode(space.sample(rng)).architecture.cost().parameters;
  CHECK(parameters <= 24'000'000);
  CHECK(parameters > 23'900'000);
}

TEST_CASE("enas_rnn: a path of the supernet is the architecture's own network") {
  const Instance instance = open_space({{"features", 4}});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  REQUIRE(choices.size() == 8 + 9);
  for (const weft::SupernetChoice& choice : choices)
    CHECK(choice.nodes.size() == (choice.decision.ends_with("input") ? 4 : 1));
  weft::Rng rng(3);
  for (int i = 0; i < 5; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(weft::restricted(supernet, space.path(genotype)).canonical_hash() ==
          space.decode(genotype).architecture.canonical_hash());
  }
}

TEST_CASE("enas_rnn: weights mean the best state and the best activation of each node") {
  const Instance instance = open_space({{"nodes", 2}, {"features", 4}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.notation(space.derive({{"node 1/function", {0.1, 0.2, 0.3, 0.2}},
                                     {"node 2/input", {0.4, 0.6}},
                                     {"node 2/function", {0.1, 0.5, 0.2, 0.5}}})) == "0 2 1 1");
}
