// A stopper: should this training go on?
//
// The host tells it of every report (observe) and of every trial that ended (end), in the order of the study's journal,
// and asks of a trial that has just reported whether it should go on (judge), unless a stopper before it in the
// pipeline has said that it should not. A study that is resumed observes all again, but its verdicts are those of the
// journal: what judge() learns, a fit on all that has ended say, it must be able to learn later just as well.
//
// A trial that was interrupted goes on from its checkpoint and may report an epoch for the second time: it counts once.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "weft/context.hpp"
#include "weft/curve.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/evaluator.hpp"

namespace weft {

struct Judgement {
  Verdict verdict = Verdict::go_on;
  std::string reason = {};               // in words, of all but go_on
  std::optional<double> predicted = {};  // of a trial that is stopped: what the optimizer may take as its reward

  static Judgement stop(std::string reason, std::optional<double> predicted = {}) {
    return {Verdict::stop, std::move(reason), predicted};
  }
  // The evaluator leaves a checkpoint, and a later proposal may go on from it.
  static Judgement pause(std::string reason) { return {Verdict::pause, std::move(reason)}; }
};

class Stopper {
 public:
  static constexpr const char* kind = "stopper";

  virtual ~Stopper() = default;
  // The curve up to the report; it has no point for an epoch whose report lacks the objective's metric.
  virtual void observe(const LearningCurve& curve) { static_cast<void>(curve); }
  virtual Judgement judge(const LearningCurve& curve) = 0;
  // The whole curve of a trial that ended; `reward` of one that is complete.
  virtual void end(const LearningCurve& curve, TrialState state, std::optional<double> reward) {
    static_cast<void>(curve), static_cast<void>(state), static_cast<void>(reward);
  }
};

namespace detail {

template <typename T>
struct StopperTables {
  static constexpr weft_stopper_1 stopper{
      .size = sizeof(weft_stopper_1),
      .observe =
          [](void* instance, const weft_curve* curve, const weft_writer* error) {
            return guard(error, [&] { self<T>(instance).observe(to_curve(*curve)); });
          },
      .judge =
          [](void* instance, const weft_curve* curve, const weft_judgement_sink* out, const weft_writer* error) {
            return guard(error, [&] {
              const Judgement judgement = self<T>(instance).judge(to_curve(*curve));
              const weft_judgement lent{sizeof(weft_judgement), static_cast<std::int32_t>(judgement.verdict),
                                        judgement.predicted.value_or(std::numeric_limits<double>::quiet_NaN()),
                                        text(judgement.reason)};
              out->receive(out->context, &lent);
            });
          },
      .end =
          [](void* instance, const weft_curve* curve, std::int32_t state, double reward, const weft_writer* error) {
            return guard(error, [&] {
              const bool complete = state == WEFT_COMPLETE;
              self<T>(instance).end(to_curve(*curve), static_cast<TrialState>(state),
                                    complete ? std::optional(reward) : std::nullopt);
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_STOPPER_1 ? &stopper : nullptr; }
};

}  // namespace detail

// A stopper reached through its table.
class StopperRef final : public Stopper {
 public:
  explicit StopperRef(weft_handle handle)
      : name_(handle.component->name),
        instance_(handle.instance),
        table_(static_cast<const weft_stopper_1*>(handle.component->find_interface(WEFT_STOPPER_1))) {
    if (table_ == nullptr) throw Error(name_ + " is not a stopper: it has no " WEFT_STOPPER_1);
  }

  void observe(const LearningCurve& curve) override;

  // Throws Error for a verdict that is none, and for one without a reason.
  Judgement judge(const LearningCurve& curve) override;

  void end(const LearningCurve& curve, TrialState state, std::optional<double> reward) override;

 private:
  std::string name_;
  void* instance_;
  const weft_stopper_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE void StopperRef::observe(const LearningCurve& curve) {
  if (!detail::has(table_, &weft_stopper_1::observe)) return;
  const detail::LentCurve lent(curve);
  detail::StringWriter error;
  detail::check(table_->observe(instance_, lent, error), error);
}

WEFT_INLINE Judgement StopperRef::judge(const LearningCurve& curve) {
  const detail::LentCurve lent(curve);
  std::optional<Judgement> judgement;
  const auto sink = detail::make_sink<weft_judgement_sink, weft_judgement>([&](const weft_judgement& answer) {
    if (answer.verdict < WEFT_GO_ON || answer.verdict > WEFT_PAUSE)
      throw Error(name_ + " answers " + std::to_string(answer.verdict) + "; a verdict is 0, 1 or 2");
    judgement = Judgement{static_cast<Verdict>(answer.verdict), std::string(detail::view(answer.reason)),
                          std::isfinite(answer.predicted) ? std::optional(answer.predicted) : std::nullopt};
  });
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_stopper_1::judge)(instance_, lent, sink, error), error);
  sink.finish();
  if (!judgement) throw Error(name_ + " gave no verdict");
  if (judgement->verdict != Verdict::go_on && judgement->reason.empty())
    throw Error(name_ + " does not say why a trial should not go on");
  return *judgement;
}

WEFT_INLINE void StopperRef::end(const LearningCurve& curve, TrialState state, std::optional<double> reward) {
  if (!detail::has(table_, &weft_stopper_1::end)) return;
  const detail::LentCurve lent(curve);
  detail::StringWriter error;
  detail::check(table_->end(instance_, lent, static_cast<std::int32_t>(state),
                            reward.value_or(std::numeric_limits<double>::quiet_NaN()), error),
                error);
}
#endif

}  // namespace weft
