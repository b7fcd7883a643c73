#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::Event;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "evolution"); }

int distance(const Genotype& one, const Genotype& other) {
  int changed = 0;
  for (std::size_t i = 0; i < one.decisions.size(); ++i) changed += one.decisions[i] != other.decisions.at(i) ? 1 : 0;
  return changed;
}

Candidate network_of_width(std::int64_t width) {
  ArchitectureBuilder graph;
  const NodeId input = graph.input(Shape::image(3, 8, 8));
  return {std::move(graph).build(
      blocks::classifier(graph, blocks::conv_bn_relu(graph, input, blocks::Convolution::square(width, 1)), 10))};
}

// Four decisions, of which the first alone is active.
class Silent final : public DecisionSpace {
 public:
  explicit Silent(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 4) return {};
    return Decision{.name = "gene " + std::to_string(taken.size()), .options = {"a", "b", "c"}};
  }
  Candidate decode(const Genotype& genotype) const override {
    walk(genotype);
    return network_of_width(1 + genotype.decisions[0]);
  }
};

// Three steps of two decisions each.
class Stages final : public DecisionSpace {
 public:
  explicit Stages(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 6) return {};
    const int at = static_cast<int>(taken.size());
    return Decision{.name = "bit " + std::to_string(at), .options = {"0", "1"}, .step = at / 2};
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

// Networks of any width, which mutation changes by one. Genotypes are opaque, and there is no crossover.
class Open : public Space, public Mutation {
 public:
  explicit Open(const Context&) {}
  Genotype sample(Rng& rng) const override { return of(10 + static_cast<int>(rng.below(10))); }
  Candidate decode(const Genotype& genotype) const override { return network_of_width(width(genotype)); }
  std::string notation(const Genotype& genotype) const override { return std::to_string(width(genotype)); }
  Genotype parse(std::string_view notation) const override { return of(std::stoi(std::string(notation))); }
  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    return of(std::max(1, width(parent) + (rng.bernoulli(0.5) ? 1 : -1)));
  }

  static int width(const Genotype& genotype) { return genotype.opaque.at("width"); }

 protected:
  static Genotype of(int width) {
    Genotype genotype;
    genotype.opaque = {{"width", width}};
    return genotype;
  }
};

// The same, whose mutation says how weights follow.
class Growing final : public Open, public Morphisms {
 public:
  using Open::Open;
  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    return morph(parent, *draw_morph(parent, rng), rng).genotype;
  }
  std::vector<Json> morphs(const Genotype&) const override {
    return {{{"morph", "grow"}, {"by", 1}}, {{"morph", "grow"}, {"by", 2}}, {{"morph", "shrink"}, {"by", -1}}};
  }
  Child morph(const Genotype& parent, const Json& morph, Rng&) const override {
    const int by = morph.at("by");
    return {of(width(parent) + by), WeightTransfer{{{.morph = "by " + std::to_string(by)}}}};
  }
};

template <typename S>
Plugin space_of() {
  static constexpr weft_component component = weft::component<S>("here");
  return {&component, {{"parameters", Json::object()}}};
}

