#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "plugins/optimizer/mcts/value_network.hpp"
#include "tests/catch.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "mcts"); }

// One decision of eight options in order, as a number would be.
class Number final : public DecisionSpace {
 public:
  explicit Number(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (!taken.empty()) return {};
    Decision decision{.name = "number", .kind = Decision::Kind::ordinal};
    for (int i = 0; i < 8; ++i) decision.options.push_back(std::to_string(i));
    return decision;
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

// Three decisions of two, one and three options.
class Tree final : public DecisionSpace {
 public:
  explicit Tree(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    static const std::vector<std::string> options[] = {{"a", "b"}, {"only"}, {"a", "b", "c"}};
    if (taken.size() == 3) return {};
    return Decision{.name = std::to_string(taken.size()), .options = options[taken.size()]};
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

// Up to three decisions; may end after each.
class Growing final : public Space, public Decisions {
 public:
  explicit Growing(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 3) return {};
    return Decision{.name = std::to_string(taken.size()), .options = {"a", "b"}};
  }
  bool complete(std::span<const std::int32_t> taken) const override { return !taken.empty(); }
  Genotype sample(Rng&) const override { return Genotype({0}); }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
  std::string notation(const Genotype& genotype) const override { return genotype.key(); }
  Genotype parse(std::string_view) const override { return Genotype({0}); }
};

template <typename S>
Plugin space_of() {
  static constexpr weft_component component = weft::component<S>("here");
  return {&component, {{"parameters", Json::object()}}};
}

// Rewards here are shares and no accuracies in percent.
Json of_shares(Json args) {
  args.emplace("reward_scale", 1);
  return args;
}

class Bench {
 public:
  explicit Bench(const Json& args, const Plugin& space = small_space(), std::uint64_t seed = 1,
                 const Json& study = Json::object())
      : space_(space, {}),
        instance_(plugin(), of_shares(args),
                  {.study = study, .rng = Rng(seed), .collaborators = {{"space", space_.handle()}}}),
        optimizer(instance_.handle()) {}

  std::vector<std::int32_t> ask() {
    proposals_.push_back(optimizer.ask(1).at(0));
    return proposals_.back().genotype.decisions;
  }
  // The result of the last trial asked for, or of another.
  void tell(double reward) { tell(static_cast<TrialId>(proposals_.size()) - 1, reward); }
  void tell(TrialId trial, double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(trial, proposals_.at(static_cast<std::size_t>(trial)), state);
    result.reward = reward;
    optimizer.tell(result);
  }

 private:
  Instance space_;
  Instance instance_;
  std::vector<Proposal> proposals_;

 public:
  OptimizerRef optimizer;
};

// Two arms, rewards 1 and 0, c = 1. The root's own trial goes anywhere, the next two try each arm once. From then on
// the arms' scores are 1 + sqrt(2 ln n / n_a) and sqrt(2 ln n / n_b), where n counts all trials:
//   n = 3: 2.482, 1.482   n = 4: 2.177, 1.665   n = 5: 2.036, 1.794   n = 6: 1.947, 1.893   n = 7: 1.882, 1.973
//   n = 8: arm b was taken, 1 + 0.912 = 1.912 against 1.442
constexpr char arms_by_hand[] = "aaaaba";

// Plays the two arms, which `is_good` tells apart.
template <typename IsGood, typename Tell>
std::string play(Bench& bench, IsGood&& is_good, Tell&& tell) {
  std::string arms;
  for (int trial = 0; trial < 9; ++trial) {
    const bool good = is_good(bench.ask());
    tell(good);
    arms += good ? 'a' : 'b';
  }
  INFO(arms);
  CHECK((arms.substr(1, 2) == "ab" || arms.substr(1, 2) == "ba"));
  return arms.substr(3);
}

// Statistics of the small space's tree that a test keeps itself.
struct Statistics {
  int visits = 0;
  double sum = 0.0;
};

struct Prediction {
  bool predictions = false;  // half of what is backed up is the mean of the rewards so far
  bool prior = false;        // and that is also what children are worth that were never tried
};

// Every proposal takes the best score at every node that was visited before.
void check_scores(const Json& args, const Prediction& prediction) {
  const double c = args.at("exploration");
  std::map<std::vector<std::int32_t>, Statistics> tree;
  Bench bench(args);
  double sum_of_rewards = 0.0;
  int choices = 0;
  for (int trial = 0; trial < 600; ++trial) {
    const double mean = sum_of_rewards / trial;
    const std::vector<std::int32_t> taken = bench.ask();
    std::vector<std::int32_t> prefix;
    std::vector<std::vector<std::int32_t>> path = {prefix};
    while (prefix.size() < taken.size() && tree.contains(prefix)) {
      const double visits = tree[prefix].visits;
      std::vector<double> scores;
      for (std::int32_t option = 0; option < 5; ++option) {
        std::vector<std::int32_t> child = prefix;
        child.push_back(option);
        const auto found = tree.find(child);
        const double worth = found != tree.end() ? found->second.sum / found->second.visits
                             : prediction.prior  ? mean
                                                 : 1e9;
        const int tries = found != tree.end() ? found->second.visits : 1;
        scores.push_back(worth + c * std::sqrt(2 * std::log(visits) / tries));
      }
      INFO("trial " << trial << ", node " << Json(prefix) << ", scores " << Json(scores) << ", taken " << Json(taken));
      const double best = *std::max_element(scores.begin(), scores.end());
      REQUIRE(scores[static_cast<std::size_t>(taken[prefix.size()])] >= best - 1e-5);
      choices += best - scores.back() > 1e-5 ? 1 : 0;
      prefix.push_back(taken[prefix.size()]);
      path.push_back(prefix);
    }
    const double reward = optimizer_contract::reward_of(Genotype(taken));
    for (const std::vector<std::int32_t>& node : path) {
      ++tree[node].visits;
      tree[node].sum += prediction.predictions && trial > 0 ? 0.5 * (reward + mean) : reward;
    }
    sum_of_rewards += reward;
    bench.tell(reward);
  }
  CHECK(choices > 200);  // often enough there was something to choose
}

const Json surrogate_guided = {
    {"exploration", 0.3}, {"surrogate", "ridge"}, {"surrogate_prior", true}, {"rollouts", 10}};
const Json alphax = {{"exploration", 0.3}, {"bisection", false}, {"surrogate", "network"},
                     {"predictions", 10},  {"hidden", {16}},     {"lr", 0.01},
                     {"batch_size", 32},   {"memory", 200},      {"rollouts", 5}};

}  // namespace

// ---- contract -------------------------------------------------------------------------------------------------------

TEST_CASE("mcts keeps the contract of optimizers") { check_optimizer(plugin(), of_shares({{"exploration", 0.2}})); }

TEST_CASE("mcts keeps the contract of optimizers with normalised rewards") {
  check_optimizer(plugin(), of_shares({{"exploration", 0.2}, {"normalise_rewards", true}}), {.long_study = 20000});
}

TEST_CASE("mcts keeps the contract of optimizers with a surrogate") {
  Json args = surrogate_guided;
  args["memory"] = 100;
  check_optimizer(plugin(), of_shares(args), {.long_study = 3000});
}

TEST_CASE("mcts keeps the contract of optimizers with AlphaX's value network") {
  check_optimizer(plugin(), of_shares(alphax), {.long_study = 2000});
}

// ---- UCT ------------------------------------------------------------------------------------------------------------

TEST_CASE("mcts visits two arms as often as UCT worked out by hand") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Bench bench(Json::object(), space_of<Tree>(), seed);
    const auto is_good = [](const std::vector<std::int32_t>& taken) { return taken[0] == 1; };
    CHECK(play(bench, is_good, [&](bool good) { bench.tell(good ? 1.0 : 0.0); }) == arms_by_hand);
  }
}

