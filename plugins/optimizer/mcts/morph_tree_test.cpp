#include <algorithm>
#include <map>
#include <set>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

using Numbers = std::vector<std::int32_t>;

Plugin plugin() { return Plugin::open("optimizer", "mcts"); }

// Sets of the numbers below `count`, to which morphs add one, or from which they remove the last again. As with names
// of nodes a genotype tells the way, here the order, but the candidate does not.
template <std::int32_t count, bool removes = false>
class Sets final : public Space, public Morphisms, public Encoding {
 public:
  explicit Sets(const Context&) {
    ArchitectureBuilder graph;
    network_ = std::move(graph).build(blocks::classifier(graph, graph.input(Shape::image(3, 8, 8)), 10));
  }
  Genotype sample(Rng& rng) const override {
    Genotype set;
    for (std::size_t left = rng.below(count + 1); left > 0; --left)
      set = morph(set, *draw_morph(set, rng), rng).genotype;
    return set;
  }
  Candidate decode(const Genotype& set) const override {
    Numbers sorted = set.decisions;
    std::sort(sorted.begin(), sorted.end());
    return {*network_, {{"set", sorted}}};
  }
  std::string notation(const Genotype& set) const override { return set.key(); }
  Genotype parse(std::string_view notation) const override {
    if (notation != "start") throw InvalidInput("only \"start\" is known");
    return Genotype(Numbers());
  }
  std::vector<Json> morphs(const Genotype& set) const override {
    std::vector<Json> all;
    for (std::int32_t number = 0; number < count; ++number) {
      if (std::find(set.decisions.begin(), set.decisions.end(), number) == set.decisions.end())
        all.push_back({{"morph", "add"}, {"number", number}});
    }
    if (removes && !set.decisions.empty()) all.push_back({{"morph", "remove"}});
    return all;
  }
  Child morph(const Genotype& set, const Json& morph, Rng&) const override {
    Genotype child = set;
    if (morph.at("morph") == "add") {
      child.decisions.push_back(morph.at("number"));
    } else {
      child.decisions.pop_back();
    }
    return {std::move(child), WeightTransfer{{{.morph = morph.value("number", Json("remove")).dump()}}}};
  }
  std::size_t encoding_length() const override { return count; }
  std::vector<double> encode(const Genotype& set) const override {
    std::vector<double> code(count);
    for (const std::int32_t number : set.decisions) code[static_cast<std::size_t>(number)] = 1.0;
    return code;
  }

 private:
  std::optional<Architecture> network_;
};

template <typename S>
Plugin space_of() {
  static constexpr weft_component component = weft::component<S>("here");
  return {&component, {{"parameters", Json::object()}}};
}

// Rewards here are shares.
Json over_morphs(const Json& args = Json::object()) {
  Json all = {{"tree", "morphs"}, {"reward_scale", 1}, {"exploration", 0.3}};
  all.update(args);
  return all;
}
const Json guided = {{"surrogate", "ridge"}, {"surrogate_prior", true}, {"refit_every", 1}, {"rollouts", 3}};

