// A predictor: where will this learning curve end?
//
// It is fitted on the curves of trainings that came to their end, and answers of a partial one: the mean and the spread
// of the reward after `horizon` epochs, and how probable it is that it is above a threshold. What has no answer (a flat
// curve, too few points, nothing to learn from) is no error: nothing is said, and the training goes on.
#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weft/context.hpp"
#include "weft/curve.hpp"
#include "weft/detail/boundary.hpp"

namespace weft {

struct Prediction {
  double mean = 0.0;               // reward after the horizon
  double deviation = 0.0;          // standard deviation, >= 0
  double probability_above = 0.0;  // that the reward is above the threshold

  // Of a normal distribution; without spread 1 above the mean's threshold, 0 from there on.
  static Prediction normal(double mean, double deviation, double threshold) {
    const double above = deviation > 0.0 ? 0.5 * std::erfc((threshold - mean) / (deviation * std::numbers::sqrt2))
                                         : (mean > threshold ? 1.0 : 0.0);
    return {mean, deviation, above};
  }
};

class Predictor {
 public:
  static constexpr const char* kind = "predictor";

  virtual ~Predictor() = default;
  // Learns from these finished trainings, in place of all that was learned before. May be put off until predict().
  virtual void fit(std::span<const LearningCurve> curves) = 0;
  // Nothing where nothing can be said. The same curve after the same fit, the same answer: whatever is drawn comes of
  // the context's Rng, derived anew for each call.
  virtual std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) = 0;
};

namespace detail {

template <typename T>
struct PredictorTables {
  static constexpr weft_predictor_1 predictor{
      .size = sizeof(weft_predictor_1),
      .fit =
          [](void* instance, const weft_curve* const* lent, std::uint64_t count, const weft_writer* error) {
            return guard(error, [&] {
              std::vector<LearningCurve> curves;
              curves.reserve(count);
              for (std::uint64_t i = 0; i < count; ++i) curves.push_back(to_curve(*lent[i]));
              self<T>(instance).fit(curves);
            });
          },
      .predict =
          [](void* instance, const weft_curve* partial, std::int32_t horizon, double threshold,
             const weft_prediction_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<Prediction> prediction =
                  self<T>(instance).predict(to_curve(*partial), horizon, threshold);
              if (!prediction) return;
              const weft_prediction lent{sizeof(weft_prediction), prediction->mean, prediction->deviation,
                                         prediction->probability_above};
              out->receive(out->context, &lent);
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_PREDICTOR_1 ? &predictor : nullptr; }
};

}  // namespace detail

// A predictor reached through its table.
class PredictorRef final : public Predictor {
 public:
  explicit PredictorRef(weft_handle handle)
      : name_(handle.component->name),
        instance_(handle.instance),
        table_(static_cast<const weft_predictor_1*>(handle.component->find_interface(WEFT_PREDICTOR_1))) {
    if (table_ == nullptr) throw Error(name_ + " is not a predictor: it has no " WEFT_PREDICTOR_1);
  }

  void fit(std::span<const LearningCurve> curves) override;

  // Throws Error for an answer that is no distribution.
  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override;

 private:
  std::string name_;
  void* instance_;
  const weft_predictor_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE void PredictorRef::fit(std::span<const LearningCurve> curves) {
  std::vector<std::unique_ptr<const detail::LentCurve>> lent;
  std::vector<const weft_curve*> pointers;
  for (const LearningCurve& curve : curves) {
    lent.push_back(std::make_unique<const detail::LentCurve>(curve));
    pointers.push_back(*lent.back());
  }
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_predictor_1::fit)(instance_, pointers.data(), pointers.size(), error),
                error);
}

WEFT_INLINE std::optional<Prediction> PredictorRef::predict(const LearningCurve& partial, int horizon,
                                                            double threshold) {
  const detail::LentCurve lent(partial);
  std::optional<Prediction> prediction;
  const auto sink = detail::make_sink<weft_prediction_sink, weft_prediction>([&](const weft_prediction& answer) {
    prediction = {answer.mean, answer.deviation, answer.probability_above};
  });
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_predictor_1::predict)(instance_, lent, horizon, threshold, sink, error),
                error);
  sink.finish();
  if (prediction && !(std::isfinite(prediction->mean) && prediction->deviation >= 0.0 &&
                      prediction->probability_above >= 0.0 && prediction->probability_above <= 1.0)) {
    throw Error(name_ + " predicts a mean of " + std::to_string(prediction->mean) + ", a deviation of " +
                std::to_string(prediction->deviation) + " and a probability of " +
                std::to_string(prediction->probability_above));
  }
  return prediction;
}
#endif

}  // namespace weft
