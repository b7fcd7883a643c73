// The median stopping rule: a training is stopped if its best reward so far is strictly worse than the median of the
// completed trials' running averages up to that epoch.
//
// Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization", section 3.2.2. With rule at_step the
// median is that of the completed trials' rewards after that epoch, as Optuna's MedianPruner has it. Trainings are
// compared with those of the same fidelity. One at its end is left alone.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "weft/curves/rung.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::Judgement;
using weft::LearningCurve;

// The mean of the middle two where there is no one in the middle. Not of nothing.
double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*std::max_element(values.begin(), middle) + *middle);
}

class Median final : public weft::Stopper {
 public:
  explicit Median(const weft::Context& context)
      : running_average_(context.get<std::string>("rule") == "running_average"),
        grace_(context.get<int>("grace")),
        startup_trials_(context.get<std::size_t>("startup_trials")) {}

  void end(const LearningCurve& curve, weft::TrialState state, std::optional<double>) override {
    if (state != weft::TrialState::complete || curve.empty()) return;
    Values values{curve.epochs, curve.rewards};
    if (running_average_) {
      double sum = 0.0;
      for (std::size_t i = 0; i < curve.size(); ++i) {
        sum += curve.rewards[i];
        values.at[i] = sum / static_cast<double>(i + 1);
      }
    }
    completed_[weft::curves::rung(curve.fidelity)].push_back(std::move(values));
  }

  Judgement judge(const LearningCurve& curve) override {
    if (curve.empty()) return {};
    const std::int32_t epoch = curve.epochs.back();
    if (epoch <= grace_ || (curve.horizon > 0 && epoch >= curve.horizon)) return {};
    const auto completed = completed_.find(weft::curves::rung(curve.fidelity));
    if (completed == completed_.end()) return {};
    std::vector<double> values;
    for (const Values& trial : completed->second) {
      if (const std::optional<double> value = value_at(trial, epoch)) values.push_back(*value);
    }
    if (values.size() < startup_trials_) return {};
    const double best = *std::max_element(curve.rewards.begin(), curve.rewards.end());
    const double aim = median(values);
    if (!(best < aim)) return {};
    std::ostringstream reason;
    reason << "the best after " << epoch << " epochs, " << best << ", is below the median of " << values.size()
           << (running_average_ ? " completed trials' running averages, " : " completed trials, ") << aim;
    return Judgement::stop(reason.str());
  }

 private:
  // Of one completed trial: what it is taken for, after each of its epochs.
  struct Values {
    std::vector<std::int32_t> epochs;
    std::vector<double> at;
  };

  // A running average holds until the next report; a reward is that of its own epoch.
  std::optional<double> value_at(const Values& trial, std::int32_t epoch) const {
    const auto after = std::upper_bound(trial.epochs.begin(), trial.epochs.end(), epoch);
    if (after == trial.epochs.begin() || (!running_average_ && *std::prev(after) != epoch)) return {};
    return trial.at[static_cast<std::size_t>(std::prev(after) - trial.epochs.begin())];
  }

  bool running_average_;
  int grace_;
  std::size_t startup_trials_;
  std::map<std::string, std::vector<Values>> completed_;  // by the fidelity's name
};

}  // namespace

WEFT_PLUGIN(weft::component<Median>("median"))
