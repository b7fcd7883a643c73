// The meta-controller's gradient and what its encoder tells apart; what an episode makes of the start; that it learns.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "meta_controller.hpp"
#include "tests/catch.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;
using path_level_eas::Choice;
using path_level_eas::MetaController;
using path_level_eas::Vector;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "path_level_eas"); }
Plugin trees() { return Plugin::open("space", "path_level"); }

const Json small_network = {{"growth", 2}, {"stages", 1}, {"bottleneck", 1}};

Json small(const Json& more = Json::object()) {
  Json args = {{"units", 8}, {"embedding", 4}, {"actor_units", 16}, {"children", 5}, {"lr", 0.02}, {"reward_scale", 1}};
  args.update(more);
  return args;
}

class Bench {
 public:
  explicit Bench(const Json& args = small(), const Json& space_args = small_network, const Json& study = Json::object(),
                 const Plugin& plugin_of_space = trees())
      : space_(plugin_of_space, space_args),
        instance_(plugin(), args, {.study = study, .rng = Rng(1), .collaborators = {{"space", space_.handle()}}}),
        space(space_.handle()),
        optimizer(instance_.handle()) {}

  Proposal ask() { return optimizer.ask(1).at(0); }
  void tell(const Proposal& proposal, double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(told++, proposal, state);
    result.reward = reward;
    optimizer.tell(result);
  }

 private:
  Instance space_;
  Instance instance_;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
  TrialId told = 0;
};

// Branches with this operation, and all.
std::pair<int, int> count(const Json& node, const std::string& operation) {
  std::pair<int, int> found{0, 0};
  for (const Json& branch : path_level_eas::branches_of(node)) {
    const auto [with, all] = count(path_level_eas::node_of(branch), operation);
    found.first += with + (branch.at("operation") == operation ? 1 : 0);
    found.second += all + 1;
  }
  return found;
}

std::size_t height(const Json& node) {
  std::size_t highest = 0;
  for (const Json& branch : path_level_eas::branches_of(node))
    highest = std::max(highest, 1 + height(path_level_eas::node_of(branch)));
  return highest;
}

// A tree of every kind of unit, in both directions.
const Json tree = Json::parse(R"({"merge": "add", "branches": [
  {"operation": "conv", "node": {"merge": "concat", "branches": [
     {"operation": "identity"},
     {"operation": "pool", "node": {"branches": [{"operation": "conv"}]}}]}},
  {"operation": "identity"},
  {"operation": "pool", "node": {"merge": "add", "branches": [{"operation": "identity"}, {"operation": "pool"}]}}]})");

const std::vector<Choice> choices = {
    {.kind = Choice::Kind::set_merge_type,
     .tree = tree,
     .place = {0, 1},
     .options = {"none", "add", "concat"},
     .taken = 1},
    {.kind = Choice::Kind::replace_identity, .tree = tree, .place = {0, 0}, .options = {"none", "conv"}, .taken = 0},
    {.kind = Choice::Kind::replace_identity,
     .tree = tree,
     .place = {1},
     .options = {"none", "conv", "pool"},
     .taken = 2},
    {.kind = Choice::Kind::insert_node, .tree = tree, .place = {2, 1}, .options = {"none", "insert"}, .taken = 1},
    {.kind = Choice::Kind::set_branches, .tree = tree, .place = {}, .options = {"add 2", "add 3"}, .taken = 0}};

MetaController controller(double entropy_weight = 0.3) {
  return {{.sizes = {3, 2}, .actor_units = 5, .lr = 0.1, .entropy_weight = entropy_weight, .gradient_clip = 0.0},
          Rng(5)};
}

}  // namespace

TEST_CASE("path_level_eas keeps the contract of optimizers") {
  OptimizerCheck check{.space = trees(), .space_args = small_network};
  check.trials = 40;
  check.decoded = 10;
  check.long_study = 120;
  check.bytes_per_trial = 20000;
  check.improves = false;  // the suite's rewards of trees are noise
  check.failing_studies = 0;
  check_optimizer(plugin(), small(), check);
}

