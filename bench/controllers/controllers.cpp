// What optimizers themselves time: one ask and one tell on the space nasnet, with every plugin's defaults. Called with
// the plugin folder; the time is that of one core, updates of the controller included. Target: less than 5 milliseconds
// a trial for reinforce.

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "weft/optimizer.hpp"
#include "weft/rng.hpp"
#include "weft/testing/library.hpp"

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

Time measure(const std::filesystem::path& plugins, const std::string& name) {
  const Instance space(Plugin::open(plugins / "space" / "nasnet" / "manifest.json"), {});
  const Instance instance(Plugin::open(plugins / "optimizer" / name / "manifest.json"), {},
                          {.collaborators = {{"space", space.handle()}}});
  OptimizerRef optimizer(instance.handle());
  Rng accuracies(1);
  Time time;
  for (int trial = 0; trial < trials; ++trial) {
    TrialResult result{.trial = trial, .reward = accuracies.uniform(80.0, 95.0)};
    result.objectives = {result.reward};
    result.metrics = {{"validation_accuracy", result.reward}};
    const double start = milliseconds();
    result.genotype = optimizer.ask(1).at(0).genotype;
    optimizer.tell(result);
    const double took = milliseconds() - start;
    time.mean += took / trials;
    time.worst = std::max(time.worst, took);
  }
  return time;
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
  fmt::print("reinforce in less than {} ms: {}\n", most_milliseconds, met ? "ok" : "MISSED");
  return met ? 0 : 1;
}