TEST_CASE("mcts counts a failed trial as no reward, and does not mind late results") {
  const auto is_good = [](const std::vector<std::int32_t>& taken) { return taken[0] == 1; };
  Bench failing(Json::object(), space_of<Tree>());
  TrialId trial = 0;
  CHECK(play(failing, is_good, [&](bool good) {
          failing.tell(trial++, 1.0, good ? TrialState::complete : TrialState::fail);
        }) == arms_by_hand);
  // Of rewards from -3 to -2, normalised, the same holds: the failure is worth -3.
  Bench negative({{"normalise_rewards", true}}, space_of<Tree>());
  bool lowest_known = false;
  trial = 0;
  CHECK(play(negative, is_good, [&](bool good) {
          negative.tell(trial++, good ? -2.0 : -3.0, good || !lowest_known ? TrialState::complete : TrialState::pruned);
          lowest_known |= !good;
        }) == arms_by_hand);
}

// Arm a completes with -1 and -2 in turn, arm b fails, first of all: it is worth -2 from the first success on, also for
// what was told before that.
TEST_CASE("mcts does not prefer what fails where rewards are negative") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Bench bench({{"exploration", 0.1}}, space_of<Tree>(), seed);
    int failing = 0;
    for (TrialId trial = 0; trial < 200; ++trial) {
      const bool good = bench.ask()[0] == 1;
      bench.tell(trial, trial % 2 == 0 ? -1.0 : -2.0, good ? TrialState::complete : TrialState::fail);
      failing += good ? 0 : 1;
    }
    CHECK(failing < 12);
  }
}

