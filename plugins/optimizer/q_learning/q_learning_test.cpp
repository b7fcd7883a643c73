#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "q_table.hpp"
#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::reward_of;
using q_learning::Move;
using q_learning::QTable;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "q_learning"); }

Json phase(double epsilon, int models) { return {{"epsilon", epsilon}, {"models", models}}; }

// Four architectures, and a metric for each.
class OneDecision final : public DecisionSpace {
 public:
  explicit OneDecision(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (!taken.empty()) return {};
    return Decision{.name = "which", .group = "which", .options = {"a", "b", "c", "d"}};
  }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

// Ends after the first decision, or goes on to a second.
class EarlyOrLate final : public DecisionSpace {
 public:
  explicit EarlyOrLate(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 2 || (taken.size() == 1 && taken[0] == 0)) return {};
    return Decision{.name = std::to_string(taken.size()), .options = {"a", "b"}};
  }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

const Plugin& early_or_late() {
  static constexpr weft_component component = weft::component<EarlyOrLate>("early_or_late");
  static const Plugin plugin{&component, {{"parameters", Json::object()}}};
  return plugin;
}

const Plugin& one_decision() {
  static constexpr weft_component component = weft::component<OneDecision>("one_decision");
  static const Plugin plugin{&component, {{"parameters", Json::object()}}};
  return plugin;
}

class Bench {
 public:
  Bench(const Json& args, const Plugin& space, const Json& study = Json::object())
      : space_(space, {}, {.study = study}),
        instance_(plugin(), args, {.study = study, .rng = Rng(1), .collaborators = {{"space", space_.handle()}}}),
        optimizer(instance_.handle()) {}

  std::int32_t ask() { return optimizer.ask(1).front().genotype.decisions.front(); }
  void tell(std::vector<std::int32_t> decisions, double reward, const Json& metrics = Json::object(),
            std::vector<double> objectives = {}) {
    optimizer.tell({.genotype = Genotype(std::move(decisions)),
                    .reward = reward,
                    .objectives = std::move(objectives),
                    .metrics = metrics});
  }
  std::set<std::int32_t> ask_often(int times) {
    std::set<std::int32_t> seen;
    for (int i = 0; i < times; ++i) seen.insert(ask());
    return seen;
  }

 private:
  Instance space_;
  Instance instance_;

 public:
  OptimizerRef optimizer;
};

// Greedy from the first model that was proposed.
const Json greedy = {
    {"epsilon_schedule", {phase(1.0, 1), phase(0.0, 1)}}, {"lr", 0.5}, {"initial_value", 0.0}, {"reward_scale", 1}};

}  // namespace

TEST_CASE("q_learning keeps the contract of optimizers") {
  check_optimizer(
      plugin(),
      {{"epsilon_schedule", {phase(1.0, 40), phase(0.5, 60), phase(0.1, 50)}}, {"lr", 0.2}, {"initial_value", 0.0}});
}

// Start: left to x, right to y. In x: low earns 0.2, high 0.8; in y: only 0.6. With discount 0.9 the optimal values are
// Q(x, low) = 0.2, Q(x, high) = 0.8, Q(y, only) = 0.6, Q(start, left) = 0.9 * 0.8, Q(start, right) = 0.9 * 0.6.
TEST_CASE("q_learning reproduces the optimal values of a small decision process") {
  QTable table(0.5, 0.05, 0.9);
  const std::vector<std::string> sides = {"left", "right"};
  const std::vector<std::string> rewards = {"low", "high"};
  const std::vector<std::string> only = {"only"};
  const std::vector<std::vector<Move>> episodes = {
      {table.move("start", sides, 0), table.move("x", rewards, 0)},
      {table.move("start", sides, 0), table.move("x", rewards, 1)},
      {table.move("start", sides, 1), table.move("y", only, 0)},
  };
  const double earned[] = {0.2, 0.8, 0.6};
  Rng rng(3);
  for (int i = 0; i < 3000; ++i) {
    const std::size_t drawn = rng.below(3);
    table.update(episodes[drawn], earned[drawn], false);
  }
  const auto close = [](double value) { return Approx(value).margin(1e-6); };
  CHECK(table.values("x", rewards)[0] == close(0.2));
  CHECK(table.values("x", rewards)[1] == close(0.8));
  CHECK(table.values("y", only)[0] == close(0.6));
  CHECK(table.values("start", sides)[0] == close(0.72));
  CHECK(table.values("start", sides)[1] == close(0.54));
  CHECK(table.values("start", {"neither", "right"})[0] == 0.5);
  CHECK(table.values("elsewhere", only)[0] == 0.5);
}

