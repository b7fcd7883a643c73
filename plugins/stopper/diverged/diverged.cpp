// A training that has diverged is stopped: its loss is not a number, or many times the first; or after some epochs it
// has never been better than a guess.

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "weft/plugin.hpp"

namespace {

using weft::Judgement;
using weft::LearningCurve;
using weft::TrialId;

class Diverged final : public weft::Stopper {
 public:
  explicit Diverged(const weft::Context& context)
      : metric_(context.get<std::string>("metric")),
        factor_(context.get<double>("factor")),
        margin_(context.get<double>("margin")),
        grace_(context.get<int>("grace")),
        log_(context.log()) {
    if (const weft::Json& chance = context.configuration().at("chance"); !chance.is_null()) {
      const weft::Json objectives = context.study().value("objectives", weft::Json::array());
      const bool minimised = !objectives.empty() && objectives.front().value("direction", "maximize") == "minimize";
      chance_ = minimised ? -chance.get<double>() : chance.get<double>();
    }
  }

  void observe(const LearningCurve& curve) override {
    const weft::Json* loss = loss_of(curve);
    if (loss != nullptr && loss->is_number()) first_.emplace(curve.trial, loss->get<double>());
  }

  Judgement judge(const LearningCurve& curve) override {
    std::ostringstream reason;
    const weft::Json* loss = loss_of(curve);
    if (loss == nullptr && !curve.report.is_null() && !std::exchange(told_, true)) {
      log_.warning("the report " + curve.report.dump() + " has no \"" + metric_ +
                   "\", by which it were known to have diverged; name one of its metrics with /metric");
    }
    if (loss != nullptr && !loss->is_number()) {
      reason << metric_ << " is not a number";
      return Judgement::stop(reason.str());
    }
    const auto first = first_.find(curve.trial);
    if (loss != nullptr && first != first_.end() && first->second > 0.0 &&
        loss->get<double>() > factor_ * first->second) {
      reason << metric_ << " is " << loss->get<double>() << ", above " << factor_ << " times the first, "
             << first->second;
      return Judgement::stop(reason.str());
    }
    if (!chance_ || curve.empty() || curve.epochs.back() < grace_) return {};
    const double best = *std::max_element(curve.rewards.begin(), curve.rewards.end());
    if (best > *chance_ + margin_) return {};
    reason << "the best reward after " << curve.epochs.back() << " epochs is " << best
           << ", not above that of chance and /margin, " << *chance_ + margin_;
    return Judgement::stop(reason.str());
  }

  void end(const LearningCurve& curve, weft::TrialState, std::optional<double>) override { first_.erase(curve.trial); }

 private:
  // Of the last report, where it has one: a number, or null in place of one that is none.
  const weft::Json* loss_of(const LearningCurve& curve) const {
    const auto found = curve.report.find(metric_);
    return found == curve.report.end() ? nullptr : &*found;
  }

  std::string metric_;
  double factor_;
  std::optional<double> chance_;  // as a reward
  double margin_;
  int grace_;  // epochs
  weft::Log log_;
  std::map<TrialId, double> first_;  // of the trials that run
  bool told_ = false;
};

}  // namespace

WEFT_PLUGIN(weft::component<Diverged>("diverged"))
