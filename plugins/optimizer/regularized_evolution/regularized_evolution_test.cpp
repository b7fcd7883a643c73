#include <algorithm>
#include <map>
#include <set>

#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "regularized_evolution"); }

int distance(const Genotype& one, const Genotype& other) {
  int changed = 0;
  for (std::size_t i = 0; i < one.decisions.size(); ++i) changed += one.decisions[i] != other.decisions.at(i) ? 1 : 0;
  return changed;
}

// One optimizer, told whatever rewards a test wants.
class Bench {
 public:
  Bench(std::size_t population_size, std::size_t sample_size, std::uint64_t seed = 1,
        const Json& study = Json::object(), bool count_in_flight = true)
      : space_(small_space(), {}),
        instance_(
            plugin(),
            {{"population_size", population_size}, {"sample_size", sample_size}, {"count_in_flight", count_in_flight}},
            {.study = study, .rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        optimizer(instance_.handle()) {}

  void tell(const Proposal& proposal, double reward) {
    TrialResult result = result_of(told_++, proposal);
    result.reward = reward;
    optimizer.tell(result);
  }

 private:
  Instance space_;
  Instance instance_;
  TrialId told_ = 0;

 public:
  OptimizerRef optimizer;
};

}  // namespace

TEST_CASE("regularized_evolution keeps the contract of optimizers") {
  check_optimizer(plugin(), {{"population_size", 20}, {"sample_size", 5}});
}

// With a tournament of many draws the best of the population always wins.
TEST_CASE("regularized_evolution breeds one-decision mutants of the tournament's winner") {
  Bench bench(4, 4);
  std::vector<Proposal> population = bench.optimizer.ask(4);
  for (std::size_t i = 0; i < 4; ++i) bench.tell(population[i], i == 2 ? 1.0 : 0.0);
  int of_best = 0;
  for (int i = 0; i < 400; ++i) {
    const Genotype child = bench.optimizer.ask(1).front().genotype;
    of_best += distance(child, population[2].genotype) == 1 ? 1 : 0;
  }
  // The best is missed by four draws with replacement with probability (3/4)^4 = 0.316, and then another one wins.
  CHECK(std::abs(of_best - 400 * (1 - 0.316)) < 4 * 9.3);
}

// What sets it apart from plain evolution: the best dies of age too.
TEST_CASE("regularized_evolution lets the oldest die, however good") {
  Bench bench(3, 3);
  const std::vector<Proposal> population = bench.optimizer.ask(3);
  const Proposal& best = population[0];
  Proposal stranger = best;
  for (std::int32_t& option : stranger.genotype.decisions) option = (option + 2) % 5;
  const auto tell_of_stranger = [&](const Proposal& proposal, double reward) {
    stranger.notes = proposal.notes;
    bench.tell(stranger, reward);
  };
  bench.tell(best, 100.0);
  tell_of_stranger(population[1], 1.0);
  tell_of_stranger(population[2], 2.0);
  tell_of_stranger(bench.optimizer.ask(1).front(), 0.5);  // the fourth: the first leaves
  for (int i = 0; i < 200; ++i) CHECK(distance(bench.optimizer.ask(1).front().genotype, stranger.genotype) == 1);
}

TEST_CASE("regularized_evolution samples at random until the population is complete, failures do not count") {
  Bench bench(10, 2);
  std::set<std::string> seen;
  for (int i = 0; i < 30; ++i) {
    const Proposal proposal = bench.optimizer.ask(1).front();
    seen.insert(proposal.genotype.key());
    bench.optimizer.tell(result_of(i, proposal, i % 2 == 0 ? TrialState::fail : TrialState::pruned));
  }
  CHECK(seen.size() > 25);
}

// Of P trials under way none is asked for beyond P before one of them has ended; then children are bred of those.
TEST_CASE("regularized_evolution counts what is under way") {
  Bench bench(10, 2);
  const std::vector<Proposal> first = bench.optimizer.ask(45);
  CHECK(first.size() == 10);
  CHECK(bench.optimizer.ask(35).empty());
  bench.tell(first[3], 1.0);
  const std::vector<Proposal> children = bench.optimizer.ask(36);
  REQUIRE(children.size() == 36);
  for (const Proposal& child : children) CHECK(distance(child.genotype, first[3].genotype) == 1);
  bench.optimizer.tell(result_of(1, first[4], TrialState::fail));
  CHECK(distance(bench.optimizer.ask(1).front().genotype, first[3].genotype) == 1);  // 36 are under way
}

TEST_CASE("regularized_evolution may found until its population is complete, whatever is under way and the budget") {
  Bench bench(3, 2, 1, {{"budget", {{"trials", 3}}}}, false);
  const std::vector<Proposal> first = bench.optimizer.ask(40);
  REQUIRE(first.size() == 40);
  std::set<std::string> different;
  for (const Proposal& proposal : first) different.insert(proposal.genotype.key());
  CHECK(different.size() > 35);
  for (std::size_t i = 0; i < 3; ++i) bench.tell(first[i], 1.0);
  for (const Proposal& child : bench.optimizer.ask(40)) {
    int closest = distance(child.genotype, first[0].genotype);
    for (std::size_t i = 1; i < 3; ++i) closest = std::min(closest, distance(child.genotype, first[i].genotype));
    CHECK(closest == 1);
  }
}

TEST_CASE("regularized_evolution takes nobody in that it did not propose") {
  Bench bench(2, 2);
  const std::vector<Proposal> population = bench.optimizer.ask(2);
  Proposal stranger = population[0];
  for (std::int32_t& option : stranger.genotype.decisions) option = (option + 2) % 5;
  for (const Proposal& proposal : population) bench.tell(proposal, 1.0);
  stranger.notes = {{"proposal", 1000}};
  bench.tell(stranger, 100.0);
  for (const Proposal& child : bench.optimizer.ask(50)) CHECK(distance(child.genotype, stranger.genotype) > 1);
}

TEST_CASE("regularized_evolution refuses a budget of which nothing would be bred") {
  CHECK_THROWS_WITH(Bench(100, 25, 1, {{"budget", {{"trials", 100}}}}),
                    ContainsSubstring("/population_size is 100; must be less than the budget's trials, 100"));
  CHECK_NOTHROW(Bench(100, 25, 1, {{"budget", {{"trials", 101}}}}));
}

TEST_CASE("regularized_evolution refuses a tournament larger than its population") {
  CHECK_THROWS_WITH(Bench(10, 11), ContainsSubstring("/sample_size is 11; must not exceed population_size, 10"));
}

// Real et al.'s toy of a known optimum: all decisions at option 0.
TEST_CASE("regularized_evolution finds the optimum of a separable reward where random search does not") {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Bench bench(20, 5, seed);
    double best = 0.0;
    for (TrialId trial = 0; trial < 300; ++trial) {
      const Proposal proposal = bench.optimizer.ask(1).front();
      const double reward = optimizer_contract::reward_of(proposal.genotype);
      best = std::max(best, reward);
      bench.tell(proposal, reward);
    }
    found += best == 1.0 ? 1 : 0;
  }
  CHECK(found >= 18);  // a random search of 300 of 15,625 finds it in 2 % of the runs
}
