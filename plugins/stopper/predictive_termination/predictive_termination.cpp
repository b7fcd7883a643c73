// Predictive termination: a training that has next to no chance to end above the best so far is stopped.
//
// Domhan, Springenberg, Hutter 2015, "Speeding Up Automatic Hyperparameter Optimization of Deep Neural Networks by
// Extrapolation of Learning Curves", as their terminationcriterion.py has it: stop if P(y_T > y_best) < 0.05, unless
// the curve is above the best already. The predicted mean becomes the trial's reward; one outside the objective's range
// is taken for a fit that failed, and a training of which nothing sound can be said goes on. To drop the flat beginning
// of a curve is up to the predictor. Further members of the family, as arguments:
//
//   Domhan et al. 2015, optimistic     mode optimistic, deviation 0.005
//   Chandrashekaran and Lane 2017      predictor previous_builds
//   Baker et al. 2018, "Accelerating Neural Architecture Search using Performance Prediction"
//                                      predictor sequential_regression, threshold 0.01 (Delta = 0.99),
//                                      burn_in_trials 100; margin is their delta, rank their n
//   Baker et al. 2018, f-Hyperband     predictor sequential_regression, threshold 0.05, burn_in_trials 100,
//                                      fraction_to_finish kappa
//
// Curves, rewards and shares are those of trials of the same fidelity, so that the rungs of Hyperband are apart.
//
// The state comes of what is observed and ends. A fit follows from the number of curves that have come and not from
// when it was asked for, so a study that is resumed goes on with the same verdicts.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "weft/curves/rung.hpp"
#include "weft/curves/scale.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::Judgement;
using weft::LearningCurve;
using weft::Prediction;
using weft::TrialId;

// ---- the arguments ------------------------------------------------------------------------------------------------

template <typename T>
std::optional<T> optional(const weft::Context& context, const char* name) {
  if (context.configuration().at(name).is_null()) return {};
  return context.get<T>(name);
}

struct Options {
  explicit Options(const weft::Context& context)
      : threshold(context.get<double>("threshold")),
        rank(context.get<std::size_t>("rank")),
        margin(context.get<double>("margin")),
        optimistic(context.get<std::string>("mode") == "optimistic"),
        deviation(optional<double>(context, "deviation")),
        burn_in(context.get<int>("burn_in")),
        every(context.get<int>("every")),
        burn_in_trials(context.get<std::size_t>("burn_in_trials")),
        fraction_to_finish(context.get<double>("fraction_to_finish")),
        refit_every(context.get<std::size_t>("refit_every")),
        most_curves(optional<std::size_t>(context, "most_curves")),
        horizon(optional<int>(context, "horizon")),
        rewards(context.get<std::string>("reward") == "predicted") {
    if (!optimistic) return;
    if (!deviation) {
      throw weft::InvalidInput(
          "/deviation is null; the mode \"optimistic\" needs one, below which a prediction is "
          "certain (Domhan et al. 2015: 0.005)");
    }
    if (!rewards) {
      throw weft::InvalidInput(
          "/reward is \"none\"; the mode \"optimistic\" stops the best trainings too, whose rewards "
          "would be lost: must be \"predicted\"");
    }
  }

  double threshold;
  std::size_t rank;
  double margin;  // delta
  bool optimistic;
  std::optional<double> deviation;  // in the unit of Scale
  int burn_in, every;               // epochs
  std::size_t burn_in_trials;
  double fraction_to_finish;  // kappa
  std::size_t refit_every;
  std::optional<std::size_t> most_curves;
  std::optional<int> horizon;
  bool rewards;  // what is stopped gets its predicted reward
};

// Where the objective's range is not known, nothing is outside it; a deviation has no unit then.
std::optional<weft::curves::Scale> scale(const weft::Context& context, const Options& options) {
  const weft::Json objectives = context.study().value("objectives", weft::Json::array());
  const bool known = !context.configuration().at("range").is_null() ||
                     (!objectives.empty() && !objectives.front().value("range", weft::Json()).is_null());
  if (!known && !options.deviation) return {};
  return weft::curves::Scale(context);
}

// ---- what has come ------------------------------------------------------------------------------------------------