TEST_CASE("path_level_eas: the gradient is that of finite differences") {
  MetaController meta = controller();
  const std::vector<double> slopes = {1.0, -2.0, 0.5, 1.5, -0.7};
  const auto objective = [&] {
    double sum = 0.0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const Vector log_p = meta.log_probabilities(choices[i]);
      sum += slopes[i] * log_p[static_cast<Eigen::Index>(choices[i].taken)];
      sum -= 0.3 * log_p.array().exp().matrix().dot(log_p);
    }
    return sum;
  };
  objective();  // all parameters are there
  for (std::size_t i = 0; i < choices.size(); ++i) meta.accumulate(choices[i], slopes[i]);
  std::vector<double>& values = meta.parameters().values();
  const std::vector<double> gradient = meta.parameters().gradient();
  REQUIRE(gradient.size() == values.size());
  constexpr double step = 1e-6;
  std::size_t moved = 0;
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    values[i] = value + step;
    const double above = objective();
    values[i] = value - step;
    const double below = objective();
    values[i] = value;
    const double expected = (above - below) / (2.0 * step);
    worst = std::max(worst, std::abs(gradient[i] - expected));
    moved += std::abs(expected) > 1e-9 ? 1 : 0;
  }
  CHECK(worst < 1e-7);
  CHECK(moved > values.size() / 2);
}

TEST_CASE("path_level_eas: the encoder sees the order of what is concatenated, not of what is added") {
  const auto seen = [](const char* merge, const char* first, const char* second) {
    MetaController meta = controller();
    Choice choice{.kind = Choice::Kind::set_merge_type, .options = {"none", "add"}};
    choice.tree = {{"merge", merge}, {"branches", {{{"operation", first}}, {{"operation", second}}}}};
    return meta.log_probabilities(choice)[0];
  };
  CHECK(seen("add", "conv", "pool") == Approx(seen("add", "pool", "conv")).epsilon(1e-12));
  CHECK(seen("concat", "conv", "pool") != Approx(seen("concat", "pool", "conv")).epsilon(1e-6));
  CHECK(seen("add", "conv", "pool") != Approx(seen("add", "conv", "conv")).epsilon(1e-6));
  // From above, a branch knows its sibling.
  const auto beside = [](const char* sibling) {
    MetaController meta = controller();
    Choice choice{.kind = Choice::Kind::replace_identity, .place = {0}, .options = {"none", "conv"}};
    choice.tree = {{"merge", "add"}, {"branches", {{{"operation", "identity"}}, {{"operation", sibling}}}}};
    return meta.log_probabilities(choice)[0];
  };
  CHECK(beside("conv") != Approx(beside("pool")).epsilon(1e-6));
}

TEST_CASE("path_level_eas: cells begin orthogonal, without biases") {
  path_level_eas::Weights weights(Rng(1));
  const auto wide = weights.orthogonal("wide", 3, 8), high = weights.orthogonal("high", 8, 3);
  const path_level_eas::Matrix w = weights.parameters[wide], h = weights.parameters[high];
  CHECK((w * w.transpose()).isIdentity(1e-12));
  CHECK((h.transpose() * h).isIdentity(1e-12));
  CHECK(weights.orthogonal("wide", 3, 8).offset == wide.offset);
}

TEST_CASE("path_level_eas: all inherit from the start, the first trial, once it is trained") {
  Bench bench(small({{"children", 20}}));
  CHECK(bench.optimizer.retain() == std::vector<TrialId>());
  Proposal start = bench.optimizer.ask(4).at(0);
  CHECK(start.genotype == bench.space.parse("start"));
  CHECK_FALSE(start.parent);
  CHECK(bench.optimizer.ask(4).empty());
  bench.tell(start, 0.0, TrialState::fail);
  start = bench.ask();
  CHECK(start.genotype == bench.space.parse("start"));
  bench.tell(start, 0.5);
  CHECK(bench.optimizer.retain() == std::vector<TrialId>{1});
  const Architecture before = bench.space.decode(start.genotype).architecture;
  std::set<std::string> different;
  for (const Proposal& proposal : bench.optimizer.ask(20)) {
    INFO(bench.space.notation(proposal.genotype));
    CHECK(proposal.parent == 1);
    CHECK(height(proposal.genotype.opaque) >= 2);
    CHECK(height(proposal.genotype.opaque) <= 3);
    REQUIRE_NOTHROW(check_transfer(before, bench.space.decode(proposal.genotype).architecture,
                                   WeightTransfer::from_json(proposal.transfer)));
    different.insert(proposal.genotype.key());
  }
  CHECK(different.size() > 15);

  Bench from_scratch(small({{"inherit_weights", false}}));
  CHECK_FALSE(from_scratch.optimizer.retain());
  const Proposal proposal = from_scratch.ask();
  CHECK(height(proposal.genotype.opaque) >= 2);
  CHECK_FALSE(proposal.parent);
  CHECK(proposal.transfer.is_null());
}

