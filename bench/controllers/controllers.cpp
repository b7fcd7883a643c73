// What optimizers themselves time: one ask and one tell on the space nasnet, with every plugin's defaults. Called with
// the plugin folder; the time is that of one core, updates of the controller included. Target: less than 5 milliseconds
// a trial for reinforce.

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <deque>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "weft/optimizer.hpp"
#include "weft/rng.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/small_space.hpp"

namespace {

using namespace weft;
using testing::Instance;
using testing::Plugin;

constexpr int trials = 400;  // whole batches of every controller
constexpr double most_milliseconds = 5.0;

double milliseconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return 1e3 * static_cast<double>(used.tv_sec) + 1e-6 * static_cast<double>(used.tv_nsec);
}

struct Time {
  double mean = 0.0;
  double worst = 0.0;
};

// Suganuma et al. 2017: 1 + 2 on CGP's graphs of the paper's size, whose genes drift where nothing reads them.
const Json drift = {{"schedule", "generations"}, {"population_size", 1},   {"offspring", 2},
                    {"parents", "all"},          {"survivors", "elitist"}, {"neutral_mutation_probability", 0.05}};

Time measure(const std::filesystem::path& plugins, const std::string& name, const std::string& space_name = "nasnet",
             const Json& args = Json::object()) {
  const Instance space(Plugin::open(plugins / "space" / space_name / "manifest.json"), {});
  const Instance instance(Plugin::open(plugins / "optimizer" / name / "manifest.json"), args,
                          {.collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  Rng accuracies(1);
  Time time;
  for (int trial = 0; trial < trials; ++trial) {
    TrialResult result{.trial = trial, .reward = accuracies.uniform(80.0, 95.0)};
    result.objectives = {result.reward};
    result.metrics = {{"validation_accuracy", result.reward}};
    const double start = milliseconds();
    const Proposal proposal = optimizer.ask(1).at(0);
    result.genotype = proposal.genotype;
    result.notes = proposal.notes;
    optimizer.tell(result);
    const double took = milliseconds() - start;
    time.mean += took / trials;
    time.worst = std::max(time.worst, took);
  }
  return time;
}

// Milliseconds of an ask and a tell, of a thousand each, after 1,000 trials and after 100,000.
std::pair<double, double> growth(const std::filesystem::path& plugins, const std::string& name, const Json& args) {
  const Instance space(testing::small_space(), {});
  const Instance instance(Plugin::open(plugins / "optimizer" / name / "manifest.json"), args,
                          {.collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  Rng accuracies(1);
  std::pair<double, double> costs;
  for (TrialId trial = 0; trial <= 101'000; ++trial) {
    TrialResult result{.trial = trial, .reward = accuracies.uniform(80.0, 95.0)};
    result.objectives = {result.reward};
    const double start = milliseconds();
    const Proposal proposal = optimizer.ask(1).at(0);
    result.genotype = proposal.genotype;
    result.notes = proposal.notes;
    optimizer.tell(result);
    const double took = (milliseconds() - start) / 1000;
    if (trial >= 1'000 && trial < 2'000) costs.first += took;
    if (trial >= 100'000 && trial < 101'000) costs.second += took;
  }
  return costs;
}

// The mean reward of the last 50 of 300 trials of REINFORCE, over twenty seeds, where each result arrives when so many
// more trials have been asked for: what its gradient is then of is an older policy. The reward is the share of
// decisions that take their first option.
double learned_with_lag(const std::filesystem::path& plugins, std::size_t lag, const Json& importance_limit) {
  constexpr int asked = 300, last = 50, seeds = 20;
  double mean = 0.0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const Instance space(testing::small_space(), {});
    const Instance instance(Plugin::open(plugins / "optimizer" / "reinforce" / "manifest.json"),
                            {{"layers", 1},
                             {"units", 16},
                             {"lr", 0.02},
                             {"children", 5},
                             {"reward", "identity"},
                             {"reward_scale", 1},
                             {"importance_limit", importance_limit}},
                            {.rng = Rng(seed), .collaborators = {{"space", space.handle()}}});
    OptimizerRef optimizer(instance.handle());
    std::deque<TrialResult> running;
    for (int trial = 0; trial < asked; ++trial) {
      const Proposal proposal = optimizer.ask(1).at(0);
      const std::vector<std::int32_t>& decisions = proposal.genotype.decisions;
      TrialResult result{.trial = trial, .genotype = proposal.genotype, .notes = proposal.notes};
      result.reward = static_cast<double>(std::count(decisions.begin(), decisions.end(), 0)) /
                      static_cast<double>(decisions.size());
      result.objectives = {result.reward};
      if (trial >= asked - last) mean += result.reward / (last * seeds);
      running.push_back(std::move(result));
      if (running.size() <= lag) continue;
      optimizer.tell(running.front());
      running.pop_front();
    }
  }
  return mean;
}

}  // namespace

int main(int, char** arguments) {
  fmt::print("{} trials on nasnet, ask and tell of one, ms on one core\n{:<12}{:>10}{:>10}\n", trials, "", "mean",
             "worst");
  bool met = true;
  for (const std::string name : {"reinforce", "ppo", "q_learning", "mcts", "evolution"}) {
    const Time time = measure(arguments[1], name);
    fmt::print("{:<12}{:>10.3f}{:>10.3f}\n", name, time.mean, time.worst);
    if (name == "reinforce") met = time.mean < most_milliseconds;
  }
  const Time drifting = measure(arguments[1], "evolution", "cgp", drift);
  fmt::print("{:<12}{:>10.3f}{:>10.3f}  (suganuma2017's, on cgp)\n", "evolution", drifting.mean, drifting.worst);
  fmt::print("reinforce in less than {} ms: {}\n", most_milliseconds, met ? "ok" : "MISSED");

  fmt::print("\nas a study grows, on 15,625 architectures, ms\n{:<36}{:>10}{:>10}{:>8}\n", "", "1e3", "1e5", "ratio");
  const std::vector<std::tuple<std::string, std::string, Json>> growing = {
      {"evolution", "as Liu et al. 2018", {{"survivors", "all"}, {"tournament_share", 0.05}, {"population_size", 200}}},
      {"evolution", "the elite of 100", {{"survivors", "elitist"}, {"population_size", 100}}},
      {"regularized_evolution", "", Json::object()},
      {"q_learning", "", Json::object()},
      {"mcts", "", Json::object()},
      {"random_search", "", Json::object()}};
  for (const auto& [name, how, args] : growing) {
    const auto [early, late] = growth(arguments[1], name, args);
    fmt::print("{:<36}{:>10.4f}{:>10.4f}{:>8.2f}\n", how.empty() ? name : name + ", " + how, early, late, late / early);
    met = met && late < 2.0 * early;
  }
  fmt::print("at most twice as much: {}\n", met ? "ok" : "MISSED");

  fmt::print("\nreinforce where results are late: the share of first options at the end\n{:<16}{:>12}{:>12}{:>12}\n",
             "trials between", "as they are", "weights <= 1", "<= 2");
  for (const std::size_t lag : {0, 10, 40, 100}) {
    fmt::print("{:<16}{:>12.3f}{:>12.3f}{:>12.3f}\n", lag, learned_with_lag(arguments[1], lag, nullptr),
               learned_with_lag(arguments[1], lag, 1.0), learned_with_lag(arguments[1], lag, 2.0));
  }
  return met ? 0 : 1;
}
