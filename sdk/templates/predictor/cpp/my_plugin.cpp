// my_plugin: a curve ends as far above its last point as finished trainings ended above theirs, at the same epoch.
//
// fit() is handed all finished trainings, whenever there are more. What has no answer is no error: predict() then says
// nothing, and the training goes on.

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "weft/plugin.hpp"

namespace {

// The reward after so many epochs, if the curve has it.
std::optional<double> reward_at(const weft::LearningCurve& curve, int epoch) {
  const auto found = std::find(curve.epochs.begin(), curve.epochs.end(), epoch);
  if (found == curve.epochs.end()) return {};
  return curve.rewards[static_cast<std::size_t>(found - curve.epochs.begin())];
}

class MyPlugin final : public weft::Predictor {
 public:
  explicit MyPlugin(const weft::Context& context) : least_curves_(context.get<std::size_t>("least_curves")) {}

  void fit(std::span<const weft::LearningCurve> curves) override { curves_.assign(curves.begin(), curves.end()); }

  std::optional<weft::Prediction> predict(const weft::LearningCurve& partial, int horizon, double threshold) override {
    if (partial.empty() || partial.epochs.back() >= horizon || !std::isfinite(partial.rewards.back())) return {};
    std::vector<double> gains;
    for (const weft::LearningCurve& curve : curves_) {
      const auto then = reward_at(curve, partial.epochs.back()), end = reward_at(curve, horizon);
      if (then && end && std::isfinite(*end - *then)) gains.push_back(*end - *then);
    }
    if (gains.size() < least_curves_) return {};
    double mean = 0.0, variance = 0.0;
    for (const double gain : gains) mean += gain / static_cast<double>(gains.size());
    for (const double gain : gains) variance += (gain - mean) * (gain - mean) / static_cast<double>(gains.size() - 1);
    const double end = partial.rewards.back() + mean;
    if (!std::isfinite(end) || !std::isfinite(variance)) return {};
    return weft::Prediction::normal(end, std::sqrt(variance), threshold);
  }

 private:
  std::size_t least_curves_;
  std::vector<weft::LearningCurve> curves_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
