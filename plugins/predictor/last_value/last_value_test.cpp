#include <cmath>
#include <limits>

#include "tests/catch.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Plugin last_value() { return Plugin::open("predictor", "last_value"); }

LearningCurve last_value_curve(std::vector<double> rewards) {
  LearningCurve curve{.trial = 1, .rewards = std::move(rewards), .horizon = 4};
  for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
  return curve;
}

std::optional<Prediction> predicted(const Json& args, const std::vector<LearningCurve>& finished,
                                    const LearningCurve& partial, double threshold = 50.0) {
  Json all = {{"least_curves", 0}};
  if (args.is_object()) all.update(args);
  const Instance instance(last_value(), all);
  PredictorRef predictor(instance.handle());
  predictor.fit(finished);
  return predictor.predict(partial, 4, threshold);
}

}  // namespace

TEST_CASE("last_value keeps the contract of predictors") {
  check_predictor(last_value());
  check_predictor(last_value(), {{"aggregate", "mean"}, {"last", 2}});
  check_predictor(last_value(), {{"aggregate", "max"}});
}

TEST_CASE("last_value predicts the last reward, or the mean or the largest of the last few") {
  const LearningCurve curve = last_value_curve({90.0, 10.0, 60.0, 40.0});
  CHECK(predicted({}, {}, curve)->mean == 40.0);
  CHECK(predicted({{"aggregate", "mean"}}, {}, curve)->mean == Approx(110.0 / 3.0));
  CHECK(predicted({{"aggregate", "max"}}, {}, curve)->mean == 60.0);
  CHECK(predicted({{"aggregate", "max"}, {"last", 1000}}, {}, curve)->mean == 90.0);
}

TEST_CASE("last_value takes the spread from what finished trainings gained from the same epoch on") {
  const std::vector<LearningCurve> finished = {last_value_curve({10.0, 20.0, 30.0, 50.0}),
                                               last_value_curve({20.0, 50.0, 60.0, 60.0}),
                                               last_value_curve({1.0, 2.0, 3.0})};  // did not come to the horizon
  const std::optional<Prediction> of_two = predicted({}, finished, last_value_curve({30.0, 40.0}), 60.0);
  CHECK(of_two->mean == 40.0);
  CHECK(of_two->deviation == Approx(std::sqrt((30.0 * 30.0 + 10.0 * 10.0) / 2.0)));
  CHECK(of_two->probability_above == Approx(0.5 * std::erfc(20.0 / std::sqrt(2.0 * 500.0))));
  CHECK(predicted({}, finished, last_value_curve({30.0, 40.0, 41.0}))->deviation == Approx(std::sqrt(200.0)));
  CHECK(predicted({{"aggregate", "mean"}, {"last", 2}}, finished, last_value_curve({30.0, 40.0}))->deviation ==
        Approx(std::sqrt((35.0 * 35.0 + 25.0 * 25.0) / 2.0)));
}

TEST_CASE("last_value says nothing while too few trainings have finished") {
  const LearningCurve begun = last_value_curve({30.0, 40.0});
  std::vector<LearningCurve> finished;
  const Json args = {{"least_curves", last_value().configuration(Json::object()).at("least_curves")}};
  for (int count = 0; count < 3; ++count) {
    CHECK_FALSE(predicted(args, finished, begun));
    finished.push_back(last_value_curve({10.0, 20.0, 30.0, 50.0}));
  }
  CHECK(predicted(args, finished, begun)->deviation == 30.0);
}

TEST_CASE("last_value that needs none is certain while no training has finished") {
  const LearningCurve curve = last_value_curve({30.0, 40.0});
  CHECK(predicted({}, {}, curve, 39.0)->deviation == 0.0);
  CHECK(predicted({}, {}, curve, 39.0)->probability_above == 1.0);
  CHECK(predicted({}, {}, curve, 40.0)->probability_above == 0.0);
}

TEST_CASE("last_value says nothing of no reward and of one that is no number") {
  CHECK_FALSE(predicted({}, {}, last_value_curve({})));
  CHECK_FALSE(predicted({}, {}, last_value_curve({30.0, std::numeric_limits<double>::quiet_NaN()})));
}

TEST_CASE("last_value does not look beyond the horizon, nor at trainings that diverged") {
  CHECK(predicted({}, {}, last_value_curve({10.0, 20.0, 30.0, 40.0, 50.0}))->mean == 40.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<LearningCurve> finished = {last_value_curve({10.0, 20.0, 30.0, 50.0}),
                                               last_value_curve({10.0, 20.0, 30.0, nan})};
  CHECK(predicted({}, finished, last_value_curve({10.0, 20.0}))->deviation == 30.0);
}
