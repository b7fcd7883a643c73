// Previous builds: curves of finished trainings are shifted and stretched until they fit the beginning of a new one,
// and where the best of them end the new one will.
//
// Chandrashekaran, Lane 2017, "Speeding up Hyper-parameter Optimization by Extrapolation of Learning Curves Using
// Previous Builds". For a curve y of the epochs t <= tau and each mature curve c_j:
//
//   (a_j, b_j) = argmin sum_t (a c_j(t) + b - y_t)^2:   a_j = Cov(c_j, y) / Var(c_j),   b_j = mean(y) - a_j mean(c_j)
//   y(T)       = mean over the best-fitting curves of a_j c_j(T) + b_j
//
// Ours, as the paper's details are not known: how many are the best, or with which error; weights by error as an
// option; a_j must be positive; the variance is that of the ends among the curves plus that of the residuals. Curves
// have [0, 1] as range, and so has every end. A mature curve that was reported in other epochs is interpolated between
// its own.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weft/curves/scale.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::LearningCurve;
using weft::Prediction;

struct Point {
  int epoch;
  double value;
};
using Curve = std::vector<Point>;

// Nothing outside of the curve's epochs.
std::optional<double> value_at(const Curve& curve, int epoch) {
  const auto next = std::lower_bound(curve.begin(), curve.end(), epoch,
                                     [](const Point& point, int wanted) { return point.epoch < wanted; });
  if (next == curve.end()) return {};
  if (next->epoch == epoch) return next->value;
  if (next == curve.begin()) return {};
  const Point& before = *std::prev(next);
  const double share = static_cast<double>(epoch - before.epoch) / (next->epoch - before.epoch);
  return before.value + share * (next->value - before.value);
}

// How a mature curve continues another one.
struct Continuation {
  double squared_error;  // summed over the points
  std::size_t points;
  double end;

  double mean_squared_error() const { return squared_error / static_cast<double>(points); }
  // Two of the points went into a and b.
  double residual_variance() const { return points > 2 ? squared_error / static_cast<double>(points - 2) : 0.0; }
};

// By its values, not by a variance, which rounding may make positive.
bool flat(const Curve& curve) {
  return std::all_of(curve.begin(), curve.end(), [&](const Point& point) { return point.value == curve[0].value; });
}

// Nothing where the mature curve is too short at either end, is flat there, or falls where the other rises.
std::optional<Continuation> continued(const Curve& begun, const Curve& mature, int horizon) {
  const std::optional<double> end = value_at(mature, horizon);
  if (!end) return {};
  const auto count = static_cast<double>(begun.size());
  Curve c;
  double mean_c = 0.0, mean_y = 0.0;
  for (const Point& point : begun) {
    const std::optional<double> value = value_at(mature, point.epoch);
    if (!value) return {};
    c.push_back({point.epoch, *value});
    mean_c += *value / count;
    mean_y += point.value / count;
  }
  if (flat(c)) return {};
  double variance = 0.0, covariance = 0.0;
  for (std::size_t t = 0; t < c.size(); ++t) {
    variance += (c[t].value - mean_c) * (c[t].value - mean_c);
    covariance += (c[t].value - mean_c) * (begun[t].value - mean_y);
  }
  const double a = covariance / variance;
  if (!(a > 0.0) || !std::isfinite(a)) return {};
  const double b = mean_y - a * mean_c;
  double squared_error = 0.0;
  for (std::size_t t = 0; t < c.size(); ++t) {
    const double error = a * c[t].value + b - begun[t].value;
    squared_error += error * error;
  }
  return Continuation{squared_error, c.size(), std::clamp(a * *end + b, 0.0, 1.0)};
}

class PreviousBuilds final : public weft::Predictor {
 public:
  explicit PreviousBuilds(const weft::Context& context)
      : scale_(context),
        least_points_(context.get<std::size_t>("least_points")),
        least_curves_(context.get<std::size_t>("least_curves")),
        best_(optional<std::size_t>(context, "best")),
        largest_error_(optional<double>(context, "largest_error")),
        exponential_(context.get<std::string>("weights") == "exponential"),
        error_scale_(context.get<double>("error_scale")) {
    if (best_ && *best_ < least_curves_) {
      throw weft::InvalidInput("/best is " + std::to_string(*best_) + "; must be at least least_curves, " +
                               std::to_string(least_curves_) + ", or nothing is ever said");
    }
  }

  void fit(std::span<const LearningCurve> curves) override {
    mature_.clear();
    for (const LearningCurve& curve : curves) {
      if (std::optional<Curve> scaled = to_unit(curve)) mature_.push_back(*std::move(scaled));
    }
  }

  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    const std::optional<Curve> begun = to_unit(partial);
    if (!begun || begun->size() < least_points_ || begun->back().epoch >= horizon || flat(*begun)) return {};
    const std::vector<Continuation> best = best_continuations(*begun, horizon);
    if (best.empty() || best.size() < least_curves_) return {};

    double total = 0.0, mean = 0.0, square = 0.0, residual = 0.0;
    for (const Continuation& one : best) {
      total += weight(one, best.front());
      mean += weight(one, best.front()) * one.end;
      residual += weight(one, best.front()) * one.residual_variance();
    }
    mean /= total;
    for (const Continuation& one : best) square += weight(one, best.front()) * (one.end - mean) * (one.end - mean);
    const double deviation = std::sqrt((square + residual) / total);
    return Prediction::normal(scale_.to_reward(mean), scale_.to_reward_width(deviation), threshold);
  }

 private:
  template <typename T>
  static std::optional<T> optional(const weft::Context& context, const char* name) {
    return context.configuration().at(name).is_null() ? std::nullopt : std::optional(context.get<T>(name));
  }

  // Nothing of a curve with a point that is no number or lies outside of the range: it diverged.
  std::optional<Curve> to_unit(const LearningCurve& curve) const {
    Curve scaled;
    for (std::size_t i = 0; i < curve.size(); ++i) {
      const double value = scale_.to_unit(curve.rewards[i]);
      if (!(value >= 0.0 && value <= 1.0)) return {};
      scaled.push_back({curve.epochs[i], value});
    }
    return scaled;
  }

  // Relative to the best, so that not all weights vanish.
  double weight(const Continuation& one, const Continuation& best) const {
    return exponential_ ? std::exp((best.squared_error - one.squared_error) / error_scale_) : 1.0;
  }

  // The best first; of equals the one that was fitted first.
  std::vector<Continuation> best_continuations(const Curve& begun, int horizon) const {
    std::vector<Continuation> fits;
    for (const Curve& mature : mature_) {
      const std::optional<Continuation> fit = continued(begun, mature, horizon);
      if (!fit) continue;
      if (largest_error_ && !(std::sqrt(fit->mean_squared_error()) < *largest_error_)) continue;
      fits.push_back(*fit);
    }
    std::stable_sort(fits.begin(), fits.end(), [](const Continuation& one, const Continuation& other) {
      return one.squared_error < other.squared_error;
    });
    if (best_ && fits.size() > *best_) fits.resize(*best_);
    return fits;
  }

  weft::curves::Scale scale_;
  std::size_t least_points_;
  std::size_t least_curves_;
  std::optional<std::size_t> best_;
  std::optional<double> largest_error_;
  bool exponential_;
  double error_scale_;
  std::vector<Curve> mature_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PreviousBuilds>("previous_builds"))
