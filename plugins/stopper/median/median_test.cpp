#include "tests/catch.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin median() { return Plugin::open("stopper", "median"); }

LearningCurve curve_of(std::vector<double> rewards, int horizon = 9) {
  LearningCurve curve{.trial = 9, .rewards = std::move(rewards), .horizon = horizon};
  for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
  return curve;
}

// The verdict on a training among completed ones.
Judgement judged(const Json& args, const std::vector<LearningCurve>& completed, const LearningCurve& curve) {
  const Instance instance(median(), args);
  StopperRef stopper(instance.handle());
  for (const LearningCurve& whole : completed) stopper.end(whole, TrialState::complete, whole.rewards.back());
  stopper.observe(curve);
  return stopper.judge(curve);
}

bool stops(const Json& args, const std::vector<LearningCurve>& completed, const LearningCurve& curve) {
  return judged(args, completed, curve).verdict == Verdict::stop;
}

// After two epochs: running averages of 1.5, 3 and 4.5; rewards of 2, 4 and 6.
const std::vector<LearningCurve> three = {curve_of({1, 2, 3}), curve_of({2, 4, 6}), curve_of({3, 6, 9})};
const Json running_average = {{"startup_trials", 3}};
const Json at_step = {{"startup_trials", 3}, {"rule", "at_step"}};

}  // namespace

TEST_CASE("median keeps the contract of stoppers") {
  check_stopper(median());
  check_stopper(median(), {{"rule", "at_step"}, {"startup_trials", 2}, {"grace", 3}});
}

TEST_CASE("median stops what is strictly below the median of the running averages") {
  CHECK_FALSE(stops(running_average, three, curve_of({1.0, 3.0})));
  const Judgement judgement = judged(running_average, three, curve_of({1.0, 2.99}));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason ==
        "the best after 2 epochs, 2.99, is below the median of 3 completed trials' running averages, 3");
  CHECK_FALSE(judgement.predicted.has_value());
}

TEST_CASE("median may compare with the rewards after the same epoch") {
  CHECK(stops(at_step, three, curve_of({1.0, 3.99})));
  CHECK_FALSE(stops(at_step, three, curve_of({1.0, 4.0})));
}

TEST_CASE("median takes the best of the training so far") {
  CHECK_FALSE(stops(running_average, three, curve_of({3.0, 1.0})));
  CHECK_FALSE(stops(at_step, three, curve_of({4.0, 1.0})));
}

TEST_CASE("median is the mean of the middle two of an even number") {
  std::vector<LearningCurve> four = three;
  four.push_back(curve_of({8, 8, 8}));  // running averages 1.5, 3, 4.5, 8
  CHECK_FALSE(stops(running_average, four, curve_of({1.0, 3.75})));
  CHECK(stops(running_average, four, curve_of({1.0, 3.74})));
}

TEST_CASE("median waits for completed trials that came as far") {
  const Json one = {{"startup_trials", 1}, {"rule", "at_step"}};
  CHECK_FALSE(stops(one, {}, curve_of({0.0})));
  CHECK_FALSE(stops({{"startup_trials", 4}}, three, curve_of({0.0})));
  CHECK_FALSE(stops(one, {curve_of({5.0})}, curve_of({1.0, 2.0})));                // ended after one epoch
  CHECK(stops({{"startup_trials", 1}}, {curve_of({5.0})}, curve_of({1.0, 2.0})));  // its average stands
  LearningCurve late = curve_of({5.0, 5.0});
  late.epochs = {3, 4};
  CHECK_FALSE(stops({{"startup_trials", 1}}, {late}, curve_of({1.0, 2.0})));
  CHECK(stops({{"startup_trials", 1}}, {late}, curve_of({1.0, 2.0, 3.0})));
}

TEST_CASE("median learns nothing from trials that are not complete") {
  const Instance instance(median(), {{"startup_trials", 1}});
  StopperRef stopper(instance.handle());
  stopper.end(curve_of({9.0, 9.0}), TrialState::pruned, {});
  stopper.end(curve_of({9.0, 9.0}), TrialState::fail, {});
  stopper.end(curve_of({}), TrialState::complete, 9.0);  // a result that was known already
  CHECK(stopper.judge(curve_of({1.0})).verdict == Verdict::go_on);
}

TEST_CASE("median leaves trainings alone up to the grace, and at their end") {
  Json args = running_average;
  args["grace"] = 2;
  CHECK_FALSE(stops(args, three, curve_of({0.0, 0.0})));
  CHECK(stops(args, three, curve_of({0.0, 0.0, 0.0})));
  CHECK_FALSE(stops(args, three, curve_of({0.0, 0.0, 0.0}, 3)));
  CHECK(stops(args, three, curve_of({0.0, 0.0, 0.0}, 0)));  // where the end is not known
}

TEST_CASE("median compares trainings of one fidelity") {
  std::vector<LearningCurve> resumed = three;
  for (LearningCurve& curve : resumed) curve.fidelity = {.epochs = 9, .resume_from = 1};
  LearningCurve poor = curve_of({0.0, 0.0});
  CHECK_FALSE(stops(running_average, resumed, poor));
  poor.fidelity.epochs = 9;
  CHECK(stops(running_average, resumed, poor));
}
