// Learning curves for tests: rise towards an end, with noise.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "weft/curve.hpp"
#include "weft/rng.hpp"

namespace weft::testing {

// `points` of `horizon` epochs, in percent: end - fall * epoch^-decay.
inline LearningCurve rising_curve(TrialId trial, int points, int horizon, Rng rng, double noise = 0.2) {
  LearningCurve curve{.trial = trial, .horizon = horizon};
  const double end = rng.uniform(60.0, 95.0), fall = rng.uniform(20.0, 50.0), decay = rng.uniform(0.4, 1.2);
  for (int epoch = 1; epoch <= points; ++epoch) {
    curve.epochs.push_back(epoch);
    curve.rewards.push_back(end - fall * std::pow(epoch, -decay) + noise * rng.normal());
  }
  const auto parameters = static_cast<std::int64_t>(1e4 * std::exp((end - 60.0) / 10.0));
  curve.features = {{"parameters", parameters},
                    {"multiply_adds", 50 * parameters},
                    {"layers", 5 + static_cast<int>(end) % 7},
                    {"operations", {"input", "conv2d", "batch_norm", "relu", "global_avg_pool", "linear"}},
                    {"recipe", {{"lr", fall / 1000.0}}}};
  if (!curve.rewards.empty())
    curve.report = {{"epoch", points},
                    {"epochs", horizon},
                    {"validation_accuracy", curve.rewards.back()},
                    {"train_loss", 1.0 / points}};
  return curve;
}

inline LearningCurve shortened(LearningCurve curve, std::size_t points) {
  if (points < curve.size()) {
    curve.epochs.resize(points);
    curve.rewards.resize(points);
  }
  if (points == 0) curve.report = Json();
  return curve;
}

inline std::vector<LearningCurve> rising_curves(int count, int horizon, std::uint64_t seed, double noise = 0.2) {
  std::vector<LearningCurve> curves;
  for (int i = 0; i < count; ++i)
    curves.push_back(
        rising_curve(i, horizon, horizon, Rng(seed).derive("curve", static_cast<std::uint64_t>(i)), noise));
  return curves;
}

}  // namespace weft::testing
