// Asynchronous successive halving (ASHA), the variant that stops trainings instead of promoting them: on coming to a
// rung, after r eta^k epochs, a training is stopped unless it is in the top 1/eta of those recorded there. The first to
// come goes on.
//
// Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar 2020, "A System for Massively Parallel
// Hyperparameter Tuning"; the variant as in syne-tune's asha.py, with one bracket: another one is another `minimum`. An
// arrival is in the top 1/eta of the n recorded, itself among them, where fewer than n/eta are better; so the best
// always goes on. (syne-tune lets one more go on where n is a multiple of eta.)
//
// Trainings are compared with those of the same fidelity. A report that skips the rung's epoch is recorded there all
// the same, unless it has come to the next rung, where it is recorded then.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "weft/curves/rung.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::Judgement;
using weft::LearningCurve;
using weft::TrialId;

class SuccessiveHalving final : public weft::Stopper {
 public:
  explicit SuccessiveHalving(const weft::Context& context)
      : minimum_(context.get<std::int64_t>("minimum")),
        maximum_(std::numeric_limits<std::int64_t>::max()),
        eta_(context.get<std::int64_t>("eta")) {
    if (context.configuration().at("maximum").is_null()) return;
    maximum_ = context.get<std::int64_t>("maximum");
    if (maximum_ <= minimum_) {
      throw weft::InvalidInput("/maximum is " + std::to_string(maximum_) + "; must be above minimum, " +
                               std::to_string(minimum_) + ", as no training is stopped at its end");
    }
  }

  void observe(const LearningCurve& curve) override {
    const std::optional<std::int64_t> rung = rung_reached(curve);
    if (rung && std::isfinite(curve.rewards.back()))
      rungs_[{weft::curves::rung(curve.fidelity), *rung}].emplace(curve.trial, curve.rewards.back());
  }

  Judgement judge(const LearningCurve& curve) override {
    const std::optional<std::int64_t> rung = rung_reached(curve);
    if (!rung || (curve.horizon > 0 && curve.epochs.back() >= curve.horizon)) return {};
    const auto found = rungs_.find({weft::curves::rung(curve.fidelity), *rung});
    if (found == rungs_.end()) return {};
    const std::map<TrialId, double>& recorded = found->second;
    const auto own = recorded.find(curve.trial);
    if (own == recorded.end()) return {};
    const std::int64_t better =
        std::count_if(recorded.begin(), recorded.end(), [&](const auto& other) { return other.second > own->second; });
    if (better * eta_ < static_cast<std::int64_t>(recorded.size())) return {};
    std::ostringstream reason;
    reason << own->second << " at the rung of " << *rung << " epochs, where " << better << " of " << recorded.size()
           << " are better; one in " << eta_ << " goes on";
    return Judgement::stop(reason.str());
  }

 private:
  // The highest rung that the curve has come to with its last point, in epochs.
  std::optional<std::int64_t> rung_reached(const LearningCurve& curve) const {
    if (curve.empty()) return {};
    const std::int64_t epoch = curve.epochs.back(), before = curve.size() > 1 ? curve.epochs[curve.size() - 2] : 0;
    if (epoch < minimum_) return {};
    std::int64_t rung = minimum_;
    while (rung * eta_ <= epoch && rung * eta_ < maximum_) rung *= eta_;
    return rung > before ? std::optional(rung) : std::nullopt;
  }

  std::int64_t minimum_, maximum_, eta_;  // r, R, eta
  // The rewards recorded, by the fidelity's name and the rung's epochs.
  std::map<std::pair<std::string, std::int64_t>, std::map<TrialId, double>> rungs_;
};

}  // namespace

WEFT_PLUGIN(weft::component<SuccessiveHalving>("successive_halving"))