class Bench {
 public:
  explicit Bench(const Json& args, const Plugin& space = space_of<Sets<6>>(), std::uint64_t seed = 1,
                 const Json& space_args = Json::object(), const Json& study = Json::object())
      : space_(space, space_args, {.study = study}),
        instance_(plugin(), over_morphs(args), {.rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        space(space_.handle()),
        optimizer(instance_.handle()) {}

  Proposal ask() {
    asked.push_back(optimizer.ask(1).at(0));
    return asked.back();
  }
  // The result of the last trial asked for.
  void tell(double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(static_cast<TrialId>(asked.size()) - 1, asked.back(), state);
    result.reward = reward;
    optimizer.tell(result);
  }
  std::set<TrialId> retained() const {
    const std::vector<TrialId> trials = optimizer.retain().value();
    return {trials.begin(), trials.end()};
  }

 private:
  Instance space_;
  Instance instance_;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
  std::vector<Proposal> asked;
};

Numbers sorted(const Proposal& proposal) {
  Numbers numbers = proposal.genotype.decisions;
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// How alike a set and {0, 1, 2, 3, 4} are: the share of the numbers of either that both have.
double likeness(const Numbers& set) {
  const auto shared = std::count_if(set.begin(), set.end(), [](std::int32_t number) { return number < 5; });
  return static_cast<double>(shared) / static_cast<double>(5 + set.size() - static_cast<std::size_t>(shared));
}

// From the parent's genotype by the transfer's steps to the proposal's; all of them, the parent's first.
std::vector<Numbers> way(const Proposal& parent, const Proposal& child) {
  std::vector<Numbers> sets = {parent.genotype.decisions};
  for (const WeightTransfer::Step& step : WeightTransfer::from_json(child.transfer).steps) {
    sets.push_back(sets.back());
    sets.back().push_back(std::stoi(step.morph));
  }
  return sets;
}

// What is best is trained once, so that later proposals need not be better: other tests say whether it learns.
OptimizerCheck on(const Plugin& space) {
  return {.space = space, .trials = 150, .long_study = 1000, .bytes_per_trial = 8192, .improves = false};
}

}  // namespace

// ---- contract -------------------------------------------------------------------------------------------------------

TEST_CASE("mcts over morphs keeps the contract of optimizers") {
  check_optimizer(plugin(), over_morphs(), on(space_of<Sets<9>>()));
}

TEST_CASE("mcts over morphs keeps the contract of optimizers with a surrogate, and few weights retained") {
  Json args = guided;
  args.update({{"memory", 100}, {"retained", 2}, {"predictions", 2}});
  check_optimizer(plugin(), over_morphs(args), on(space_of<Sets<9>>()));
}

TEST_CASE("mcts over morphs keeps the contract of optimizers where morphs take back what others did") {
  check_optimizer(plugin(), over_morphs(), on(space_of<Sets<5, true>>()));
}

// Rewards are by chance here, and a trial costs the more the deeper networks grow.
TEST_CASE("mcts over morphs keeps the contract of optimizers on networks") {
  const Json small = {{"start", "C(4,3) P(2) FC(8)"},
                      {"morphs", {"deepen", "widen", "deepen_linear"}},
                      {"factors", {2}},
                      {"max_channels", 16}};
  Json args = guided;
  args["rollout_morphs"] = 3;
  check_optimizer(plugin(), over_morphs(args),
                  {.space = Plugin::open("space", "graph"),
                   .space_args = small,
                   .study = {{"task", {{"input", {1, 8, 8}}, {"classes", 10}}}},
                   .trials = 25,
                   .decoded = 5,
                   .long_study = 0,
                   .improves = false,
                   .failing_studies = 0});
}

// ---- the tree -------------------------------------------------------------------------------------------------------

TEST_CASE("mcts over morphs evaluates the root before anything else") {
  Bench bench(Json{{"exploration", 0}});
  const std::vector<Proposal> first = bench.optimizer.ask(5);
  REQUIRE(first.size() == 1);
  CHECK(first[0].genotype.decisions.empty());
  CHECK_FALSE(first[0].parent.has_value());
  CHECK(first[0].transfer.is_null());
  CHECK(bench.optimizer.ask(5).empty());
  bench.optimizer.tell(result_of(0, first[0]));
  CHECK(bench.optimizer.ask(5).size() == 5);
}

// Rollouts that stop at once evaluate the leaf itself. Of the root's children {0} brings most, then {1}. Of the pairs
// below {0}, none of which brings anything, {0, 1} is tried; then {1} is worth most. There {0, 1} is known, and what
// was never tried comes first.
TEST_CASE("mcts shares the statistics of what different morphs lead to") {
  int met = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Bench bench({{"exploration", 0}, {"stop_probability", 1}}, space_of<Sets<3>>(), seed);
    const std::map<Numbers, double> rewards = {{{0}, 0.6}, {{1}, 0.5}, {{2}, 0.1}};
    std::vector<Numbers> sets;
    for (int trial = 0; trial < 6; ++trial) {
      sets.push_back(sorted(bench.ask()));
      const auto reward = rewards.find(sets.back());
      bench.tell(reward == rewards.end() ? 0.0 : reward->second);
    }
    CHECK(std::set<Numbers>(sets.begin() + 1, sets.begin() + 4) == std::set<Numbers>{{0}, {1}, {2}});
    if (sets[4] != Numbers{0, 1}) continue;
    CHECK(sets[5] == Numbers{1, 2});
    ++met;
  }
  CHECK(met > 8);
}

TEST_CASE("mcts over morphs does not train again what it has trained, while networks can grow") {
  Bench bench({{"exploration", 0}, {"stop_probability", 1}}, space_of<Sets<12>>());
  std::set<Numbers> sets;
  for (int trial = 0; trial < 60; ++trial) {
    sets.insert(sorted(bench.ask()));
    bench.tell(1.0 / static_cast<double>(1 + trial));
  }
  CHECK(sets.size() == 60);
  Bench grown(Json::object(), space_of<Sets<1>>());
  for (int trial = 0; trial < 5; ++trial) {
    CHECK(grown.ask().genotype.decisions.size() == (trial == 0 ? 0 : 1));
    grown.tell(0.5);
  }
}

TEST_CASE("mcts goes on at random for so many morphs, or until it stops") {
  Bench bench({{"stop_probability", 0}, {"rollout_morphs", 3}});
  bench.ask();
  bench.tell(0.5);
  for (int child = 0; child < 6; ++child) {  // of the root, one after the other
    CHECK(bench.ask().genotype.decisions.size() == 1 + 3);
    bench.tell(0.5);
  }
  std::map<std::size_t, int> lengths;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    Bench stopping({{"stop_probability", 0.5}, {"rollout_morphs", 3}}, space_of<Sets<6>>(), seed);
    stopping.ask();
    stopping.tell(0.5);
    ++lengths[stopping.ask().genotype.decisions.size()];
  }
  CHECK(std::abs(lengths[1] - 200) < 40);  // four deviations
  CHECK(std::abs(lengths[2] - 100) < 35);
  CHECK(std::abs(lengths[3] - 50) < 27);
  CHECK(std::abs(lengths[4] - 50) < 27);
}

