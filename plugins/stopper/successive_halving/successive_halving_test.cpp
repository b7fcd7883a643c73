#include <algorithm>
#include <numeric>

#include "tests/catch.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin successive_halving() { return Plugin::open("stopper", "successive_halving"); }

// A trial that reports this reward after each of these epochs.
LearningCurve curve_of(TrialId trial, double reward, std::vector<std::int32_t> epochs, int horizon = 81) {
  LearningCurve curve{.trial = trial, .epochs = std::move(epochs), .horizon = horizon};
  curve.rewards.assign(curve.epochs.size(), reward);
  return curve;
}

LearningCurve first_epochs(TrialId trial, double reward, int epochs, int horizon = 81) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(epochs));
  std::iota(all.begin(), all.end(), 1);
  return curve_of(trial, reward, all, horizon);
}

class Bench {
 public:
  explicit Bench(const Json& args = Json::object())
      : instance_(successive_halving(), args), stopper(instance_.handle()) {}

  bool stops(const LearningCurve& curve) {
    stopper.observe(curve);
    return stopper.judge(curve).verdict == Verdict::stop;
  }
  // At which of the first epochs a trial is stopped that comes after a better one.
  std::vector<int> rungs(int epochs, int horizon = 0) {
    std::vector<int> stopped;
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      stopper.observe(first_epochs(0, 90.0, epoch, horizon));
      if (stops(first_epochs(1, 10.0, epoch, horizon))) stopped.push_back(epoch);
    }
    return stopped;
  }

 private:
  Instance instance_;

 public:
  StopperRef stopper;
};

}  // namespace

TEST_CASE("successive_halving keeps the contract of stoppers") {
  check_stopper(successive_halving());
  check_stopper(successive_halving(), {{"minimum", 2}, {"maximum", 8}, {"eta", 2}});
}

TEST_CASE("successive_halving has rungs at r eta^k, below the end") {
  CHECK(Bench().rungs(100) == std::vector<int>{1, 3, 9, 27, 81});
  CHECK(Bench().rungs(81, 81) == std::vector<int>{1, 3, 9, 27});
  CHECK(Bench({{"minimum", 2}, {"eta", 4}}).rungs(100) == std::vector<int>{2, 8, 32});
  CHECK(Bench(Json{{"maximum", 27}}).rungs(100) == std::vector<int>{1, 3, 9});
  CHECK(Bench(Json{{"maximum", 28}}).rungs(100) == std::vector<int>{1, 3, 9, 27});
  CHECK(Bench(Json{{"minimum", 101}}).rungs(100).empty());
  CHECK(Bench({{"eta", 1000000}, {"minimum", 1000000}}).rungs(3).empty());
}

TEST_CASE("successive_halving lets the first to come go on, and whoever is the best") {
  Bench bench;
  for (TrialId trial = 0; trial < 10; ++trial)
    CHECK_FALSE(bench.stops(first_epochs(trial, 50.0 + static_cast<double>(trial), 1)));
  Bench falling;
  CHECK_FALSE(falling.stops(first_epochs(0, 50.0, 1)));
  for (TrialId trial = 1; trial < 10; ++trial)
    CHECK(falling.stops(first_epochs(trial, 50.0 - static_cast<double>(trial), 1)));
}

TEST_CASE("successive_halving lets the top 1/eta of those recorded go on") {
  for (const int eta : {2, 3, 4}) {
    Bench bench(Json{{"eta", eta}});
    std::vector<double> recorded;
    Rng rng(3);
    for (TrialId trial = 0; trial < 60; ++trial) {
      recorded.push_back(rng.uniform(0.0, 100.0));
      std::vector<double> ranked = recorded;
      std::ranges::sort(ranked, std::greater());
      const std::size_t top = (ranked.size() + static_cast<std::size_t>(eta) - 1) / static_cast<std::size_t>(eta);
      INFO("eta " << eta << ", trial " << trial);
      CHECK(bench.stops(first_epochs(trial, recorded.back(), 1)) == (recorded.back() < ranked[top - 1]));
    }
  }
}

TEST_CASE("successive_halving says who is better where") {
  Bench bench;
  for (TrialId trial = 0; trial < 3; ++trial) bench.stopper.observe(first_epochs(trial, 60.0, 3));
  bench.stopper.observe(first_epochs(3, 61.5, 3));
  const LearningCurve curve = first_epochs(4, 50.5, 3);
  bench.stopper.observe(curve);
  CHECK(bench.stopper.judge(curve).reason == "50.5 at the rung of 3 epochs, where 4 of 5 are better; one in 3 goes on");
  CHECK_FALSE(bench.stops(first_epochs(5, 61.5, 3)));  // as good as the best
}

TEST_CASE("successive_halving records a trial once on each rung") {
  Bench bench;
  for (int time = 0; time < 5; ++time) bench.stopper.observe(first_epochs(0, 90.0, 1));
  bench.stopper.observe(first_epochs(1, 80.0, 1));
  bench.stopper.observe(first_epochs(2, 70.0, 1));
  // Of four, two go on. Were trial 0 recorded five times, three of eight would, and none below 90.
  CHECK_FALSE(bench.stops(first_epochs(3, 85.0, 1)));
  LearningCurve anew = first_epochs(0, 10.0, 1);
  bench.stopper.observe(anew);  // what it was recorded with stands
  CHECK(bench.stopper.judge(anew).verdict == Verdict::go_on);
}

TEST_CASE("successive_halving judges on coming to a rung alone, at its epoch or the first report after it") {
  Bench bench;
  for (const int epochs : {1, 2, 3, 4}) bench.stopper.observe(first_epochs(0, 90.0, epochs));
  CHECK(bench.stops(curve_of(1, 10.0, {2, 4})));  // rung 3
  CHECK(bench.stops(curve_of(2, 10.0, {2})));     // rung 1
  CHECK_FALSE(bench.stops(curve_of(3, 10.0, {1, 2})));
  CHECK_FALSE(bench.stops(curve_of(4, 10.0, {3, 4, 5})));
  CHECK_FALSE(bench.stops(curve_of(5, 10.0, {2, 9})));  // the first at rung 9
  CHECK(bench.stops(curve_of(6, 5.0, {11})));           // the second
  // Neither of them came to rung 3: trial 0 and 1 are recorded there, and a third that is better than one of them.
  CHECK(bench.stops(curve_of(7, 50.0, {3})));
  CHECK_FALSE(bench.stops(curve_of(8, 80.0, {3})));  // second of four
}

TEST_CASE("successive_halving compares trainings of one fidelity") {
  Bench bench;
  LearningCurve half = first_epochs(0, 90.0, 1), resumed = first_epochs(1, 80.0, 1), poor = first_epochs(2, 10.0, 1);
  half.fidelity.data_fraction = 0.5;
  resumed.fidelity.resume_from = 7;
  bench.stopper.observe(half);
  CHECK_FALSE(bench.stops(poor));
  bench.stopper.observe(resumed);
  CHECK(bench.stops(poor));
}

TEST_CASE("successive_halving refuses rungs that never come") {
  CHECK_THROWS_WITH(Bench({{"minimum", 9}, {"maximum", 9}}),
                    ContainsSubstring("/maximum is 9; must be above minimum, 9"));
}