// Of the trials of one fidelity.
struct Rung {
  std::map<TrialId, std::size_t> seen;  // the order of their first reports
  std::map<TrialId, double> running;    // their last rewards
  std::vector<LearningCurve> finished;  // of those that came to their end
  std::vector<double> rewards;          // of those that are complete, the best first
  std::size_t stopped = 0;              // before their end, of those after the burn-in

  std::optional<double> best(std::size_t rank) const {
    return rank <= rewards.size() ? std::optional(rewards[rank - 1]) : std::nullopt;
  }
};

// ---- the criterion ------------------------------------------------------------------------------------------------

class PredictiveTermination final : public weft::Stopper {
 public:
  explicit PredictiveTermination(const weft::Context& context)
      : options_(context),
        scale_(scale(context, options_)),
        predictor_(context.plugin("predictor")),
        predictor_name_(context.configuration().at("predictor").at("name").get<std::string>()),
        log_(context.log()) {}

  void observe(const LearningCurve& curve) override {
    Rung& rung = rungs_[weft::curves::rung(curve.fidelity)];
    rung.seen.emplace(curve.trial, rung.seen.size());
    if (!curve.empty()) rung.running[curve.trial] = curve.rewards.back();
  }

  // One that was pruned after its last epoch, since it breaks a limit, was not stopped, and its curve is as good as
  // any.
  void end(const LearningCurve& curve, weft::TrialState state, std::optional<double> reward) override {
    Rung& rung = rungs_[weft::curves::rung(curve.fidelity)];
    rung.running.erase(curve.trial);
    const bool whole = !curve.empty() && curve.horizon > 0 && curve.epochs.back() >= curve.horizon;
    const auto order = rung.seen.find(curve.trial);
    if (state == weft::TrialState::pruned && !whole && order != rung.seen.end())
      rung.stopped += order->second >= options_.burn_in_trials ? 1 : 0;
    const bool complete = state == weft::TrialState::complete;
    if (!curve.empty() && (complete || (whole && state == weft::TrialState::pruned))) rung.finished.push_back(curve);
    if (complete && reward && std::isfinite(*reward))
      rung.rewards.insert(std::ranges::upper_bound(rung.rewards, *reward, std::greater()), *reward);
  }

  Judgement judge(const LearningCurve& curve) override {
    if (curve.empty()) return {};
    const std::optional<int> horizon = horizon_of(curve);
    if (!horizon || !due(curve, *horizon)) return {};
    const auto rung = rungs_.find(weft::curves::rung(curve.fidelity));
    if (rung == rungs_.end() || !may_be_stopped(rung->second, curve.trial)) return {};

    std::optional<double> best = rung->second.best(options_.rank);
    if (best) *best -= options_.margin;
    const double own_best = *std::ranges::max_element(curve.rewards);
    if (!options_.optimistic && (!best || own_best > *best)) return {};

    const std::optional<Prediction> prediction = predict(*rung, curve, *horizon, best.value_or(own_best));
    if (!prediction || outside_range(*prediction)) return {};
    const std::string why = why_to_stop(*prediction, best);
    if (why.empty()) return {};
    std::ostringstream reason;
    reason << "predicted " << prediction->mean << " +- " << prediction->deviation << " after " << *horizon
           << " epochs; " << why;
    return Judgement::stop(reason.str(), options_.rewards ? std::optional(prediction->mean) : std::nullopt);
  }

 private:
  std::optional<int> horizon_of(const LearningCurve& curve) {
    if (curve.horizon > 0) return curve.horizon;
    if (!options_.horizon && !std::exchange(told_of_horizon_, true)) {
      log_.warning("trial " + std::to_string(curve.trial) +
                   " does not tell how many epochs it is to have, so where it ends is not predicted, and it goes on; "
                   "give /horizon");
    }
    return options_.horizon;
  }

  // Whether enough epochs have come since it was judged last. One at its end has nothing to be stopped of.
  bool due(const LearningCurve& curve, int horizon) const {
    const int epoch = curve.epochs.back(), before = curve.size() > 1 ? curve.epochs[curve.size() - 2] : 0;
    return epoch >= options_.burn_in && epoch < horizon && epoch / options_.every > before / options_.every;
  }

