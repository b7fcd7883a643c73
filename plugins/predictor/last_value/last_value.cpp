// The last value: a training is said to end with the reward that it has now.
//
// The baseline that every model of learning curves is compared with, and a strong one (Wistuba, Rawat, Pedapati 2019,
// "A Survey on Neural Architecture Search", on early termination). One outlier misleads it less where it takes the mean
// or the largest of the last few points.
//
// How far it is off is learned of trainings that came to their end: the root mean square of what they had yet to gain
// when they had come as far as this one.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weft/plugin.hpp"

namespace {

using weft::LearningCurve;
using weft::Prediction;

// The rewards of the epochs up to this one.
std::span<const double> rewards_until(const LearningCurve& curve, std::int32_t epoch) {
  const auto end = std::upper_bound(curve.epochs.begin(), curve.epochs.end(), epoch);
  return std::span(curve.rewards).first(static_cast<std::size_t>(end - curve.epochs.begin()));
}

class LastValue final : public weft::Predictor {
 public:
  explicit LastValue(const weft::Context& context)
      : last_(context.get<std::size_t>("last")),
        aggregate_(context.get<std::string>("aggregate")),
        least_curves_(context.get<int>("least_curves")) {}

  void fit(std::span<const LearningCurve> curves) override { finished_.assign(curves.begin(), curves.end()); }

  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    const std::span<const double> rewards = rewards_until(partial, horizon);
    if (rewards.empty()) return {};
    const double value = aggregate(rewards);
    const std::optional<double> deviation = deviation_at(partial.epochs[rewards.size() - 1], horizon);
    if (!std::isfinite(value) || !deviation || !std::isfinite(*deviation)) return {};
    return Prediction::normal(value, *deviation, threshold);
  }

 private:
  double aggregate(std::span<const double> rewards) const {
    if (aggregate_ == "last") return rewards.back();
    const std::span<const double> last = rewards.last(std::min(last_, rewards.size()));
    if (aggregate_ == "mean") return std::accumulate(last.begin(), last.end(), 0.0) / static_cast<double>(last.size());
    return *std::max_element(last.begin(), last.end());
  }

  // Nothing where too few finished trainings tell; 0 where none needs to.
  std::optional<double> deviation_at(std::int32_t epoch, int horizon) const {
    double squares = 0.0;
    int count = 0;
    for (const LearningCurve& curve : finished_) {
      const std::span<const double> whole = rewards_until(curve, horizon);
      const std::span<const double> begun = rewards_until(curve, epoch);
      if (begun.empty() || curve.epochs[whole.size() - 1] != horizon) continue;
      const double residual = whole.back() - aggregate(begun);
      if (!std::isfinite(residual)) continue;  // of a training that diverged
      squares += residual * residual;
      ++count;
    }
    if (count < least_curves_) return {};
    return count == 0 ? 0.0 : std::sqrt(squares / count);
  }

  std::size_t last_;
  std::string aggregate_;
  int least_curves_;
  std::vector<LearningCurve> finished_;
};

}  // namespace

WEFT_PLUGIN(weft::component<LastValue>("last_value"))
