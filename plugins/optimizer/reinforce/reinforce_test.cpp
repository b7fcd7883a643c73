#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;
using optimizer_contract::reward_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "reinforce"); }

// A controller that learns within a few hundred trials, where the paper had thousands.
Json fast(const Json& more = Json::object()) {
  Json args = {{"layers", 1},   {"units", 16},          {"lr", 0.02},
               {"children", 5}, {"reward", "identity"}, {"reward_scale", 1}};
  args.update(more);
  return args;
}

class Bench {
 public:
  explicit Bench(const Json& args, const Plugin& space = small_space(), std::uint64_t seed = 1,
                 const Json& study = Json::object())
      : space_(space, {}),
        instance_(plugin(), args, {.study = study, .rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        optimizer(instance_.handle()) {}

  Proposal ask() { return optimizer.ask(1).front(); }
  void tell(const Proposal& proposal, double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(told_++, proposal, state);
    result.reward = reward;
    optimizer.tell(result);
  }
  // Asks and tells; the mean of `reward` over the last `last` trials.
  template <typename Reward>
  double run(int trials, int last, const Reward& reward) {
    double mean = 0.0;
    for (int trial = 0; trial < trials; ++trial) {
      const Proposal proposal = ask();
      tell(proposal, reward(proposal.genotype));
      if (trial >= trials - last) mean += reward(proposal.genotype) / last;
    }
    return mean;
  }
  std::vector<std::string> next(std::size_t count) {
    std::vector<std::string> keys;
    for (const Proposal& proposal : optimizer.ask(count)) keys.push_back(proposal.genotype.key());
    return keys;
  }

 private:
  Instance space_;
  Instance instance_;
  TrialId told_ = 0;

 public:
  OptimizerRef optimizer;
};

// Chains with skip connections, as Zoph & Le's: layer i chooses an operation and, for each earlier layer, whether to
// read it.
class SkipSpace final : public DecisionSpace {
 public:
  static constexpr std::size_t layers = 5;

  explicit SkipSpace(const Context&) {}

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    std::size_t layer = 0;
    std::size_t at = taken.size();
    while (at > layer) at -= ++layer;
    if (layer == layers) return {};
    const std::string name = "layer " + std::to_string(layer);
    const int step = static_cast<int>(layer);
    if (at == 0)
      return Decision{.name = name, .group = "operation", .options = {"conv3", "conv5", "pool"}, .step = step};
    return Decision{.name = name + "/skip " + std::to_string(at - 1),
                    .group = "skip",
                    .kind = Decision::Kind::reference,
                    .options = {"none", std::to_string(at - 1)},
                    .step = step};
  }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

const Plugin& skip_space() {
  static constexpr weft_component component = weft::component<SkipSpace>("skip_space");
  static const Plugin plugin{&component, {{"parameters", Json::object()}}};
  return plugin;
}

// The share of skips that are as in a plain chain: 1 if every layer reads the layer before it and no other, 0.6 if none
// reads any. Which skip that is, only the pointer tells: it is another one in each layer.
double like_a_chain(const Genotype& genotype) {
  double right = 0.0;
  double count = 0.0;
  for (std::size_t layer = 0, first = 0; layer < SkipSpace::layers; first += ++layer) {
    for (std::size_t from = 0; from < layer; ++from, ++count) {
      right += (genotype.decisions[first + 1 + from] == 1) == (from + 1 == layer) ? 1.0 : 0.0;
    }
  }
  return right / count;
}

// Layers of one decision each; a network may end after the second.
class LayersSpace final : public DecisionSpace {
 public:
  explicit LayersSpace(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 7) return {};
    const int layer = static_cast<int>(taken.size()) + 1;
    return Decision{.name = "layer " + std::to_string(layer), .group = "layer", .options = {"a", "b"}, .step = layer};
  }
  bool complete(std::span<const std::int32_t> taken) const override { return taken.size() >= 2; }
  Candidate decode(const Genotype&) const override { throw Error("no need"); }
};

}  // namespace

TEST_CASE("reinforce keeps the contract of optimizers") {
  check_optimizer(plugin(), fast({{"lr", 0.05}}), {.long_study = 20000});
}

TEST_CASE("reinforce makes the best architecture its habit") {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    CHECK(Bench(fast(), small_space(), seed).run(1000, 100, reward_of) > 0.9);
  }
  // Adam or not; with the temperature and the constant of ENAS; the paper's two layers and reward.
  CHECK(Bench(fast({{"update_rule", "sgd"}, {"lr", 0.5}})).run(1000, 100, reward_of) > 0.7);
  CHECK(Bench(fast({{"temperature", 5}, {"tanh_constant", 2.5}})).run(1000, 100, reward_of) > 0.5);
  CHECK(Bench(fast({{"layers", 2}, {"units", 35}, {"reward", "cube"}})).run(1000, 100, reward_of) > 0.8);
}

