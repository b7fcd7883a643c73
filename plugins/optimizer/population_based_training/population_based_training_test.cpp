#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Bench;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "population_based_training"); }

// Recipes of one network: two decisions without an order, then `ordinal` with one.
class Recipes final : public DecisionSpace {
 public:
  explicit Recipes(const Context& context) : ordinal_(context.configuration().value("ordinal", std::size_t{4})) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t at = taken.size();
    if (at == 2 + ordinal_) return {};
    std::vector<std::string> options;
    for (int i = 0; i < (at < 2 ? 5 : 11); ++i) options.push_back(std::to_string(i));
    return Decision{.name = "decision " + std::to_string(at),
                    .kind = at < 2 ? Decision::Kind::categorical : Decision::Kind::ordinal,
                    .options = options,
                    .step = static_cast<int>(at)};
  }
  Candidate decode(const Genotype& genotype) const override {
    walk(genotype);
    ArchitectureBuilder graph;
    const NodeId input = graph.input(Shape::image(1, 4, 4));
    return {std::move(graph).build(blocks::classifier(graph, input, 2)), {{"policy", genotype.decisions}}};
  }

 private:
  std::size_t ordinal_;
};

const Plugin& recipes() {
  static constexpr weft_component component = weft::component<Recipes>("recipes");
  static const Plugin plugin{&component,
                             {{"provides", {"space.decisions", "space.mutation", "space.crossover", "space.encoding"}},
                              {"parameters", Json::object()}}};
  return plugin;
}

// A population of which the one that is asked for later is better: rewards are the trials' numbers.
struct Population {
  Bench bench;
  std::vector<Proposal> all = {};

  explicit Population(const Json& args, const OptimizerCheck& check = {.space = recipes()}, std::uint64_t seed = 1)
      : bench(plugin(), args, check, seed) {}

  std::vector<Proposal> step(std::size_t count) {
    std::vector<Proposal> asked;
    for (std::size_t i = 0; i < count; ++i) {
      asked.push_back(bench.optimizer.ask(1).at(0));
      tell(asked.back(), static_cast<double>(all.size()));
    }
    return asked;
  }
  void tell(const Proposal& proposal, double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(static_cast<TrialId>(all.size()), proposal, state);
    if (result.complete()) result.reward = reward;
    all.push_back(proposal);
    bench.optimizer.tell(result);
  }
};

const Json few = {{"population_size", 8}, {"interval", 3}, {"epochs", 8}};

}  // namespace

TEST_CASE("population_based_training keeps the contract of optimizers") {
  check_optimizer(plugin(), {{"population_size", 8}, {"interval", 1}, {"epochs", 10000}},
                  {.space = recipes(), .long_study = 3000});
}

TEST_CASE("population_based_training keeps the contract of optimizers asynchronously, and to its end") {
  check_optimizer(plugin(), {{"population_size", 8}, {"interval", 1}, {"epochs", 10000}, {"asynchronous", true}},
                  {.space = recipes(), .long_study = 3000});
  check_optimizer(plugin(), {{"population_size", 8}, {"interval", 2}, {"epochs", 25}, {"explore", "mutation"}},
                  {.space = recipes(), .trials = 100, .improves = false, .failing_studies = 0});
}

TEST_CASE("population_based_training replaces the worst quarter by the best one, from whose checkpoints it goes on") {
  Population population(few);
  const std::vector<Proposal> first = population.step(8);
  for (const Proposal& proposal : first) {
    CHECK(proposal.fidelity == Fidelity{.epochs = 3});
    CHECK_FALSE(proposal.parent);
  }
  CHECK(population.bench.optimizer.resumable() == std::vector<TrialId>{2, 3, 4, 5, 6, 7});
  const std::vector<Proposal> second = population.step(8);
  for (std::size_t i = 0; i < 8; ++i) {
    const TrialId from = second[i].fidelity.resume_from.value();
    CHECK(second[i].fidelity.epochs == 6);
    CHECK(second[i].parent == from);
    if (i < 2) {
      CHECK((from == 6 || from == 7));
    } else {
      CHECK(from == static_cast<TrialId>(i));
      CHECK(second[i].genotype == first[i].genotype);
    }
  }
  // The last step is what is left of 8 epochs; then nobody goes on.
  for (const Proposal& proposal : population.step(8)) CHECK(proposal.fidelity.epochs == 8);
  CHECK(population.bench.optimizer.finished());
  CHECK(population.bench.optimizer.ask(8).empty());
  CHECK(population.bench.optimizer.resumable().value().empty());
}

TEST_CASE("population_based_training's defaults are those of population based augmentation") {
  const Json args = plugin().configuration(Json::object());
  CHECK(args.at("population_size") == 16);
  CHECK(args.at("interval") == 3);
  CHECK(args.at("epochs") == 200);
  Population population(Json::object());
  population.step(16);
  const std::vector<Proposal> second = population.step(16);
  for (std::size_t i = 0; i < 16; ++i) CHECK((second[i].fidelity.resume_from != static_cast<TrialId>(i)) == (i < 4));
}

