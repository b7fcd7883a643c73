// Early stopping: a training is stopped when its best reward has not improved by more than min_delta for `patience`
// epochs. What it has come to is what it is worth, so its best reward is what the optimizer is told.
//
// Prechelt 1998, "Early Stopping - But When?", compares such criteria; this one is the simplest, as Keras's
// EarlyStopping has it: an improvement is measured from the last one, so many small ones count once they add up. A
// training at its end is left alone.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

#include "weft/plugin.hpp"

namespace {

using weft::Judgement;
using weft::LearningCurve;

class Patience final : public weft::Stopper {
 public:
  explicit Patience(const weft::Context& context)
      : patience_(context.get<std::int32_t>("patience")),
        min_delta_(context.get<double>("min_delta")),
        grace_(context.get<std::int32_t>("grace")),
        rewards_(context.get<std::string>("reward") == "best") {}

  Judgement judge(const LearningCurve& curve) override {
    if (curve.empty()) return {};
    const std::int32_t epoch = curve.epochs.back();
    if (curve.horizon > 0 && epoch >= curve.horizon) return {};
    std::size_t improved = 0;
    for (std::size_t i = 1; i < curve.size(); ++i) {
      if (curve.rewards[i] > curve.rewards[improved] + min_delta_) improved = i;
    }
    const std::int32_t without = epoch - std::max(curve.epochs[improved], grace_);
    if (without < patience_) return {};
    const double best = *std::max_element(curve.rewards.begin(), curve.rewards.end());
    std::ostringstream reason;
    reason << "no improvement since epoch " << curve.epochs[improved] << ", " << curve.rewards[improved]
           << "; the patience of " << patience_ << " epochs has ended with epoch " << epoch;
    return Judgement::stop(reason.str(), rewards_ ? std::optional(best) : std::nullopt);
  }

 private:
  std::int32_t patience_;  // epochs
  double min_delta_;
  std::int32_t grace_;  // epochs
  bool rewards_;        // what is stopped gets its best reward
};

}  // namespace

WEFT_PLUGIN(weft::component<Patience>("patience"))