// One update of two moves, all values at 0.5, lr 0.1, R = 0.8. Last first: 0.5 + 0.1 (0.8 - 0.5) = 0.53, which the
// first then sees: 0.5 + 0.1 (0.53 - 0.5) = 0.503, or with R / T = 0.4: 0.5 + 0.1 (0.93 - 0.5) = 0.543.
TEST_CASE("q_learning updates from the last move to the first, with shaped rewards or without") {
  const std::vector<std::string> options = {"a", "b"};
  for (const bool shaped : {false, true}) {
    QTable table(0.5, 0.1, 1.0);
    table.update(std::vector<Move>{table.move("s", options, 0), table.move("t", options, 1)}, 0.8, shaped);
    CHECK(table.values("t", options)[1] == Approx(0.53));
    CHECK(table.values("s", options)[0] == Approx(shaped ? 0.543 : 0.503));
    CHECK(table.values("s", options)[1] == 0.5);
  }
}

TEST_CASE("q_learning: a state that is reached with other options has them all") {
  QTable table(0.0, 0.5, 1.0);
  const Move first = table.move("s", {"a", "b"}, 1);
  const Move again = table.move("s", {"c", "b"}, 1);
  CHECK(first.state == again.state);
  CHECK(first.action == again.action);
  table.update(std::vector<Move>{table.move("start", {"on"}, 0), table.move("s", {"c", "b"}, 0)}, 1.0, false);
  CHECK(table.values("s", {"b", "c"}) == std::vector<double>{0.0, 0.5});
  CHECK(table.values("start", {"on"}) == std::vector<double>{0.25});
}

TEST_CASE("q_learning explores by the number of different models, then exploits") {
  Bench bench({{"epsilon_schedule", {phase(1.0, 4), phase(0.0, 1)}}, {"initial_value", 0.0}, {"lr", 0.5}},
              one_decision());
  std::set<std::int32_t> seen;
  int trials = 0;
  for (; seen.size() < 4; ++trials) {
    const std::int32_t drawn = bench.ask();
    seen.insert(drawn);
    bench.tell({drawn}, drawn == 2 ? 0.9 : 0.1);
  }
  CHECK(trials < 60);  // greedy, it would have stayed with the first it knew
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{2});
}

TEST_CASE("q_learning breaks ties at random and tries what it was never told, if promising") {
  Json args = greedy;
  args["initial_value"] = 0.5;
  Bench bench(args, one_decision());
  bench.ask();
  CHECK(bench.ask_often(100).size() == 4);
  bench.tell({1}, 0.1);
  bench.tell({3}, 0.2);
  CHECK(bench.ask_often(100) == std::set<std::int32_t>{0, 2});
}