TEST_CASE("population_based_training explores by drawing one decision in five anew and moving the others by up to 3") {
  // 200 of 400 members are replaced, each with 60 decisions in order, all of whose first options are taken before.
  Population population({{"population_size", 400}, {"quantile", 0.5}, {"start", "first"}},
                        {.space = recipes(), .space_args = {{"ordinal", 60}}});
  for (const Proposal& proposal : population.step(400))
    REQUIRE(proposal.genotype == Genotype(std::vector<std::int32_t>(62, 0)));
  std::map<std::int32_t, double> ordinal, categorical;
  for (const Proposal& proposal : population.step(200)) {
    for (std::size_t i = 0; i < 62; ++i) ++(i < 2 ? categorical : ordinal)[proposal.genotype.decisions[i]];
  }
  // A share of p of n within 5 standard deviations.
  const auto near = [](double count, double n, double p) {
    return std::abs(count - n * p) < 5 * std::sqrt(n * p * (1 - p));
  };
  const double anew = 0.2 / 11;
  CHECK(near(ordinal[0], 12000, anew + 0.8 * (0.25 + 0.375)));  // downwards it goes no further
  for (int shift = 1; shift <= 3; ++shift) CHECK(near(ordinal[shift], 12000, anew + 0.8 * 0.125));
  for (int other = 4; other <= 10; ++other) CHECK(near(ordinal[other], 12000, anew));
  CHECK(near(categorical[0], 400, 0.8 + 0.2 / 5));  // without an order nothing is moved
}

TEST_CASE("population_based_training notes the schedule of recipes that has led to a trial, as its parents have it") {
  Population population({{"population_size", 8}, {"interval", 2}, {"epochs", 20}});
  population.step(80);
  REQUIRE(population.bench.optimizer.finished());
  std::set<std::size_t> lengths;
  for (std::size_t last = 72; last < 80; ++last) {
    // From the last back to the first: until when each recipe was.
    Json expected = Json::array();
    for (std::optional<TrialId> at = static_cast<TrialId>(last); at;
         at = population.all[static_cast<std::size_t>(*at)].parent) {
      const Proposal& proposal = population.all[static_cast<std::size_t>(*at)];
      const std::string notation = population.bench.space.notation(proposal.genotype);
      if (!expected.empty() && expected[0].at("genotype") == notation) expected.erase(0);
      expected.insert(expected.begin(), Json{{"after", *proposal.fidelity.epochs - 2}, {"genotype", notation}});
    }
    CHECK(population.all[last].notes.at("schedule") == expected);
    lengths.insert(expected.size());
  }
  CHECK(*lengths.rbegin() > 1);
}

TEST_CASE("population_based_training waits for all members, or for none asynchronously") {
  for (const bool asynchronous : {false, true}) {
    Json args = few;
    args["asynchronous"] = asynchronous;
    Population population(args);
    const std::vector<Proposal> first = population.bench.optimizer.ask(20);
    REQUIRE(first.size() == 8);
    population.tell(first[0], 0.5);
    CHECK(population.bench.optimizer.ask(20).size() == (asynchronous ? 1 : 0));  // alone it is compared with nobody
    population.tell(first[1], 0.9);
    // Now there are two, and one in two is the worst quarter rounded up: not this one.
    const std::vector<Proposal> next = population.bench.optimizer.ask(20);
    REQUIRE(next.size() == (asynchronous ? 1 : 0));
    if (!asynchronous) continue;
    CHECK(next[0].fidelity.resume_from == 1);
    population.tell(first[2], 0.1);
    CHECK(population.bench.optimizer.ask(20).at(0).fidelity.resume_from == 1);
  }
}

TEST_CASE(
    "population_based_training lets who was replaced keep its score, and nobody go on from it, until it reports") {
  Population population({{"population_size", 4}, {"interval", 1}, {"epochs", 30}, {"asynchronous", true}});
  std::vector<Proposal> running = population.bench.optimizer.ask(4);
  REQUIRE(running.size() == 4);
  const auto ends = [&](std::size_t member, double reward) {  // from whose checkpoint it goes on then
    population.tell(running[member], reward);
    running[member] = population.bench.optimizer.ask(4).at(0);
    return running[member].fidelity.resume_from.value();
  };
  CHECK(ends(0, 0.9) == 0);
  CHECK(ends(1, 0.5) == 0);  // replaced by member 0; its score stays 0.5
  CHECK(ends(2, 0.6) == 2);  // so this one is not the worst
  CHECK(ends(3, 0.95) == 3);
  CHECK(ends(0, 0.1) == 3);
  CHECK(ends(3, 0.2) == 5);
  CHECK(ends(2, 0.3) == 6);
  // Member 1 has the best score by now, but not of the checkpoint that it goes on from.
  const Genotype genotype = running[3].genotype;
  CHECK(ends(3, 0.05) == 7);
  CHECK(running[3].genotype == genotype);
  CHECK(ends(1, 0.8) == 8);
  CHECK(ends(3, 0.05) == 8);  // now it is
}