TEST_CASE("mcts over morphs draws trials in flight apart") {
  Bench bench(Json{{"stop_probability", 1}});
  bench.ask();
  bench.tell(0.5);
  std::set<Numbers> sets;
  for (const Proposal& proposal : bench.optimizer.ask(6)) sets.insert(sorted(proposal));
  CHECK(sets.size() == 6);
}

// Whether the one set of 2^12 that is wanted is among 150 trials, and how near to it they come.
TEST_CASE("mcts over morphs finds what random morphs do not") {
  const auto play = [](const Json& args, std::uint64_t seed) {
    Bench bench(args, space_of<Sets<12>>(), seed);
    double best = 0.0;
    for (int trial = 0; trial < 150; ++trial) {
      const double reward = likeness(bench.ask().genotype.decisions);
      best = std::max(best, reward);
      bench.tell(reward);
    }
    return best;
  };
  const auto at_random = [](std::uint64_t seed) {
    Instance instance(space_of<Sets<12>>(), {});
    const SpaceRef space(instance.handle());
    Rng rng(seed);
    double best = 0.0;
    for (int trial = 0; trial < 150; ++trial) {
      Genotype set;
      for (int made = 0; made < 8 && !rng.bernoulli(0.2); ++made)
        set = space.morph(set, *space.draw_morph(set, rng), rng).genotype;
      best = std::max(best, likeness(set.decisions));
    }
    return best;
  };
  int by_statistics = 0, by_surrogate = 0, by_chance = 0;
  double statistics = 0.0, chance = 0.0;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const double plain = play({{"exploration", 0.1}}, seed), random = at_random(seed);
    statistics += plain / 5;
    chance += random / 5;
    by_statistics += plain == 1.0 ? 1 : 0;
    by_surrogate += play(guided, seed) == 1.0 ? 1 : 0;
    by_chance += random == 1.0 ? 1 : 0;
  }
  INFO("found " << by_statistics << ", with a surrogate " << by_surrogate << ", by chance " << by_chance
                << " times; best likeness " << statistics << " and by chance " << chance);
  CHECK(statistics > chance + 0.05);
  CHECK(by_surrogate >= 3);
  CHECK(by_chance == 0);
}