// With lr 1 in a tree of prefixes a value becomes the best that was seen below it, once replay has been everywhere.
TEST_CASE("q_learning returns to the best of many models") {
  Bench bench({{"epsilon_schedule", {phase(1.0, 150), phase(0.0, 1)}}, {"initial_value", 0.0}, {"lr", 1.0}},
              small_space());
  const auto worth = [](const Genotype& genotype) {
    return reward_of(genotype) + 1e-6 * static_cast<double>(hash_text(genotype.key()) % 1000);
  };
  double best = 0.0;
  const std::vector<Proposal> proposals = bench.optimizer.ask(200);
  for (const Proposal& proposal : proposals) {
    best = std::max(best, worth(proposal.genotype));
    bench.tell(proposal.genotype.decisions, worth(proposal.genotype));
  }
  for (int i = 0; i < 40; ++i) bench.tell(proposals[0].genotype.decisions, worth(proposals[0].genotype));
  const std::vector<Proposal> later = bench.optimizer.ask(10);
  for (const Proposal& proposal : later) CHECK(worth(proposal.genotype) == best);
}

// Zhong et al. 2018: ACC in percent - log FLOPs - 8 log density. a: 90 - log(e^20) - 8 log(1) = 70; b: 80 - log(e^5) -
// 8 = 67 with density e; c: 80 - 5 = 75 with density 1.
TEST_CASE("q_learning subtracts FLOPs and density where it is told to") {
  Json args = greedy;
  args.update({{"flops_weight", 1}, {"density_weight", 8}});
  const Json study = {{"objectives", {{{"name", "accuracy"}}, {{"name", "multiply_adds"}}}}};
  Bench bench(args, one_decision(), study);
  bench.ask();
  const double e = std::exp(1.0);
  bench.tell({0}, 90, {{"density", 1.0}}, {90, std::exp(20.0)});
  bench.tell({1}, 80, {{"density", e}, {"multiply_adds", std::exp(5.0)}});
  CHECK(bench.ask_often(20) == std::set<std::int32_t>{0});
  bench.tell({2}, 80, {{"density", 1.0}, {"multiply_adds", std::exp(5.0)}});
  CHECK(bench.ask_often(20) == std::set<std::int32_t>{2});
  CHECK_THROWS_WITH(bench.tell({3}, 80),
                    ContainsSubstring("no objective or metric \"multiply_adds\", whose logarithm"));
  CHECK_THROWS_WITH(bench.tell({3}, 80, {{"multiply_adds", 0}}), ContainsSubstring("has 0.0 as its objective"));
}

TEST_CASE("q_learning refuses an epsilon that rises") {
  CHECK_THROWS_WITH(
      Bench({{"epsilon_schedule", {phase(0.5, 10), phase(0.7, 10)}}}, one_decision()),
      ContainsSubstring("/epsilon_schedule/1/epsilon is 0.7; must not exceed the epsilon before it, 0.5"));
  CHECK_THROWS_WITH(Bench({{"epsilon_schedule", Json::array()}}, one_decision()),
                    ContainsSubstring("/epsilon_schedule is empty"));
  CHECK_NOTHROW(Bench({{"epsilon_schedule", {phase(0.5, 10), phase(0.5, 10)}}}, one_decision()));
}

TEST_CASE("q_learning refuses a schedule that never comes to its last epsilon") {
  const Json schedule = {{"epsilon_schedule", {phase(1.0, 200), phase(0.5, 100), phase(0.1, 60)}}};
  const auto with_budget = [&](int trials) { Bench(schedule, one_decision(), {{"budget", {{"trials", trials}}}}); };
  CHECK_THROWS_WITH(with_budget(300), ContainsSubstring("/epsilon_schedule has 300 models before its last epsilon, "
                                                        "0.1; must be less than /budget/trials, 300: shorten its "
                                                        "phases, to about one in 2, or raise the budget"));
  CHECK_NOTHROW(with_budget(301));
}

