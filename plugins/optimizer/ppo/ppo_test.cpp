#include <cmath>
#include <string>
#include <vector>

#include "surrogate.hpp"
#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;
using optimizer_contract::reward_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "ppo"); }

Json fast(const Json& more = Json::object()) {
  Json args = {{"units", 16}, {"lr", 0.02}, {"children", 5}, {"epochs", 3}, {"reward_scale", 1}};
  args.update(more);
  return args;
}

// The mean reward of the last 100 of `trials`.
double run(const Json& args, int trials, std::uint64_t seed = 1) {
  const Instance space(small_space(), {});
  const Instance instance(plugin(), args, {.rng = Rng(seed), .collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  double mean = 0.0;
  for (int trial = 0; trial < trials; ++trial) {
    const Proposal proposal = optimizer.ask(1).front();
    if (trial >= trials - 100) mean += reward_of(proposal.genotype) / 100;
    optimizer.tell(result_of(trial, proposal));
  }
  return mean;
}

// Twenty children, asked for at once, whose results are told in two batches of ten; then what is asked for next.
class Late {
 public:
  explicit Late(double clip = 0.2)
      : space_(small_space(), {}),
        instance_(plugin(), args(clip), {.rng = Rng(1), .collaborators = {{"space", space_.handle()}}}),
        optimizer(instance_.handle()),
        children(optimizer.ask(20)) {}

  void tell(std::size_t child, double reward) {
    TrialResult result = result_of(static_cast<TrialId>(child), children[child]);
    result.reward = reward;
    optimizer.tell(result);
  }
  std::vector<std::string> next() {
    std::vector<std::string> keys;
    for (const Proposal& proposal : optimizer.ask(100)) keys.push_back(proposal.genotype.key());
    return keys;
  }

 private:
  static Json args(double clip) {
    return fast({{"children", 10}, {"update_rule", "sgd"}, {"lr", 5.0}, {"epochs", 1}, {"clip", clip}});
  }

  Instance space_;
  Instance instance_;

 public:
  OptimizerRef optimizer;
  std::vector<Proposal> children;
};

double reward_of_child(std::size_t child) { return 0.1 * static_cast<double>(child % 7); }

}  // namespace

TEST_CASE("ppo keeps the contract of optimizers") { check_optimizer(plugin(), fast(), {.long_study = 20000}); }

// epsilon 0.2. A decision that was taken with probability 0.5 is now at 0.55 (ratio 1.1), 0.7 (1.4) or 0.3 (0.6).
TEST_CASE("ppo's clipped surrogate, worked out by hand") {
  const ppo::Surrogate surrogate{0.2};
  const double old = std::log(0.5);
  const auto value = [&](double now, double advantage) { return surrogate.value(std::log(now), old, advantage); };
  const auto slope = [&](double now, double advantage) { return surrogate.slope(std::log(now), old, advantage); };
  CHECK(value(0.55, 2.0) == Approx(2.2));
  CHECK(value(0.7, 2.0) == Approx(2.4));  // min(2.8, 1.2 * 2)
  CHECK(value(0.3, 2.0) == Approx(1.2));  // min(1.2, 0.8 * 2): a good decision that was lost counts in full
  CHECK(value(0.55, -2.0) == Approx(-2.2));
  CHECK(value(0.7, -2.0) == Approx(-2.8));  // min(-2.8, -2.4)
  CHECK(value(0.3, -2.0) == Approx(-1.6));  // min(-1.2, 0.8 * -2)
  CHECK(slope(0.55, 2.0) == Approx(2.2));
  CHECK(slope(0.7, 2.0) == 0.0);
  CHECK(slope(0.3, 2.0) == Approx(1.2));
  CHECK(slope(0.7, -2.0) == Approx(-2.8));
  CHECK(slope(0.3, -2.0) == 0.0);
  CHECK(slope(0.9, 0.0) == 0.0);
  for (const double now : {0.35, 0.42, 0.55, 0.58, 0.7}) {
    for (const double advantage : {-1.5, 0.7}) {
      const double h = 1e-6;
      const double difference =
          (surrogate.value(std::log(now) + h, old, advantage) - surrogate.value(std::log(now) - h, old, advantage)) /
          (2 * h);
      CHECK(slope(now, advantage) == Approx(difference).margin(1e-8));
    }
  }
}

TEST_CASE("ppo makes the best architecture its habit") {
  for (std::uint64_t seed = 0; seed < 3; ++seed) CHECK(run(fast(), 1000, seed) > 0.9);
}

TEST_CASE("ppo refuses batches that the budget does not fill") {
  const Instance space(small_space(), {});
  CHECK_THROWS_WITH(Instance(plugin(), fast({{"children", 20}}),
                             {.study = {{"budget", {{"trials", 15}}}}, .collaborators = {{"space", space.handle()}}}),
                    ContainsSubstring("/children is 20; must be less than the budget's trials, 15"));
}

// What the clip is for: a batch that is followed for many steps changes the policy only so far.
TEST_CASE("ppo's clip holds the policy back") {
  const auto after_one_batch = [](double clip) {
    const Json args = fast({{"clip", clip}, {"epochs", 300}, {"update_rule", "sgd"}, {"lr", 1.0}, {"children", 20}});
    const Instance space(small_space(), {});
    const Instance instance(plugin(), args, {.rng = Rng(1), .collaborators = {{"space", space.handle()}}});
    OptimizerRef optimizer(instance.handle());
    TrialId trial = 0;
    for (const Proposal& proposal : optimizer.ask(20)) optimizer.tell(result_of(trial++, proposal));
    double mean = 0.0;
    for (const Proposal& proposal : optimizer.ask(500)) mean += reward_of(proposal.genotype) / 500;
    return mean;
  };
  const double held = after_one_batch(0.05);
  const double free = after_one_batch(0.9);
  CHECK(held < 0.26);  // a fifth at random
  CHECK(free > held + 0.05);
}

TEST_CASE("ppo learns the same of a batch in whatever order its results arrive, each its child's") {
  Late in_order, backwards, exchanged;
  REQUIRE(in_order.children.size() == 20);
  for (std::size_t i = 0; i < 10; ++i) {
    in_order.tell(i, reward_of_child(i));
    backwards.tell(9 - i, reward_of_child(9 - i));
    exchanged.tell(i, reward_of_child(9 - i));
  }
  const std::vector<std::string> next = in_order.next();
  CHECK(next == backwards.next());
  CHECK(next != exchanged.next());
}

// With one epoch a batch's ratios are 1, and nothing is clipped, unless the policy has learned since the child was
// asked for.
TEST_CASE("ppo compares late children with the policy that they were sampled from") {
  Late held(1e-6);
  Late free(0.9);
  for (std::size_t i = 0; i < 10; ++i) {
    held.tell(i, reward_of_child(i));
    free.tell(i, reward_of_child(i));
  }
  CHECK(held.next() == free.next());
  for (std::size_t i = 10; i < 20; ++i) {
    held.tell(i, reward_of_child(i));
    free.tell(i, reward_of_child(i));
  }
  CHECK(held.next() != free.next());
}
