// The contract suite of predictors: what every plugin of kind `predictor` must do, whatever it believes in.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/predictor_contract.hpp"
#endif

#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "weft/predictor.hpp"
#include "weft/testing/curves.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

struct PredictorCheck {
  Json study = {{"objectives", {{{"name", "accuracy"}, {"direction", "maximize"}, {"range", {0.0, 100.0}}}}},
                {"slots", 1}};
  int curves = 30;      // that it is fitted on
  int horizon = 30;     // of their epochs
  double worst = 10.0;  // mean absolute error of what it says at half of the length, in percent; chance is about 10
};

namespace predictor_contract {

inline void require_sound(const std::optional<Prediction>& prediction) {
  if (!prediction) return;
  REQUIRE(std::isfinite(prediction->mean));
  REQUIRE(prediction->deviation >= 0.0);
  REQUIRE((prediction->probability_above >= 0.0 && prediction->probability_above <= 1.0));
}

inline bool same(const std::optional<Prediction>& a, const std::optional<Prediction>& b) {
  if (!a || !b) return !a && !b;
  return a->mean == b->mean && a->deviation == b->deviation && a->probability_above == b->probability_above;
}

// What no model can be made of: it is answered, or nothing is said.
inline std::vector<LearningCurve> odd_curves(int horizon) {
  const auto of = [&](std::vector<double> rewards) {
    LearningCurve curve{.trial = 1000, .rewards = std::move(rewards), .horizon = horizon};
    for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
    return curve;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> longer(static_cast<std::size_t>(2 * horizon));
  for (std::size_t i = 0; i < longer.size(); ++i) longer[i] = 90.0 - 50.0 / static_cast<double>(i + 1);
  return {of({}),
          of({10.0}),
          of({10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0}),
          of({80.0, 60.0, 40.0, 20.0, 10.0, 5.0, 2.0, 1.0}),
          of({10.0, nan, 30.0, nan, 50.0, 60.0}),
          of({1e300, -1e300, 1e300}),
          of(longer)};
}

}  // namespace predictor_contract

inline void check_predictor(const Plugin& plugin, const Json& args = Json::object(), const PredictorCheck& check = {}) {
  using namespace predictor_contract;
  INFO("predictor " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "predictor");
  const Surroundings surroundings{.study = check.study, .rng = Rng(7)};
  const Instance instance(plugin, args, surroundings);
  PredictorRef predictor(instance.handle());
  const auto half = static_cast<std::size_t>(check.horizon / 2);

  const std::vector<LearningCurve> unknown = rising_curves(8, check.horizon, 2);
  for (const LearningCurve& curve : unknown) {  // before it was fitted
    require_sound(predictor.predict(shortened(curve, half), check.horizon, 70.0));
  }

  const std::vector<LearningCurve> known = rising_curves(check.curves, check.horizon, 1);
  predictor.fit(known);
  double error = 0.0;
  int answers = 0;
  for (const LearningCurve& curve : unknown) {
    const std::optional<Prediction> prediction = predictor.predict(shortened(curve, half), check.horizon, 70.0);
    require_sound(prediction);
    INFO("the same curve, the same answer");
    REQUIRE(same(predictor.predict(shortened(curve, half), check.horizon, 70.0), prediction));
    if (!prediction) continue;
    ++answers;
    error += std::abs(prediction->mean - curve.rewards.back());
    const std::optional<Prediction> above = predictor.predict(shortened(curve, half), check.horizon, 99.9);
    const std::optional<Prediction> below = predictor.predict(shortened(curve, half), check.horizon, 1.0);
    if (above && below) REQUIRE(above->probability_above <= below->probability_above);
  }
  INFO(answers << " of " << unknown.size() << " curves were answered, with a mean absolute error of "
               << error / answers);
  REQUIRE(answers > 0);
  REQUIRE(error / answers <= check.worst);

  const Instance twin(plugin, args, surroundings);
  PredictorRef again(twin.handle());
  again.fit(known);
  REQUIRE(same(again.predict(shortened(unknown[0], half), check.horizon, 70.0),
               predictor.predict(shortened(unknown[0], half), check.horizon, 70.0)));
  // Another fit takes the place of the first, whatever was asked in between.
  predictor.fit(rising_curves(check.curves, check.horizon, 3));
  predictor.predict(shortened(unknown[1], half), check.horizon, 70.0);
  predictor.fit(known);
  REQUIRE(same(again.predict(shortened(unknown[2], half), check.horizon, 70.0),
               predictor.predict(shortened(unknown[2], half), check.horizon, 70.0)));

  for (const LearningCurve& odd : odd_curves(check.horizon)) {
    INFO("rewards " << Json(odd.rewards).dump());
    require_sound(predictor.predict(odd, check.horizon, 50.0));
    std::vector<LearningCurve> with = known;
    with.push_back(odd);
    predictor.fit(with);
    require_sound(predictor.predict(shortened(unknown[0], half), check.horizon, 50.0));
  }
  LearningCurve bare = shortened(unknown[0], half);
  bare.features = Json::object();
  require_sound(predictor.predict(bare, check.horizon, 50.0));
  predictor.fit({});
  require_sound(predictor.predict(shortened(unknown[0], half), check.horizon, 50.0));
}

}  // namespace weft::testing