// One optimizer, told whatever rewards a test wants.
class Bench {
 public:
  explicit Bench(const Json& args, const Plugin& space = small_space(), std::uint64_t seed = 1,
                 const Json& study = Json::object())
      : space_(space, {}),
        instance_(plugin(), args, {.study = study, .rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        space(space_.handle()),
        optimizer(instance_.handle()) {}

  Proposal ask() { return optimizer.ask(1).at(0); }
  void tell(const Proposal& proposal, double reward) { tell(told_, proposal, reward); }
  void tell(TrialId trial, const Proposal& proposal, double reward) {
    TrialResult result = result_of(trial, proposal);
    result.reward = reward;
    optimizer.tell(result);
    ++told_;
  }
  void fail(const Proposal& proposal) { optimizer.tell(result_of(told_++, proposal, TrialState::fail)); }

 private:
  Instance space_;
  Instance instance_;
  TrialId told_ = 0;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
};

// The rows of the survey's Table 1, at a size that 300 trials suffice for.
const Json real_2017 = {{"population_size", 20}, {"tournament_size", 2}, {"survivors", "paired"}};
const Json genetic_cnn = {{"schedule", "generations"},
                          {"population_size", 20},
                          {"parents", "all"},
                          {"crossover_probability", 0.2},
                          {"step_crossover_probability", 0.2},
                          {"mutate_crossed", false},
                          {"mutation_probability", 0.8},
                          {"gene_mutation_probability", 0.05},
                          {"survivors", "fitness_proportionate"},
                          {"fitness_offset", "minimum"},
                          {"parents_compete", false}};
const Json cgp = {{"schedule", "generations"},
                  {"population_size", 1},
                  {"offspring", 2},
                  {"parents", "all"},
                  {"survivors", "elitist"},
                  {"gene_mutation_probability", 0.05},
                  {"neutral_mutation_probability", 0.05},
                  {"forced_active_mutation", true}};
const Json hierarchical = {{"population_size", 20},     {"initialisation", "given"}, {"initial", {"4,4,4,4,4,4"}},
                           {"initial_mutations", 1000}, {"tournament_share", 0.05},  {"survivors", "all"}};

}  // namespace

// ---- contract -------------------------------------------------------------------------------------------------------

TEST_CASE("evolution keeps the contract of optimizers") { check_optimizer(plugin()); }

TEST_CASE("evolution keeps the contract of optimizers as in Real et al. 2017") {
  check_optimizer(plugin(), real_2017, {.long_study = 20000});
}

TEST_CASE("evolution keeps the contract of optimizers as Genetic CNN") {
  check_optimizer(plugin(), genetic_cnn, {.long_study = 20000});
}

TEST_CASE("evolution keeps the contract of optimizers as CGP-CNN") {
  check_optimizer(plugin(), cgp, {.trials = 200, .long_study = 500});
}

TEST_CASE("evolution keeps the contract of optimizers as in Liu et al. 2018") {
  check_optimizer(plugin(), hierarchical, {.long_study = 30000});
}

TEST_CASE("evolution keeps the contract of optimizers as a hill climber from a trivial network") {
  check_optimizer(plugin(),
                  {{"schedule", "generations"},
                   {"population_size", 1},
                   {"offspring", 8},
                   {"parents", "all"},
                   {"mutations", 2},
                   {"initialisation", "given"},
                   {"initial", {"1,1,1,1,1,1"}},
                   {"survivors", "elitist"}},
                  {.long_study = 20000});
}

TEST_CASE("evolution keeps the contract of optimizers in a steady state of proportions and crossover") {
  check_optimizer(plugin(),
                  {{"parents", "fitness_proportionate"},
                   {"survivors", "fitness_proportionate"},
                   {"fitness_offset", "minimum"},
                   {"crossover_probability", 0.5}},
                  {.long_study = 20000});
}

TEST_CASE("evolution keeps the contract of optimizers where the worst of tournaments die") {
  check_optimizer(plugin(),
                  {{"schedule", "generations"},
                   {"offspring", 10},
                   {"tournament_probability", 0.8},
                   {"survivors", "tournament"},
                   {"survivor_tournament_size", 3},
                   {"survivor_tournament_probability", 0.9}},
                  {.long_study = 20000});
}

TEST_CASE("evolution keeps the contract of optimizers on a space without decisions") {
  check_optimizer(plugin(), Json::object(),
                  {.space = space_of<Open>(), .trials = 100, .long_study = 0, .improves = false});
}

// ---- initialisation ----------------------------------------------------------------------------------------------

TEST_CASE("evolution starts from the shortest genotype, from given ones, or from samples") {
  const Plugin chain = Plugin::open("space", "chain");
  const Instance space(chain, {});
  const Instance instance(plugin(), {{"initialisation", "trivial"}}, {.collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  for (const Proposal& proposal : optimizer.ask(20)) {
    CHECK(SpaceRef(space.handle()).notation(proposal.genotype) == "SM");  // the input, and a softmax
  }
  CHECK(Bench(Json{{"initialisation", "trivial"}}).ask().genotype == Genotype({0, 0, 0, 0, 0, 0}));

  Bench given({{"initialisation", "given"}, {"initial", {"1,2,3,4,0,1", "0,0,0,0,0,1"}}});
  const std::vector<Proposal> proposals = given.optimizer.ask(3);
  CHECK(given.space.notation(proposals[0].genotype) == "1,2,3,4,0,1");
  CHECK(given.space.notation(proposals[1].genotype) == "0,0,0,0,0,1");
  CHECK(proposals[2].genotype == proposals[0].genotype);
  CHECK_THROWS_WITH(Bench({{"initialisation", "given"}, {"initial", {"0,0,0,0,0,0", "0,0,5"}}}),
                    ContainsSubstring("/initial/1: ") && ContainsSubstring("option 5"));
}

TEST_CASE("evolution starts anew where a first generation fails as a whole") {
  Bench bench({{"schedule", "generations"}, {"population_size", 3}, {"tournament_size", 2}});
  std::set<std::string> seen;
  for (int i = 0; i < 30; ++i) {
    const Proposal proposal = bench.ask();
    seen.insert(proposal.genotype.key());
    bench.fail(proposal);
  }
  CHECK(seen.size() > 25);
}

// ---- generations -------------------------------------------------------------------------------------------------

TEST_CASE("evolution waits for a generation, and searches alike whatever the number of trials at once") {
  Bench bench({{"schedule", "generations"}, {"population_size", 5}});
  const std::vector<Proposal> generation = bench.optimizer.ask(8);
  REQUIRE(generation.size() == 5);
  for (int i = 0; i < 4; ++i) bench.tell(generation[static_cast<std::size_t>(i)], 0.1 * i);
  CHECK(bench.optimizer.ask(8).empty());
  bench.tell(generation[4], 0.4);
  CHECK(bench.optimizer.ask(8).size() == 5);

  const auto proposals = [](std::size_t slots) {
    optimizer_contract::Bench study(plugin(), genetic_cnn, {}, 5);
    std::vector<std::string> texts;
    for (const Event& event : optimizer_contract::simulate(study, 200, {.slots = slots})) {
      texts.insert(texts.end(), event.proposals.begin(), event.proposals.end());
    }
    return texts;
  };
  CHECK(proposals(1) == proposals(6));
}

// Xie and Yuille 2017: the pairs (1, 2), (3, 4), .. swap; or else they are mutated.
TEST_CASE("evolution crosses pairs, which swap what they take from each other") {
  Bench bench({{"schedule", "generations"},
               {"population_size", 2},
               {"offspring", 4},
               {"parents", "all"},
               {"crossover_probability", 1},
               {"mutate_crossed", false},
               {"survivors", "elitist"},
               {"initialisation", "given"},
               {"initial", {"0,0,0,0,0,0", "1,1,1,1,1,1"}}});
  for (const Proposal& proposal : bench.optimizer.ask(2)) bench.tell(proposal, 1.0);
  const std::vector<Proposal> children = bench.optimizer.ask(4);
  REQUIRE(children.size() == 4);
  std::set<std::string> distinct;
  for (std::size_t pair = 0; pair < 4; pair += 2) {
    const Genotype& one = children[pair].genotype;
    CHECK(distance(one, children[pair + 1].genotype) == 6);
    distinct.insert(one.key());
  }
  CHECK(distinct.size() == 2);
}

// A roulette wheel draws the same individual again and again; in the order of the draws, whom it meets is chance. Of
// three parents of equal fitness two thirds of the pairs are of different ones, whose children differ from both.
TEST_CASE("evolution pairs the survivors of a roulette wheel in the order of the draws") {
  Bench bench({{"schedule", "generations"},
               {"population_size", 3000},
               {"parents", "all"},
               {"crossover_probability", 1},
               {"mutate_crossed", false},
               {"survivors", "fitness_proportionate"},
               {"parents_compete", false},
               {"initialisation", "given"},
               {"initial", {"0,0,0,0,0,0", "1,1,1,1,1,1", "2,2,2,2,2,2"}}});
  for (const Proposal& proposal : bench.optimizer.ask(3000)) bench.tell(proposal, 1.0);
  int mixed = 0;
  for (const Proposal& child : bench.optimizer.ask(3000)) {
    const std::vector<std::int32_t>& genes = child.genotype.decisions;
    mixed += std::count(genes.begin(), genes.end(), genes.front()) < 6 ? 1 : 0;
  }
  const double expected = 2.0 / 3 * (1.0 - 2.0 / 64);  // all six from one parent: twice in 2^6
  CHECK(std::abs(mixed / 3000.0 - expected) < 4 * 0.5 / std::sqrt(1500.0));
}

TEST_CASE("evolution swaps each step whole, with the probability that it is given") {
  Bench bench({{"schedule", "generations"},
               {"population_size", 2},
               {"tournament_size", 2},
               {"offspring", 2000},
               {"parents", "all"},
               {"crossover_probability", 1},
               {"step_crossover_probability", 0.2},
               {"mutate_crossed", false},
               {"survivors", "elitist"},
               {"initialisation", "given"},
               {"initial", {"0,0,0,0,0,0", "1,1,1,1,1,1"}}},
              space_of<Stages>());
  for (const Proposal& proposal : bench.optimizer.ask(2)) bench.tell(proposal, 1.0);
  const std::vector<Proposal> children = bench.optimizer.ask(2000);
  REQUIRE(children.size() == 2000);
  int swapped = 0;
  for (std::size_t pair = 0; pair < 2000; pair += 2) {
    const std::vector<std::int32_t>& genes = children[pair].genotype.decisions;
    CHECK(distance(children[pair].genotype, children[pair + 1].genotype) == 6);
    for (std::size_t stage = 0; stage < 3; ++stage) {
      CHECK(genes[2 * stage] == genes[2 * stage + 1]);
      swapped += genes[2 * stage];
    }
  }
  CHECK(std::abs(swapped - 600) < 4 * 22);  // of 3000
}

TEST_CASE("evolution replaces the parents where they do not compete") {
  Bench bench({{"schedule", "generations"},
               {"population_size", 1},
               {"offspring", 2},
               {"parents", "all"},
               {"survivors", "elitist"},
               {"parents_compete", false}});
  const Proposal first = bench.ask();
  bench.tell(first, 100.0);
  std::vector<Proposal> children = bench.optimizer.ask(2);
  bench.tell(children[0], 1.0);
  bench.tell(children[1], 2.0);
  std::vector<Proposal> grandchildren = bench.optimizer.ask(2);
  for (const Proposal& proposal : grandchildren) CHECK(distance(proposal.genotype, children[1].genotype) == 1);
  for (const Proposal& proposal : grandchildren) bench.fail(proposal);
  // Nobody is left to replace them: they go on.
  for (const Proposal& proposal : bench.optimizer.ask(2)) CHECK(distance(proposal.genotype, children[1].genotype) == 1);
}

// ---- active and inactive genes -------------------------------------------------------------------------------------

TEST_CASE("evolution forces active genes to change, and lets those of a parent that stays drift") {
  Json args = cgp;
  for (const bool drift : {true, false}) {
    args["neutral_mutation_probability"] = drift ? 0.05 : 0.0;
    Bench bench(args, space_of<Silent>());
    const Proposal parent = bench.ask();
    bench.tell(parent, 1.0);
    std::set<std::vector<std::int32_t>> inactive;
    for (int generation = 0; generation < 100; ++generation) {
      const std::vector<Proposal> children = bench.optimizer.ask(2);
      REQUIRE(children.size() == 2);
      for (const Proposal& child : children) {
        const std::vector<std::int32_t>& genes = child.genotype.decisions;
        CHECK(genes[0] != parent.genotype.decisions[0]);
        inactive.insert({genes.begin() + 1, genes.end()});
        bench.tell(child, 1.0);  // no better than the parent, which stays
      }
    }
    // 27 combinations. Without drift a child has the parent's, or rarely a neighbour.
    INFO("drift " << drift << ", " << inactive.size() << " combinations of inactive genes");
    if (drift) CHECK(inactive.size() > 12);
    if (!drift) CHECK(inactive.size() < 12);
  }
}

TEST_CASE("evolution lets a better child take its parent's place") {
  Bench bench(cgp, space_of<Silent>());
  const Proposal parent = bench.ask();
  bench.tell(parent, 1.0);
  const std::vector<Proposal> children = bench.optimizer.ask(2);
  bench.tell(children[0], 1.5);
  bench.tell(children[1], 0.5);
  for (const Proposal& child : bench.optimizer.ask(2)) {
    CHECK(child.genotype.decisions[0] != children[0].genotype.decisions[0]);
  }
}

// ---- the steady state ----------------------------------------------------------------------------------------------

TEST_CASE("evolution breeds from the best for ever where the elite survives") {
  Bench bench({{"population_size", 4}, {"tournament_size", 4}, {"survivors", "elitist"}});
  std::vector<Proposal> population = bench.optimizer.ask(4);
  for (std::size_t i = 0; i < 4; ++i) bench.tell(population[i], i == 1 ? 1.0 : 0.0);
  for (int i = 0; i < 100; ++i) {
    const Proposal child = bench.ask();
    CHECK(distance(child.genotype, population[1].genotype) == 1);
    bench.tell(child, 0.5);
  }
}

TEST_CASE("evolution lets the oldest die, however good") {
  Bench bench({{"population_size", 1}, {"tournament_size", 1}});
  const Proposal best = bench.ask();
  bench.tell(best, 100.0);
  const Proposal child = bench.ask();
  bench.tell(child, 1.0);
  CHECK(distance(bench.ask().genotype, child.genotype) == 1);
}

// Real et al. 2017: of a pair the better one is copied and the worse one dies; where a child failed nobody dies.
TEST_CASE("evolution kills the worse of a pair as the better one breeds") {
  Bench bench({{"population_size", 2}, {"tournament_size", 2}, {"survivors", "paired"}, {"inherit_weights", true}},
              space_of<Growing>());
  const std::vector<Proposal> pair = bench.optimizer.ask(2);
  bench.tell(0, pair[0], 0.0);
  bench.tell(1, pair[1], 1.0);
  const Proposal child = bench.ask();
  CHECK(child.parent == TrialId{1});
  bench.fail(child);
  for (int i = 0; i < 10; ++i) {
    const Proposal other = bench.ask();
    CHECK(other.parent == TrialId{1});
    bench.fail(other);
  }
  const Proposal better = bench.ask();
  bench.tell(100, better, 2.0);
  CHECK(bench.ask().parent == TrialId{100});  // trial 1 dies
  for (int i = 0; i < 10; ++i) CHECK(bench.ask().parent == TrialId{100});
}

TEST_CASE("evolution names parents only where weights are to be inherited") {
  Bench bench({{"population_size", 1}, {"tournament_size", 1}});
  bench.tell(bench.ask(), 1.0);
  CHECK_FALSE(bench.ask().parent.has_value());
  CHECK_FALSE(bench.optimizer.retain().has_value());
}

TEST_CASE("evolution lets children inherit by the morphs that made them, and makes the same children without") {
  const Json args = {{"population_size", 2}, {"tournament_size", 1}, {"mutations", 3}};
  Json inheriting = args;
  inheriting["inherit_weights"] = true;
  Bench with(inheriting, space_of<Growing>());
  Bench without(args, space_of<Growing>());
  for (TrialId trial = 0; trial < 30; ++trial) {
    const Proposal child = with.ask(), alone = without.ask();
    CHECK(alone.genotype == child.genotype);
    CHECK(alone.transfer.is_null());
    CHECK(child.parent.has_value() == (trial >= 2));
    if (child.parent) {
      const WeightTransfer transfer = WeightTransfer::from_json(child.transfer);
      REQUIRE(transfer.steps.size() == 3);
      CHECK(transfer.steps[0].morph.starts_with("by "));
      const std::optional<std::vector<TrialId>> retained = with.optimizer.retain();
      REQUIRE(retained.has_value());
      CHECK(std::find(retained->begin(), retained->end(), *child.parent) != retained->end());
      CHECK(retained->size() == 2);
    }
    with.tell(child, static_cast<double>(trial));
    without.tell(alone, static_cast<double>(trial));
  }
}

// Elsken et al. 2018: eight children, of which one is the parent itself, trained on; the best of them goes on.
TEST_CASE("evolution trains a generation's parent on beside its children") {
  Bench bench({{"schedule", "generations"},
               {"population_size", 1},
               {"offspring", 8},
               {"unchanged_offspring", 1},
               {"parents", "all"},
               {"survivors", "elitist"},
               {"parents_compete", false},
               {"mutations", 5},
               {"inherit_weights", true}},
              space_of<Growing>());
  const Proposal first = bench.ask();
  bench.tell(0, first, 100.0);  // better than all its children, who replace it
  std::vector<Proposal> children = bench.optimizer.ask(100);
  REQUIRE(children.size() == 8);
  CHECK(children[0].genotype == first.genotype);
  CHECK(children[0].transfer == Json{{"transfer", 1}, {"steps", Json::array()}});
  for (std::size_t i = 0; i < children.size(); ++i) {
    CHECK(children[i].parent == TrialId{0});
    bench.tell(static_cast<TrialId>(1 + i), children[i], i == 5 ? 2.0 : 1.0);
  }
  for (const Proposal& grandchild : bench.optimizer.ask(100)) CHECK(grandchild.parent == TrialId{6});
  CHECK(bench.optimizer.retain() == std::vector<TrialId>{6});
}

TEST_CASE("evolution refuses what weights cannot be inherited by") {
  const auto refused = [](Json args, const char* why, const Plugin& space = space_of<Growing>()) {
    args["inherit_weights"] = true;
    CHECK_THROWS_WITH(Bench(args, space), ContainsSubstring(why));
  };
  refused(Json::object(), "the space has no morphs (space.morphisms)", small_space());
  refused({{"crossover_probability", 0.5}}, "/crossover_probability is positive");
  refused({{"gene_mutation_probability", 0.5}}, "/gene_mutation_probability is given");
  refused({{"unchanged_offspring", 1}}, "/unchanged_offspring is positive");
  refused({{"schedule", "generations"}, {"offspring", 2}, {"unchanged_offspring", 3}}, "must be at most offspring, 2");
}

TEST_CASE("evolution breeds from those evaluated while others of the initial population are late") {
  Bench bench({{"population_size", 3}, {"tournament_size", 1}});
  const std::vector<Proposal> first = bench.optimizer.ask(5);
  REQUIRE(first.size() == 3);
  CHECK(bench.optimizer.ask(2).empty());
  bench.tell(first[0], 1.0);
  for (const Proposal& child : bench.optimizer.ask(2)) CHECK(distance(child.genotype, first[0].genotype) == 1);
}

TEST_CASE("evolution climbs in a space without decisions") {
  Bench bench(Json::object(), space_of<Open>());
  int widest = 0;
  for (int i = 0; i < 300; ++i) {
    const Proposal proposal = bench.ask();
    widest = std::max(widest, Open::width(proposal.genotype));
    bench.tell(proposal, Open::width(proposal.genotype));
  }
  CHECK(widest > 30);  // samples are at most 19 wide
}

// A toy of a known optimum: all decisions at option 0, of 15,625.
TEST_CASE("evolution finds the optimum of a separable reward where random search does not") {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Bench bench(Json::object(), small_space(), seed);
    double best = 0.0;
    for (int trial = 0; trial < 300; ++trial) {
      const Proposal proposal = bench.ask();
      const double reward = optimizer_contract::reward_of(proposal.genotype);
      best = std::max(best, reward);
      bench.tell(proposal, reward);
    }
    found += best == 1.0 ? 1 : 0;
  }
  CHECK(found >= 18);  // a random search of 300 finds it in 2 % of the runs
}

// ---- refusals ------------------------------------------------------------------------------------------------------

TEST_CASE("evolution refuses what does not fit together, by name") {
  const auto refused = [](const Json& args, const std::string& text, const Plugin& space = small_space()) {
    CHECK_THROWS_WITH(Bench(args, space), ContainsSubstring(text));
  };
  refused({{"population_size", 4}}, "/tournament_size is 5; must not exceed population_size, 4");
  refused({{"population_size", 4}, {"parents", "all"}, {"survivors", "tournament"}, {"survivor_tournament_size", 6}},
          "/survivor_tournament_size is 6; must not exceed population_size, 4");
  refused({{"population_size", 1}, {"parents", "all"}, {"crossover_probability", 0.5}},
          "/population_size is 1; must be at least 2 for crossover");
  refused({{"crossover_probability", 0.5}}, "the space has no crossover (space.crossover)", space_of<Open>());
  refused({{"initialisation", "trivial"}}, "the space has no decisions (space.decisions)", space_of<Open>());
  refused({{"gene_mutation_probability", 0.1}}, "/gene_mutation_probability is given, but the space has no decisions",
          space_of<Open>());
  refused({{"step_crossover_probability", 0.1}}, "/step_crossover_probability is given, but the space has no decisions",
          space_of<Open>());
  refused({{"schedule", "generations"}, {"neutral_mutation_probability", 0.1}},
          "/neutral_mutation_probability is positive, but the space has no decisions", space_of<Open>());
  refused({{"mutation_probability", 0}}, "one must be positive");
  refused({{"initialisation", "given"}}, "/initial is empty");
  refused({{"initialisation", "given"},
           {"population_size", 1},
           {"tournament_size", 1},
           {"initial", {"0,0,0,0,0,0", "1,1,1,1,1,1"}}},
          "/initial has 2 genotypes; must not exceed population_size, 1");
  refused({{"initial", {"0,0,0,0,0,0"}}}, "/initial is given, but initialisation is \"random\"");
  refused({{"neutral_mutation_probability", 0.1}},
          "/neutral_mutation_probability is positive; needs the schedule \"generations\"");
  refused({{"parents_compete", false}}, "/parents_compete is false; needs the schedule \"generations\"");
  refused({{"offspring", 3}}, "/offspring is given; needs the schedule \"generations\"");
  refused({{"schedule", "generations"}, {"parents_compete", false}, {"offspring", 3}},
          "/offspring is 3; must be at least population_size, 20, where children replace their parents");
  refused({{"schedule", "generations"}, {"survivors", "paired"}}, "needs the schedule \"steady_state\"");
  refused({{"parents", "all"}, {"survivors", "paired"}}, "needs parents \"tournament\"");
}

TEST_CASE("evolution refuses a population that the budget only suffices to initialise") {
  CHECK_THROWS_WITH(Bench(Json::object(), small_space(), 1, {{"budget", {{"trials", 20}}}}),
                    ContainsSubstring("/population_size is 20; must be less than the budget's trials, 20"));
  CHECK_NOTHROW(Bench(Json::object(), small_space(), 1, {{"budget", {{"trials", 21}}}}));
}

TEST_CASE("evolution holds tournaments of a share in any population") {
  for (const Json& more :
       {Json{{"survivors", "youngest"}}, Json{{"survivors", "elitist"}}, Json{{"survivors", "paired"}},
        Json{{"schedule", "generations"}, {"survivors", "elitist"}, {"parents_compete", false}}}) {
    Json args = {{"population_size", 100}, {"tournament_share", 1}};
    args.update(more);
    INFO(args.dump());
    Bench bench(args);
    for (int trial = 0; trial < 400; ++trial) {
      const std::vector<Proposal> proposals = bench.optimizer.ask(1);
      REQUIRE(proposals.size() == 1);
      trial % 7 == 0 ? bench.fail(proposals[0]) : bench.tell(proposals[0], 0.01 * (trial % 50));
    }
  }
}

TEST_CASE("evolution says what a negative reward needs") {
  Bench bench({{"population_size", 1}, {"parents", "fitness_proportionate"}});
  bench.tell(bench.ask(), -2.0);
  CHECK_THROWS_WITH(bench.ask(), ContainsSubstring("met the fitness -2") && ContainsSubstring("minimum"));
}

TEST_CASE("evolution refuses proportionate selection of what is minimised before the first trial") {
  const auto with = [](const Json& args) {
    Bench(args, small_space(), 1, {{"objectives", {{{"name", "perplexity"}, {"direction", "minimize"}}}}});
  };
  for (const char* part : {"parents", "survivors"}) {
    CHECK_THROWS_WITH(with({{part, "fitness_proportionate"}}), ContainsSubstring("/fitness_offset is \"none\""));
    CHECK_NOTHROW(with({{part, "fitness_proportionate"}, {"fitness_offset", "minimum"}}));
  }
}