// ---- inheritance ----------------------------------------------------------------------------------------------------

TEST_CASE("mcts lets a network inherit from the nearest ancestor that was evaluated") {
  Bench bench({{"retained", 1000}}, space_of<Sets<12>>());
  std::map<Numbers, TrialId> evaluated;  // by the order in which it was made: the way
  std::size_t steps = 0, from_root = 0;
  for (TrialId trial = 0; trial < 200; ++trial) {
    const Proposal proposal = bench.ask();
    CHECK(proposal.parent.has_value() == !proposal.genotype.decisions.empty());
    if (proposal.parent) {
      const std::vector<Numbers> sets = way(bench.asked.at(static_cast<std::size_t>(*proposal.parent)), proposal);
      REQUIRE(sets.size() > 1);
      REQUIRE(sets.back() == proposal.genotype.decisions);
      for (std::size_t i = 1; i + 1 < sets.size(); ++i) CHECK_FALSE(evaluated.contains(sets[i]));
      steps += sets.size() - 1;
      from_root += sets.front().empty() ? 1 : 0;
    }
    evaluated[proposal.genotype.decisions] = trial;
    bench.tell(likeness(proposal.genotype.decisions));
  }
  CHECK(from_root < 100);
  CHECK(steps > 250);
}

// The names that a transfer uses are those of the very network that the parent's trial trained.
TEST_CASE("mcts hands on weights that fit, whatever morphs networks grow by") {
  const Json args = {{"start", "C(4,3) P(2) C(4,3) FC(4)"},
                     {"morphs", {"deepen", "widen", "deepen_linear", "skip"}},
                     {"kernels", {3}},
                     {"factors", {2}},
                     {"max_channels", 16}};
  Bench bench({{"exploration", 1}}, Plugin::open("space", "graph"), 1, args,
              {{"task", {{"input", {1, 8, 8}}, {"classes", 10}}}});
  std::set<std::uint64_t> networks;
  int inherited = 0;
  for (TrialId trial = 0; trial < 60; ++trial) {
    const Proposal proposal = bench.ask();
    const Candidate child = bench.space.decode(proposal.genotype);
    networks.insert(child.hash());
    if (proposal.parent) {
      const Candidate parent = bench.space.decode(bench.asked.at(static_cast<std::size_t>(*proposal.parent)).genotype);
      CHECK_NOTHROW(
          check_transfer(parent.architecture, child.architecture, WeightTransfer::from_json(proposal.transfer)));
      inherited += *proposal.parent > 0 ? 1 : 0;
    }
    bench.tell(static_cast<double>(child.hash() % 1000) / 1000.0);
  }
  CHECK(networks.size() > 30);
  CHECK(inherited > 10);
}

TEST_CASE("mcts lets networks begin afresh while none of their ancestors was evaluated") {
  Bench bench(Json{{"stop_probability", 1}});
  bench.ask();
  bench.tell(0.0, TrialState::fail);
  for (int trial = 0; trial < 6; ++trial) {
    const Proposal child = bench.ask();
    CHECK_FALSE(child.parent.has_value());
    CHECK(child.transfer.is_null());
    bench.tell(0.5);
  }
  CHECK(bench.retained().size() == 6);
  bool inherited = false;
  for (int trial = 0; trial < 20; ++trial) {
    const Proposal child = bench.ask();
    inherited |= child.parent && child.genotype.decisions.size() == 2;
    bench.tell(0.5);
  }
  CHECK(inherited);
}