TEST_CASE("population_based_training has nobody go on from who has come to the end, and all others come there") {
  Population population({{"population_size", 2}, {"interval", 3}, {"epochs", 6}, {"asynchronous", true}});
  OptimizerRef& optimizer = population.bench.optimizer;
  const std::vector<Proposal> first = optimizer.ask(2);
  population.tell(first[0], 0.9);
  population.tell(optimizer.ask(1).at(0), 0.95);
  CHECK(optimizer.ask(2).empty());
  population.tell(first[1], 0.1);
  const std::vector<Proposal> last = optimizer.ask(2);
  REQUIRE(last.size() == 1);
  CHECK(last[0].fidelity == Fidelity{.epochs = 6, .resume_from = 2});
  CHECK(last[0].genotype == first[1].genotype);
  CHECK_FALSE(optimizer.finished());
  population.tell(last[0], 0.2);
  CHECK(optimizer.finished());
}

TEST_CASE("population_based_training replaces any of those that are equal") {
  Population population({{"population_size", 40}, {"interval", 1}, {"epochs", 5}});
  for (const Proposal& proposal : population.bench.optimizer.ask(40)) population.tell(proposal, 0.25);
  const std::vector<Proposal> second = population.bench.optimizer.ask(40);
  REQUIRE(second.size() == 40);
  std::size_t replaced = 0, replaced_early = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    if (second[i].fidelity.resume_from == static_cast<TrialId>(i)) continue;
    ++replaced;
    replaced_early += i < 20 ? 1 : 0;
  }
  CHECK(replaced == 10);
  CHECK((replaced_early > 0 && replaced_early < 10));
}

TEST_CASE("population_based_training replaces who fails, and lets all try again where all have failed") {
  Population population(few);
  const std::vector<Proposal> first = population.bench.optimizer.ask(8);
  for (std::size_t i = 0; i < 8; ++i)
    population.tell(first[i], static_cast<double>(i), i > 4 ? TrialState::fail : TrialState::complete);
  const std::vector<Proposal> second = population.bench.optimizer.ask(8);
  REQUIRE(second.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    const TrialId from = second[i].fidelity.resume_from.value();
    if (i > 4) CHECK((from == 4 || from == 3));
    if (i <= 4) CHECK(from == static_cast<TrialId>(i));
  }
  for (const Proposal& proposal : second) population.tell(proposal, 0.0, TrialState::pruned);
  const std::vector<Proposal> again = population.bench.optimizer.ask(8);
  REQUIRE(again.size() == 8);
  std::size_t changed = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(again[i].fidelity == second[i].fidelity);
    changed += again[i].genotype != second[i].genotype ? 1 : 0;
  }
  CHECK(changed > 4);
}

TEST_CASE("population_based_training keeps the network where it is searched together with the recipe") {
  const Json architecture = {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}};
  const Json space_args = {{"architecture", architecture}};
  const Json study = {{"task", {{"input", {1, 8, 8}}, {"classes", 4}}}};
  const Plugin space = Plugin::open("space", "randaugment");
  const Company company(space, space_args, {.study = study});
  const Instance opened(space, space_args, company.surroundings());
  const Instance instance(plugin(), few, {.collaborators = {{"space", opened.handle()}}});
  OptimizerRef optimizer(instance.handle());
  std::vector<Proposal> all;
  std::set<std::uint64_t> networks;
  for (TrialId trial = 0; trial < 24; ++trial) {
    all.push_back(optimizer.ask(1).at(0));
    const std::uint64_t network = SpaceRef(opened.handle()).decode(all.back().genotype).architecture.canonical_hash();
    networks.insert(network);
    if (const std::optional<TrialId> from = all.back().fidelity.resume_from)
      CHECK(network == SpaceRef(opened.handle())
                           .decode(all[static_cast<std::size_t>(*from)].genotype)
                           .architecture.canonical_hash());
    optimizer.tell(result_of(trial, all.back()));
  }
  CHECK(networks.size() > 1);
}

TEST_CASE("population_based_training refuses what cannot be gone on from, or never is") {
  const auto refused = [](const Json& args, const OptimizerCheck& check, const char* why) {
    CHECK_THROWS_WITH(Bench(plugin(), args, check, 1), ContainsSubstring(why));
  };
  refused(few, {}, "the space's decisions change the network");
  refused({{"interval", 5}, {"epochs", 5}}, {.space = recipes()}, "/interval is 5; must be less than /epochs, 5");
  refused(few, {.space = recipes(), .study = {{"budget", {{"trials", 8}}}}},
          "/population_size is 8; must be less than the budget's trials, 8");
}
