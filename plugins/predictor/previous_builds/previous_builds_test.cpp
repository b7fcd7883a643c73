#include <cmath>
#include <limits>

#include "tests/catch.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

using Rewards = std::vector<double>;

Plugin previous_builds() { return Plugin::open("predictor", "previous_builds"); }

LearningCurve build(Rewards rewards, std::vector<std::int32_t> epochs = {}) {
  LearningCurve curve{.trial = 1, .epochs = std::move(epochs), .rewards = std::move(rewards), .horizon = 5};
  for (std::size_t i = curve.epochs.size(); i < curve.rewards.size(); ++i)
    curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
  return curve;
}

std::optional<Prediction> predicted(const Json& args, const std::vector<LearningCurve>& mature,
                                    const LearningCurve& partial, double threshold = 50.0) {
  const Instance instance(previous_builds(), args, {.study = PredictorCheck{}.study});
  PredictorRef predictor(instance.handle());
  predictor.fit(mature);
  return predictor.predict(partial, 5, threshold);
}

const LearningCurve begun = build({20.0, 30.0, 40.0});
// What fits the beginning exactly: half of it and 10; the ends are 60 and 50.
const LearningCurve twice = build({20.0, 40.0, 60.0, 80.0, 100.0});
const LearningCurve alike = build({20.0, 30.0, 40.0, 45.0, 50.0});
// What does not.
const LearningCurve other = build({10.0, 50.0, 70.0, 80.0, 90.0});

}  // namespace

TEST_CASE("previous_builds keeps the contract of predictors") {
  check_predictor(previous_builds());
  check_predictor(previous_builds(), {{"weights", "exponential"}, {"error_scale", 0.001}, {"best", nullptr}});
}

TEST_CASE("previous_builds continues a curve as shifted and stretched ones do") {
  // a = 1/2, b = 10: the end is 60.
  const std::optional<Prediction> one = predicted({{"least_curves", 1}}, {twice}, begun, 59.0);
  CHECK(one->mean == Approx(60.0));
  CHECK(one->deviation == Approx(0.0).margin(1e-6));
  CHECK(one->probability_above == 1.0);
  // Ends of 60 and 50: the deviation is theirs.
  const std::optional<Prediction> two = predicted({}, {twice, alike}, begun, 60.0);
  CHECK(two->mean == Approx(55.0));
  CHECK(two->deviation == Approx(5.0));
  CHECK(two->probability_above == Approx(0.5 * std::erfc(1.0 / std::sqrt(2.0))));
}

TEST_CASE("previous_builds adds the variance of the residuals") {
  // c = 10, 50, 70, of mean 130 / 3 and Var 5600 / 3; Cov with 20, 30, 40 is 600: a = 9 / 28, b = 30 - 130 a / 3.
  // The errors a c + b - y are -5 / 7, 15 / 7, -10 / 7; their squares sum to 50 / 7, and one degree of freedom is left.
  const double a = 9.0 / 28.0;
  const std::optional<Prediction> one = predicted({{"least_curves", 1}}, {other}, begun);
  CHECK(one->mean == Approx(30.0 + a * (90.0 - 130.0 / 3.0)));
  CHECK(one->deviation == Approx(std::sqrt(50.0 / 7.0)));
}

TEST_CASE("previous_builds averages the best") {
  const double worst_end = 30.0 + 9.0 / 28.0 * (90.0 - 130.0 / 3.0);
  CHECK(predicted({{"best", 2}}, {other, twice, alike}, begun)->mean == Approx(55.0));
  CHECK(predicted({{"best", nullptr}}, {other, twice, alike}, begun)->mean == Approx((110.0 + worst_end) / 3.0));
  // The root mean square error of the worst is 1.543 of 100.
  CHECK(predicted({{"largest_error", 0.0155}}, {other, twice, alike}, begun)->mean ==
        Approx((110.0 + worst_end) / 3.0));
  CHECK(predicted({{"largest_error", 0.0154}}, {other, twice, alike}, begun)->mean == Approx(55.0));
  // SSE is 50 / 7 of 100^2.
  const double weight = std::exp(-50.0 / 7.0 / 1e4 / 0.001);
  CHECK(predicted({{"weights", "exponential"}, {"error_scale", 0.001}}, {other, twice, alike}, begun)->mean ==
        Approx((110.0 + weight * worst_end) / (2.0 + weight)));
}

TEST_CASE("previous_builds keeps within the range") {
  CHECK(predicted({{"least_curves", 1}}, {build({1.0, 2.0, 3.0, 20.0, 30.0})}, begun)->mean == 100.0);
  const Json range = {{"least_curves", 1}, {"range", {0.0, 55.0}}};
  CHECK(predicted(range, {build({1.0, 2.0, 3.0, 20.0, 30.0})}, begun)->mean == 55.0);
}

TEST_CASE("previous_builds interpolates curves of other epochs") {
  const LearningCurve sparse = build({20.0, 60.0, 100.0}, {1, 3, 5});
  CHECK(predicted({{"least_curves", 1}}, {sparse}, begun)->mean == Approx(60.0));
  const LearningCurve late = build({40.0, 60.0, 80.0, 100.0}, {2, 3, 4, 5});
  CHECK_FALSE(predicted({{"least_curves", 1}}, {late}, begun));
}

TEST_CASE("previous_builds says nothing where there is nothing to go by") {
  const Json one = {{"least_curves", 1}};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(predicted(one, {}, begun));
  CHECK_FALSE(predicted({}, {twice}, begun));                                   // too few curves
  CHECK_FALSE(predicted(one, {build({20.0, 30.0, 40.0, 50.0})}, begun));        // not come to the horizon
  CHECK_FALSE(predicted(one, {build({10.0, 10.0, 10.0, 20.0, 30.0})}, begun));  // Var = 0
  CHECK_FALSE(predicted(one, {build({60.0, 40.0, 20.0, 20.0, 20.0})}, begun));  // a < 0
  CHECK_FALSE(predicted(one, {build({20.0, 40.0, nan, 80.0, 100.0})}, begun));
  CHECK_FALSE(predicted(one, {twice}, build({20.0, nan, 40.0})));
  CHECK_FALSE(predicted(one, {twice}, build({10.1, 10.1, 10.1})));
  CHECK_FALSE(predicted(one, {twice}, build({20.0, 30.0})));
  CHECK(predicted({{"least_curves", 1}, {"least_points", 2}}, {twice}, build({20.0, 30.0}))->mean == Approx(60.0));
  CHECK_FALSE(predicted(one, {twice}, build({20.0, 30.0, 40.0, 50.0, 60.0})));  // it is at the horizon
}

TEST_CASE("previous_builds refuses arguments with which nothing would ever be said") {
  CHECK_THROWS_WITH(predicted({{"best", 1}}, {}, begun),
                    ContainsSubstring("/best is 1; must be at least least_curves, 2"));
  const Instance instance(previous_builds(), {{"range", {0.0, 1.0}}});
  CHECK_THROWS_WITH(Instance(previous_builds(), {}), ContainsSubstring("/range is not given"));
}