TEST_CASE("mcts follows the maximum of the UCT score at every node of its tree") {
  check_scores({{"exploration", 0.7}}, {});
}

// So heavy a penalty makes ridge regression predict the mean of the rewards so far, whatever the network.
TEST_CASE("mcts backs up the mean of reward and prediction") {
  check_scores(
      {{"exploration", 0.7}, {"surrogate", "ridge"}, {"ridge_penalty", 1e12}, {"refit_every", 1}, {"predictions", 3}},
      {.predictions = true});
}

TEST_CASE("mcts values what was never tried by its prediction") {
  check_scores({{"exploration", 0.1},
                {"surrogate", "ridge"},
                {"ridge_penalty", 1e12},
                {"refit_every", 1},
                {"surrogate_prior", true}},
               {.prior = true});
}

TEST_CASE("mcts makes shares of accuracies in percent") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Bench bench({{"reward_scale", 0.01}}, space_of<Tree>(), seed);
    const auto is_good = [](const std::vector<std::int32_t>& taken) { return taken[0] == 1; };
    CHECK(play(bench, is_good, [&](bool good) { bench.tell(good ? 100.0 : 0.0); }) == arms_by_hand);
  }
}

// ---- trials in flight ----------------------------------------------------------------------------------------------

TEST_CASE("mcts spreads trials in flight as if they had ended") {
  Bench bench(Json::object());
  bench.ask();
  bench.tell(0.5);
  std::set<std::int32_t> arms;
  for (int i = 0; i < 5; ++i) arms.insert(bench.ask()[0]);
  CHECK(arms.size() == 5);
  // Below: each arm's own children, still without a single result.
  std::map<std::int32_t, std::set<std::int32_t>> below;
  for (int i = 0; i < 25; ++i) {
    const std::vector<std::int32_t> taken = bench.ask();
    below[taken[0]].insert(taken[1]);
  }
  for (const auto& [arm, children] : below) CHECK(children.size() == 5);
  for (TrialId trial = 30; trial > 0; --trial) bench.tell(trial, 0.1);  // the last first
  CHECK(bench.ask().size() == 6);
}