TEST_CASE("path_level_eas: the search does not depend on the order of a batch's results") {
  std::vector<std::string> next;
  for (const bool backwards : {false, true}) {
    Bench bench;
    bench.tell(bench.ask(), 0.5);
    const std::vector<Proposal> batch = bench.optimizer.ask(9);
    REQUIRE(batch.size() == 5);
    CHECK(bench.optimizer.ask(9).empty());
    for (std::size_t i = 0; i < 5; ++i) {
      const std::size_t at = backwards ? 4 - i : i;
      bench.tell(batch[at], 0.1 * static_cast<double>(at), at == 2 ? TrialState::fail : TrialState::complete);
    }
    std::string text;
    for (const Proposal& proposal : bench.optimizer.ask(5)) text += proposal.genotype.key();
    next.push_back(text);
  }
  CHECK(next[0] == next[1]);
}

// The baseline is a batch's own mean where it forgets at once: what all children of a batch earn alike teaches nothing.
TEST_CASE("path_level_eas: a batch is judged against its own mean") {
  std::vector<std::string> proposed;
  for (const double later : {0.5, 0.9}) {
    Bench bench(small({{"entropy_weight", 0}, {"baseline_decay", 0}}));
    bench.tell(bench.ask(), 0.5);
    std::string& all = proposed.emplace_back();
    for (const double reward : {0.5, later, later}) {
      for (const Proposal& proposal : bench.optimizer.ask(5)) {
        all += proposal.genotype.key();
        bench.tell(proposal, reward);
      }
    }
  }
  CHECK(proposed[0] == proposed[1]);
}

TEST_CASE("path_level_eas learns which operations are rewarded") {
  Bench bench(small({{"reward", "identity"}, {"entropy_weight", 0}}));
  bench.tell(bench.ask(), 0.0);
  double first = 0.0, last = 0.0;
  constexpr int trials = 200, part = 30;
  for (int trial = 0; trial < trials; ++trial) {
    const Proposal proposal = bench.ask();
    const auto [with, all] = count(proposal.genotype.opaque, "avg_pool_3x3");
    const double reward = static_cast<double>(with) / all;
    if (trial < part) first += reward / part;
    if (trial >= trials - part) last += reward / part;
    bench.tell(proposal, reward);
  }
  INFO("at first a share of " << first << ", at last " << last);
  CHECK(first < 0.3);
  CHECK(last > 0.6);
}

TEST_CASE("path_level_eas: what cannot work is refused") {
  const auto refused = [](const Json& args, const Json& space_args, const Json& study = Json::object()) {
    Bench bench(args, space_args, study);
  };
  Json low = small_network;
  low["max_height"] = 1;
  CHECK_THROWS_WITH(refused(small(), low), ContainsSubstring("/least_height is 2; the space's trees have at most 1"));
  CHECK_THROWS_WITH(refused(small(), small_network, {{"budget", {{"trials", 6}}}}),
                    ContainsSubstring("/children is 5; must be less by two than the budget's trials, 6"));
  CHECK_NOTHROW(refused(small(), small_network, {{"budget", {{"trials", 7}}}}));
  CHECK_THROWS_WITH(Bench(small(), Json::object(), Json::object(), small_space()),
                    ContainsSubstring("space.morphisms"));
}