TEST_CASE("reinforce learns which layers to connect") {
  Bench bench(fast({{"entropy_weight", 0.02}}), skip_space());
  CHECK(bench.run(2000, 200, like_a_chain) > 0.85);  // by chance 0.5
}

TEST_CASE("reinforce lets networks grow deeper as the search goes on") {
  static constexpr weft_component component = weft::component<LayersSpace>("layers_space");
  const Plugin layers{&component, {{"parameters", Json::object()}}};
  const auto depths = [&](const Json& args) {
    std::vector<std::size_t> depths;
    for (const Proposal& proposal : Bench(args, layers).optimizer.ask(9)) {
      depths.push_back(proposal.genotype.decisions.size());
    }
    return depths;
  };
  CHECK(depths(fast({{"initial_depth", 3}, {"depth_interval", 2}})) ==
        std::vector<std::size_t>{3, 3, 5, 5, 7, 7, 7, 7, 7});
  CHECK(depths(fast({{"initial_depth", 1}, {"depth_interval", 4}})) ==
        std::vector<std::size_t>{2, 2, 2, 2, 3, 3, 3, 3, 5});  // none may end after the first
  CHECK(depths(fast()) == std::vector<std::size_t>(9, 7));
  CHECK_THROWS_WITH(Bench(fast({{"initial_depth", 3}})), ContainsSubstring("/initial_depth is 3, but no network"));
}

TEST_CASE("reinforce refuses batches that the budget does not fill") {
  CHECK_THROWS_WITH(Bench(fast({{"children", 8}}), small_space(), 1, {{"budget", {{"trials", 8}}}}),
                    ContainsSubstring("/children is 8; must be less than the budget's trials, 8"));
  CHECK_NOTHROW(Bench(fast({{"children", 8}}), small_space(), 1, {{"budget", {{"trials", 9}}}}));
}

// Which results a batch consists of changes nothing until it is complete.
TEST_CASE("reinforce learns from a batch when its last child is back, and asks on while it waits") {
  const Json args = fast({{"lr", 1.0}, {"children", 8}});
  Bench one(args);
  Bench other(args);
  const std::vector<Proposal> proposals = one.optimizer.ask(12);
  REQUIRE(proposals.size() == 12);
  other.optimizer.ask(12);
  for (int i = 0; i < 7; ++i) {
    one.tell(proposals[static_cast<std::size_t>(i)], i);
    other.tell(proposals[static_cast<std::size_t>(i)], 6 - i);
  }
  CHECK(one.next(50) == other.next(50));
  one.tell(proposals[7], 0.5);
  other.tell(proposals[7], 0.5);
  CHECK(one.next(50) != other.next(50));
}

// Of a child of the present policy the weight is 1.
TEST_CASE("reinforce weighs late children by their importance up to its limit, and no others") {
  const auto next = [](const Json& limit, std::size_t at_once) {
    Bench bench(fast({{"lr", 0.5}, {"update_rule", "sgd"}, {"importance_limit", limit}}));
    for (int batch = 0; batch < 4; ++batch) {
      for (const Proposal& proposal : bench.optimizer.ask(5 * at_once))
        bench.tell(proposal, reward_of(proposal.genotype));
    }
    return bench.next(100);
  };
  CHECK(next(2.0, 1) == next(nullptr, 1));
  CHECK(next(2.0, 4) != next(nullptr, 4));
  CHECK(next(2.0, 4) != next(1.01, 4));
}

TEST_CASE("reinforce avoids what fails, also where rewards are negative, or leaves it out") {
  // The share of failures in the end, when a first edge of conv3x3 fails and every tenth other trial is `poor`.
  const auto share_of_failures = [](const Json& args, double poor) {
    Bench bench(args);
    int failures = 0;
    for (int trial = 0; trial < 600; ++trial) {
      const Proposal proposal = bench.ask();
      const bool fails = proposal.genotype.decisions.front() == 2;
      bench.tell(proposal, trial % 10 == 0 ? poor : -1.0, fails ? TrialState::fail : TrialState::complete);
      failures += fails && trial >= 400 ? 1 : 0;
    }
    return failures / 200.0;
  };
  CHECK(share_of_failures(fast(), -2.0) < 0.05);  // a fifth at random
  CHECK(share_of_failures(fast({{"failure_reward", nullptr}}), -1.0) > 0.1);
}