TEST_CASE("mcts asks all at once at the very beginning") {
  Bench bench(Json::object());
  CHECK(bench.optimizer.ask(40).size() == 40);
}

// ---- bisection -----------------------------------------------------------------------------------------------------

// The upper and the lower half of eight options are two arms, whichever options stand for them.
TEST_CASE("mcts bisects the options of ordinal decisions") {
  Bench bench(Json::object(), space_of<Number>());
  const auto is_good = [](const std::vector<std::int32_t>& taken) { return taken[0] >= 4; };
  CHECK(play(bench, is_good, [&](bool good) { bench.tell(good ? 1.0 : 0.0); }) == arms_by_hand);
}

TEST_CASE("mcts tries each option of an ordinal decision once where it does not bisect") {
  Bench bench({{"bisection", false}}, space_of<Number>());
  bench.ask();
  bench.tell(0.5);
  std::set<std::int32_t> options;
  for (int i = 0; i < 8; ++i) {
    options.insert(bench.ask()[0]);
    bench.tell(0.5);
  }
  CHECK(options.size() == 8);
}

TEST_CASE("mcts reaches every option by halves") {
  Bench bench({{"exploration", 2}}, space_of<Number>());
  std::map<std::int32_t, int> options;
  for (int i = 0; i < 400; ++i) {
    ++options[bench.ask()[0]];
    bench.tell(0.0);
  }
  for (std::int32_t option = 0; option < 8; ++option) CHECK(std::abs(options[option] - 50) < 10);
}

TEST_CASE("mcts may end where the space lets a genotype end") {
  Bench bench(Json::object(), space_of<Growing>());
  std::map<std::vector<std::int32_t>, int> seen;
  for (int i = 0; i < 600; ++i) {
    const std::vector<std::int32_t> taken = bench.ask();
    ++seen[taken];
    bench.tell(taken == std::vector<std::int32_t>{1} ? 1.0 : 0.0);
  }
  CHECK(seen.size() == 2 + 4 + 8);
  CHECK(seen[{1}] > 150);  // by chance: 100
}

// ---- surrogates ----------------------------------------------------------------------------------------------------

// Whether the optimum, all decisions at option 0 of 15,625, is among 300 trials.
TEST_CASE("mcts finds the optimum of a separable reward with a surrogate, where random search does not") {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Bench bench(surrogate_guided, small_space(), seed);
    double best = 0.0;
    for (int trial = 0; trial < 300; ++trial) {
      const double reward = optimizer_contract::reward_of(Genotype(bench.ask()));
      best = std::max(best, reward);
      bench.tell(reward);
    }
    found += best == 1.0 ? 1 : 0;
  }
  CHECK(found >= 9);  // a random search of 300 finds it in 2 % of the runs
}

TEST_CASE("ridge regression fits a line, shrunk by its penalty") {
  // x = -1, 1, y = 1, 5: slope 4 / (2 + penalty) about the mean 3.
  Rng rng(1);
  Eigen::MatrixXf x(1, 2);
  x << -1, 1;
  Eigen::VectorXf y(2);
  y << 1, 5;
  mcts::Ridge ridge(2.0);
  ridge.fit(x, y, rng);
  CHECK(ridge.predict(x)(1) == Approx(3 + 1));
  mcts::Ridge free(1e-9);
  free.fit(x, y, rng);
  CHECK(free.predict(x)(0) == Approx(1));
  CHECK(free.predict(x)(1) == Approx(5));
}