  bool may_be_stopped(const Rung& rung, TrialId trial) const {
    const auto order = rung.seen.find(trial);
    if (order == rung.seen.end() || order->second < options_.burn_in_trials) return false;
    if (rung.rewards.size() < options_.burn_in_trials) return false;
    // Of those that run, only so many of the last may be stopped as would leave kappa of all; which of them are being
    // stopped already is not known.
    const auto seen = static_cast<double>(rung.seen.size() - options_.burn_in_trials);
    // What should be whole must not be below for want of a last digit.
    const double allowed = (1.0 - options_.fraction_to_finish) * seen + 1e-9 - static_cast<double>(rung.stopped);
    const auto own = rung.running.find(trial);
    if (own == rung.running.end()) return false;
    const auto worse = [&](const auto& other) {
      return std::pair(other.second, other.first) < std::pair(own->second, own->first) &&
             rung.seen.at(other.first) >= options_.burn_in_trials;
    };
    return static_cast<double>(std::ranges::count_if(rung.running, worse)) + 1.0 <= allowed;
  }

  std::optional<Prediction> predict(const std::pair<const std::string, Rung>& rung, const LearningCurve& curve,
                                    int horizon, double threshold) {
    try {
      fit(rung.first, rung.second.finished);
      return fit_succeeded_ ? predictor_.predict(curve, horizon, threshold) : std::nullopt;
    } catch (const weft::Error& error) {
      if (!std::exchange(told_of_failure_, true)) {
        log_.warning("the predictor " + predictor_name_ + " failed at trial " + std::to_string(curve.trial) +
                     ", which goes on, as do all of which nothing is predicted: " + error.what());
      }
      return {};
    }
  }

  // On the first k `refit_every` curves of this fidelity, or the last of them; while there are fewer, on all.
  void fit(const std::string& fidelity, std::span<const LearningCurve> finished) {
    const std::size_t whole = finished.size() / options_.refit_every * options_.refit_every;
    const std::size_t count = whole > 0 ? whole : finished.size();
    std::pair wanted(fidelity, count);
    if (fitted_ == wanted) return;
    fitted_ = std::move(wanted);
    fit_succeeded_ = false;
    predictor_.fit(finished.first(count).last(std::min(count, options_.most_curves.value_or(count))));
    fit_succeeded_ = true;
  }

  bool outside_range(const Prediction& prediction) const {
    if (!scale_) return false;
    const double mean = scale_->to_unit(prediction.mean);
    return mean < 0.0 || mean > 1.0;
  }

  // Empty where the training should go on.
  std::string why_to_stop(const Prediction& prediction, const std::optional<double>& best) const {
    const bool hopeless = best && prediction.probability_above < options_.threshold;
    const bool certain = options_.deviation && prediction.deviation < scale_->to_reward_width(*options_.deviation);
    std::ostringstream why;
    if (hopeless && (options_.optimistic || certain || !options_.deviation)) {
      why << "the probability to be above " << aim() << ", " << *best << ", is " << prediction.probability_above
          << ", below /threshold, " << options_.threshold;
    } else if (options_.optimistic && certain) {
      why << "that is certain, the deviation below /deviation, " << *options_.deviation << " of the objective's range";
    }
    return why.str();
  }

  std::string aim() const {
    std::string aim = "the best";
    if (options_.rank > 1) aim = "number " + std::to_string(options_.rank) + " of the completed trials";
    return options_.margin > 0.0 ? aim + " less /margin" : aim;
  }

  Options options_;
  std::optional<weft::curves::Scale> scale_;
  weft::PredictorRef predictor_;
  std::string predictor_name_;
  weft::Log log_;
  std::map<std::string, Rung> rungs_;                          // by the fidelity's name
  std::optional<std::pair<std::string, std::size_t>> fitted_;  // fidelity, curves
  bool fit_succeeded_ = false;
  bool told_of_horizon_ = false, told_of_failure_ = false;
};

}  // namespace

WEFT_PLUGIN(weft::component<PredictiveTermination>("predictive_termination"))