TEST_CASE("q_learning compares its schedule with the budget that counts the same") {
  const auto with = [&](const char* unit, const Json& budget) {
    Bench({{"epsilon_schedule", {phase(1.0, 300), phase(0.1, 60)}}, {"schedule_unit", unit}}, one_decision(),
          {{"budget", budget}});
  };
  CHECK_THROWS_WITH(with("unique", {{"unique", 300}, {"trials", 5000}}),
                    ContainsSubstring("must be less than /budget/unique, 300"));
  CHECK_NOTHROW(with("unique", {{"unique", 301}}));
  CHECK_THROWS_WITH(with("unique", {{"trials", 300}}), ContainsSubstring("/budget/trials"));  // no more can be unique
  CHECK_THROWS_WITH(with("proposals", {{"trials", 300}}), ContainsSubstring("/budget/trials"));
  CHECK_NOTHROW(with("proposals", {{"unique", 300}}));  // for which more may be proposed
}

TEST_CASE("q_learning counts different models, or every proposal") {
  // Of four models the fifth unique one never comes: epsilon stays at 1.
  const auto greedy_after = [](const char* unit) {
    Bench bench({{"epsilon_schedule", {phase(1.0, 5), phase(0.0, 1)}},
                 {"schedule_unit", unit},
                 {"initial_value", 0.0},
                 {"lr", 0.5}},
                one_decision());
    for (int i = 0; i < 5; ++i) bench.ask();
    bench.tell({2}, 0.9);
    return bench.ask_often(60).size() == 1;
  };
  CHECK_FALSE(greedy_after("unique"));
  CHECK(greedy_after("proposals"));
}

TEST_CASE("q_learning's phases follow each other, each with models of its own") {
  Bench bench({{"epsilon_schedule", {phase(1.0, 20), phase(0.5, 40), phase(0.0, 1)}},
               {"schedule_unit", "proposals"},
               {"initial_value", 0.0},
               {"lr", 0.5}},
              one_decision());
  bench.tell({2}, 0.9);
  bench.ask_often(40);
  CHECK(bench.ask_often(20).size() > 1);  // the last of the second phase
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{2});
}

TEST_CASE("q_learning remembers a model once, with its latest reward") {
  Json args = greedy;
  args["lr"] = 1.0;
  Bench bench(args, one_decision());
  bench.ask();
  bench.tell({1}, 0.9);
  bench.tell({1}, 0.2);
  bench.tell({2}, 0.5);
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{2});
}

TEST_CASE("q_learning scales rewards before it compares them with what was never tried") {
  Json args = greedy;
  args.update({{"reward_scale", 0.01}, {"initial_value", 0.5}});
  Bench bench(args, one_decision());
  bench.ask();
  bench.tell({1}, 40);
  CHECK(bench.ask_often(100) == std::set<std::int32_t>{0, 2, 3});
  bench.tell({1}, 60);
  CHECK(bench.ask_often(100) == std::set<std::int32_t>{1});
}

// A failure first, then rewards of -1, and worse ones last.
TEST_CASE("q_learning does not prefer what fails where rewards are negative") {
  Bench bench(greedy, one_decision());
  bench.ask();
  bench.optimizer.tell({.state = TrialState::fail, .genotype = Genotype({3})});
  bench.tell({1}, -1.0);
  for (const std::int32_t option : {0, 2}) bench.tell({option}, -5.0);  // the failure is worth no more than that
  for (int i = 0; i < 10; ++i) bench.tell({1}, -1.0);                   // replays all of them
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{1});
}

// Model a fails after one decision; b succeeds with -1 after two, which shaping makes -1 - 1/2.
TEST_CASE("q_learning does not prefer what fails early where rewards are shaped") {
  Json args = greedy;
  args["reward_shaping"] = true;
  Bench bench(args, early_or_late());
  bench.ask();
  bench.optimizer.tell({.state = TrialState::fail, .genotype = Genotype({0})});
  for (int i = 0; i < 10; ++i) {
    bench.tell({1, 0}, -1.0);
    bench.tell({1, 1}, -1.1);
  }
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{1});
}

