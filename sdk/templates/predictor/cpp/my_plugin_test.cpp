#include "weft/testing/catch.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of predictors") { check_predictor(Plugin::open("predictor", "my_plugin")); }

TEST_CASE("adds the mean gain of finished trainings") {
  const Instance instance(Plugin::open("predictor", "my_plugin"), {{"least_curves", 2}});
  PredictorRef predictor(instance.handle());
  const std::vector<LearningCurve> finished = {{.epochs = {1, 2}, .rewards = {10.0, 16.0}},
                                               {.epochs = {1, 2}, .rewards = {20.0, 28.0}}};
  predictor.fit(finished);
  const auto prediction = predictor.predict({.epochs = {1}, .rewards = {30.0}}, 2, 36.0);
  REQUIRE(prediction);
  CHECK(prediction->mean == 37.0);  // 30 + (6 + 8) / 2
  CHECK(prediction->deviation == std::sqrt(2.0));
  CHECK_FALSE(predictor.predict({.epochs = {1}, .rewards = {30.0}}, 3, 36.0));  // nobody went so far
}