TEST_CASE("the value network's gradient agrees with finite differences") {
  using Network = weft::controllers::MultilayerPerceptron<double>;
  Rng rng(2);
  Network network(4, {8, 6, 1}, rng);
  REQUIRE(network.parameters.size() == 4 * 8 + 8 + 8 * 6 + 6 + 6 + 1);
  for (double& parameter : network.parameters) parameter += 0.1 * rng.normal();
  Network::Matrix inputs(4, 6);
  for (double& value : inputs.reshaped()) value = rng.normal();
  Network::Vector targets(6);
  for (double& target : targets) target = rng.uniform();
  Network::Vector gradient, unused;
  mcts::squared_error(network, inputs, targets, gradient);
  for (Eigen::Index at = 0; at < network.parameters.size(); ++at) {
    const double step = 1e-6;
    double& parameter = network.parameters(at);
    const double kept = parameter;
    parameter = kept + step;
    const double above = mcts::squared_error(network, inputs, targets, unused);
    parameter = kept - step;
    const double below = mcts::squared_error(network, inputs, targets, unused);
    parameter = kept;
    CHECK(std::abs((above - below) / (2 * step) - gradient(at)) < 1e-8);
  }
  CHECK((gradient.array() != 0.0).count() > 30);
}

TEST_CASE("the value network learns, of rewards of any range") {
  for (const double scale : {1.0, -50.0}) {
    Rng rng(3);
    mcts::ValueNetwork network(6, {.hidden = {32, 32}, .lr = 0.01, .batch_size = 16, .epochs = 200}, rng);
    Eigen::MatrixXf inputs(6, 64);
    Eigen::VectorXf rewards(64);
    for (Eigen::Index sample = 0; sample < 64; ++sample) {
      for (Eigen::Index bit = 0; bit < 6; ++bit) inputs(bit, sample) = static_cast<float>((sample >> bit) & 1);
      // Not linear: two bits decide by their parity.
      rewards(sample) = static_cast<float>(scale * (inputs(0, sample) == inputs(1, sample) ? 0.8 : 0.2));
    }
    network.fit(inputs, rewards, rng);
    const double error = (network.predict(inputs) - rewards).cwiseAbs().mean();
    INFO("mean error " << error << " of rewards of scale " << scale);
    CHECK(error < 0.05 * std::abs(scale));
  }
}

TEST_CASE("mcts refuses what needs a surrogate, and a surrogate that needs an encoding") {
  CHECK_THROWS_WITH(Bench(Json{{"rollouts", 10}}), ContainsSubstring("/rollouts is 10; needs a surrogate"));
  CHECK_THROWS_WITH(Bench(Json{{"predictions", 3}}), ContainsSubstring("/predictions is 3; needs a surrogate"));
  CHECK_THROWS_WITH(Bench(Json{{"surrogate_prior", true}}),
                    ContainsSubstring("/surrogate_prior is true; needs a surrogate"));
  CHECK_THROWS_WITH(Bench({{"surrogate", "ridge"}}, space_of<Growing>()),
                    ContainsSubstring("/surrogate is \"ridge\", but the space has no encoding (space.encoding)"));
}

TEST_CASE("mcts refuses a surrogate that would never be fitted, or not to all it is told") {
  const auto with_budget = [](const Json& args) { Bench(args, small_space(), 1, {{"budget", {{"trials", 30}}}}); };
  CHECK_THROWS_WITH(with_budget({{"surrogate", "ridge"}, {"refit_every", 30}}),
                    ContainsSubstring("/refit_every is 30; must be less than the budget's trials, 30"));
  CHECK_THROWS_WITH(with_budget({{"surrogate", "ridge"}, {"memory", 10}}),
                    ContainsSubstring("/refit_every is 20; must not exceed /memory, 10"));
  CHECK_NOTHROW(with_budget({{"surrogate", "ridge"}, {"refit_every", 29}}));
  CHECK_NOTHROW(with_budget({{"refit_every", 30}}));
}

TEST_CASE("mcts says so where a surrogate breaks down") {
  Bench bench({{"surrogate", "ridge"}, {"refit_every", 2}, {"surrogate_prior", true}});
  for (int i = 0; i < 2; ++i) {
    bench.ask();
    bench.tell(1e300);  // beyond single precision
  }
  CHECK_THROWS_WITH(bench.ask(), ContainsSubstring("predicts a reward that is not finite"));
}