// Shaped, it would be 0.2 + 0.2 / 2, and more than the success.
TEST_CASE("q_learning: what a failure is worth does not grow with its decisions") {
  Json args = greedy;
  args.update({{"reward_shaping", true}, {"failure_reward", 0.2}});
  Bench bench(args, early_or_late());
  bench.ask();
  for (int i = 0; i < 10; ++i) {
    bench.tell({0}, 0.25);
    bench.optimizer.tell({.state = TrialState::fail, .genotype = Genotype({1, 0})});
  }
  CHECK(bench.ask_often(50) == std::set<std::int32_t>{0});
}

// Of a success with 0.25 in two decisions the first earns 0.375, the last 0.25: no more is the failure beside it worth.
TEST_CASE("q_learning: a failure is worth no more than the least that a decision of a success earns") {
  Json args = greedy;
  args.update({{"reward_shaping", true}, {"failure_reward", 0.3}, {"lr", 1.0}});
  Bench bench(args, early_or_late());
  bench.ask();
  for (int i = 0; i < 10; ++i) {
    bench.tell({1, 0}, 0.25);
    bench.optimizer.tell({.state = TrialState::fail, .genotype = Genotype({1, 1})});
  }
  std::set<std::int32_t> last;
  for (const Proposal& proposal : bench.optimizer.ask(50)) last.insert(proposal.genotype.decisions.back());
  CHECK(last == std::set<std::int32_t>{0, 1});
}

// Ends after each layer by the last of many options.
class RarelyEnding final : public DecisionSpace {
 public:
  explicit RarelyEnding(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 20 || (!taken.empty() && taken.back() == 49)) return {};
    Decision decision{.name = std::to_string(taken.size())};
    for (int i = 0; i < 50; ++i) decision.options.push_back(std::to_string(i));
    return decision;
  }
  Genotype sample(Rng& rng) const override {
    Genotype genotype({static_cast<std::int32_t>(rng.below(49))});
    while (genotype.decisions.size() < 20 && !rng.bernoulli(0.5))
      genotype.decisions.push_back(static_cast<std::int32_t>(rng.below(49)));
    if (genotype.decisions.size() < 20) genotype.decisions.push_back(49);
    return genotype;
  }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

TEST_CASE("q_learning explores by options, or as the space samples") {
  static constexpr weft_component component = weft::component<RarelyEnding>("rarely_ending");
  const Plugin space{&component, {{"parameters", Json::object()}}};
  const auto longest = [&](const char* exploration) {
    Bench bench({{"epsilon_schedule", {phase(1.0, 1000)}}, {"exploration", exploration}}, space);
    int most = 0;
    for (const Proposal& proposal : bench.optimizer.ask(200)) most += proposal.genotype.decisions.size() == 20 ? 1 : 0;
    return most;
  };
  CHECK(longest("options") > 100);  // (49/50)^20 = 0.67 of them
  CHECK(longest("sample") < 10);    // 0.5^19
}

// Five options after a, one after b; samples are a and the last of the five.
class Uneven final : public DecisionSpace {
 public:
  explicit Uneven(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 2) return {};
    if (taken.empty()) return Decision{.name = "first", .options = {"a", "b"}};
    if (taken[0] == 1) return Decision{.name = "second", .options = {"0"}};
    return Decision{.name = "second", .options = {"0", "1", "2", "3", "4"}};
  }
  Genotype sample(Rng&) const override { return Genotype({0, 4}); }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

TEST_CASE("q_learning leaves the space's sample once it decided otherwise") {
  static constexpr weft_component component = weft::component<Uneven>("uneven");
  const Plugin space{&component, {{"parameters", Json::object()}}};
  Bench bench({{"epsilon_schedule", {phase(0.5, 1000)}}, {"exploration", "sample"}}, space);
  int otherwise = 0;
  for (const Proposal& proposal : bench.optimizer.ask(200)) {
    if (proposal.genotype.decisions[0] == 0) continue;
    ++otherwise;
    CHECK(proposal.genotype.decisions[1] == 0);
  }
  CHECK(otherwise > 20);  // a quarter at random
}
