#include "tests/catch.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin patience() { return Plugin::open("stopper", "patience"); }

LearningCurve curve_of(std::vector<double> rewards, int horizon = 0) {
  LearningCurve curve{.trial = 1, .rewards = std::move(rewards), .horizon = horizon};
  for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
  return curve;
}

Judgement judged(const Json& args, const LearningCurve& curve) {
  const Instance instance(patience(), args);
  StopperRef stopper(instance.handle());
  stopper.observe(curve);
  return stopper.judge(curve);
}

bool stops(const Json& args, const LearningCurve& curve) { return judged(args, curve).verdict == Verdict::stop; }

}  // namespace

TEST_CASE("patience keeps the contract of stoppers") {
  check_stopper(patience(), {{"patience", 2}});
  StopperCheck longer_than_trainings;
  longer_than_trainings.stops = false;  // they have 12 epochs and rise until the last
  check_stopper(patience(), Json::object(), longer_than_trainings);
}

TEST_CASE("patience stops after so many epochs without an improvement") {
  const Json args = {{"patience", 3}};
  CHECK_FALSE(stops(args, curve_of({10, 60.5, 50, 40})));
  const Judgement judgement = judged(args, curve_of({10, 60.5, 50, 40, 60.5}));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.reason == "no improvement since epoch 2, 60.5; the patience of 3 epochs has ended with epoch 5");
  CHECK(judgement.predicted == 60.5);
  CHECK_FALSE(stops(args, curve_of({10, 60.5, 50, 40, 60.6})));
  CHECK_FALSE(judged({{"patience", 3}, {"reward", "none"}}, curve_of({1, 1, 1, 1})).predicted.has_value());
}

TEST_CASE("patience needs improvements above min_delta, which small ones add up to") {
  const Json args = {{"patience", 3}, {"min_delta", 1.0}};
  CHECK(stops(args, curve_of({10, 10.25, 10.5, 11})));
  CHECK_FALSE(stops(args, curve_of({10, 10.25, 10.5, 11.25})));
  const Judgement judgement = judged(args, curve_of({10, 10.25, 10.75, 10.5}));
  CHECK(judgement.verdict == Verdict::stop);
  CHECK(judgement.predicted == 10.75);  // the best, though it was no improvement
}

TEST_CASE("patience begins after the grace") {
  const Json args = {{"patience", 3}, {"grace", 4}};
  CHECK_FALSE(stops(args, curve_of({10, 5, 5, 5, 5, 5})));
  CHECK(stops(args, curve_of({10, 5, 5, 5, 5, 5, 5})));
  CHECK_FALSE(stops(args, curve_of({10, 5, 5, 5, 11, 5, 5})));
}

TEST_CASE("patience counts epochs, not reports") {
  LearningCurve curve = curve_of({10, 5});
  curve.epochs = {2, 5};
  CHECK(stops({{"patience", 3}}, curve));
  CHECK_FALSE(stops({{"patience", 4}}, curve));
}

TEST_CASE("patience leaves a training at its end alone") {
  CHECK_FALSE(stops({{"patience", 3}}, curve_of({4, 3, 2, 1}, 4)));
  CHECK(stops({{"patience", 3}}, curve_of({4, 3, 2, 1}, 5)));
}