// As the host has it: weights are removed once they are neither retained nor awaited by a child, and the same network
// from the same parent is not trained again but takes the earlier result.
TEST_CASE("mcts names no parent whose weights are gone, and retains few") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const std::size_t most = 2 + seed % 5;
    Bench bench({{"retained", most}}, space_of<Sets<4, true>>(), seed);
    std::map<std::pair<Numbers, TrialId>, TrialId> trained;
    std::map<TrialId, TrialId> twin_of;
    std::map<TrialId, double> rewards;
    std::set<TrialId> with_weights;
    int twins = 0;
    for (TrialId trial = 0; trial < 200; ++trial) {
      const Proposal proposal = bench.ask();
      INFO("seed " << seed << ", trial " << trial << ", whose parent is " << proposal.parent.value_or(-1));
      if (proposal.parent) REQUIRE(with_weights.contains(twin_of.at(*proposal.parent)));
      const auto [original, is_new] =
          trained.emplace(std::pair(proposal.genotype.decisions, proposal.parent.value_or(-1)), trial);
      twin_of[trial] = original->second;
      if (is_new) {
        with_weights.insert(trial);
        rewards[trial] = static_cast<double>(hash_text(std::to_string(trial), seed) % 3) / 2;
      }
      twins += is_new ? 0 : 1;
      bench.tell(rewards.at(original->second));
      const std::set<TrialId> retained = bench.retained();
      CHECK(retained.size() <= most);
      CHECK(bench.asked.at(static_cast<std::size_t>(*retained.begin())).genotype.decisions.empty());  // the root
      std::set<TrialId> wanted;
      for (const TrialId id : retained) wanted.insert(twin_of.at(id));
      std::erase_if(with_weights, [&](TrialId id) { return !wanted.contains(id); });
    }
    CHECK(twins > 20);
  }
}

TEST_CASE("mcts retains the weights of the best, and of those below which it searches") {
  Bench bench({{"retained", 5}, {"exploration", 0.1}}, space_of<Sets<12>>());
  double best = 0.0;
  TrialId best_trial = 0;
  for (TrialId trial = 0; trial < 200; ++trial) {
    const double reward = likeness(bench.ask().genotype.decisions);
    if (reward > best) {
      best = reward;
      best_trial = trial;
    }
    bench.tell(reward);
    CHECK(bench.retained().contains(best_trial));
  }
  int from_retained = 0;  // and not from the root
  for (int trial = 0; trial < 50; ++trial) {
    const Proposal proposal = bench.ask();
    from_retained += proposal.parent && *proposal.parent > 0 ? 1 : 0;
    bench.tell(likeness(proposal.genotype.decisions));
  }
  CHECK(from_retained > 25);
}

TEST_CASE("mcts over morphs inherits nothing where nothing is retained") {
  Bench bench(Json{{"retained", 0}});
  for (int trial = 0; trial < 20; ++trial) {
    CHECK_FALSE(bench.optimizer.retain().has_value());
    const Proposal proposal = bench.ask();
    CHECK_FALSE(proposal.parent.has_value());
    CHECK(proposal.transfer.is_null());
    bench.tell(0.5);
  }
}

// ---- refusals -------------------------------------------------------------------------------------------------------

TEST_CASE("mcts refuses a tree that the space does not have, and a root that it cannot read") {
  CHECK_THROWS_WITH(Bench(Json{{"tree", "decisions"}}),
                    ContainsSubstring("/tree is \"decisions\", but the space has none (space.decisions); set it to "
                                      "\"morphs\""));
  CHECK_THROWS_WITH(Bench(Json::object(), small_space()),
                    ContainsSubstring("/tree is \"morphs\", but the space has none (space.morphisms); set it to "
                                      "\"decisions\""));
  CHECK_THROWS_WITH(Bench(Json{{"root", "end"}}),
                    ContainsSubstring("/root is \"end\", which the space cannot read: only"));
}
