// A schedule: the course of the learning rate over a training, an ingredient of its recipe.
//
// Warm-up is the recipe's own: a schedule is asked from its end on.
#pragma once

#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"

namespace weft {

// A moment of a training, in epochs.
struct Moment {
  double elapsed;       // since the start: a fraction within an epoch; at least `warmup`
  double warmup = 0.0;  // of the first of them the recipe says the rate itself
  double epochs = 1.0;  // that the schedule takes in all, warm-up included

  // From 0 at the end of warm-up to 1 at the end of the schedule, and 1 from there on; 0 where warm-up is all of it.
  double progress() const {
    if (warmup >= epochs) return 0.0;
    return elapsed < epochs ? (elapsed - warmup) / (epochs - warmup) : 1.0;
  }
};

class Schedule {
 public:
  static constexpr const char* kind = "schedule";

  virtual ~Schedule() = default;
  // The learning rate, >= 0, of which `lr` is the recipe's. The same moment, the same answer.
  virtual double rate(double lr, const Moment& at) const = 0;
  // What the update rule's momentum is at that moment, in [0, 1]; none: the rule's own.
  virtual std::optional<double> momentum(const Moment& /*at*/) const { return {}; }
};

// Half a cosine (Loshchilov and Hutter 2017, Eq. 5, without restarts): `least` + (lr - least) (1 + cos(pi t)) / 2, t
// from 0 to 1 from the end of warm-up to that of the schedule, and `least` from there on.
class Cosine : public Schedule {
 public:
  explicit Cosine(double least = 0.0) : least_(least) {}
  double rate(double lr, const Moment& at) const override { return annealed(lr, least_, at.progress()); }

  // From `lr` at t = 0 to `least` at t = 1.
  static double annealed(double lr, double least, double t) {
    return least + (lr - least) * (1.0 + std::cos(std::numbers::pi * t)) / 2.0;
  }

 private:
  double least_;
};

namespace detail {

inline Moment to_moment(const weft_moment& lent) { return {lent.elapsed, lent.warmup, lent.epochs}; }

template <typename T>
struct ScheduleTables {
  static constexpr weft_schedule_1 schedule{
      .size = sizeof(weft_schedule_1),
      .rate =
          [](void* instance, double lr, const weft_moment* at, double* out, const weft_writer* error) {
            return guard(error, [&] { *out = self<T>(instance).rate(lr, to_moment(*at)); });
          },
      .momentum =
          [](void* instance, const weft_moment* at, double* out, std::int32_t* known, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<double> momentum = self<T>(instance).momentum(to_moment(*at));
              *known = momentum.has_value();
              *out = momentum.value_or(0.0);
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_SCHEDULE_1 ? &schedule : nullptr; }
};

}  // namespace detail

// A schedule reached through its table; it lives as long as this object.
class ScheduleRef final : public Schedule {
 public:
  explicit ScheduleRef(std::shared_ptr<const weft_handle> handle)
      : handle_(std::move(handle)),
        name_(handle_->component->name),
        table_(static_cast<const weft_schedule_1*>(handle_->component->find_interface(WEFT_SCHEDULE_1))) {
    if (table_ == nullptr) throw Error(name_ + " is not a schedule: it has no " WEFT_SCHEDULE_1);
  }

  // Throw Error for an answer that is no rate, or no momentum.
  double rate(double lr, const Moment& at) const override;
  std::optional<double> momentum(const Moment& at) const override;

 private:
  std::shared_ptr<const weft_handle> handle_;
  std::string name_;
  const weft_schedule_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE double ScheduleRef::rate(double lr, const Moment& at) const {
  const weft_moment lent{sizeof(weft_moment), at.elapsed, at.warmup, at.epochs};
  double rate = 0.0;
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_schedule_1::rate)(handle_->instance, lr, &lent, &rate, error), error);
  if (!(rate >= 0.0 && std::isfinite(rate)))
    throw Error("schedule " + name_ + " answers " + std::to_string(rate) + "; a learning rate must be at least 0");
  return rate;
}

WEFT_INLINE std::optional<double> ScheduleRef::momentum(const Moment& at) const {
  if (!detail::has(table_, &weft_schedule_1::momentum)) return {};
  const weft_moment lent{sizeof(weft_moment), at.elapsed, at.warmup, at.epochs};
  double momentum = 0.0;
  std::int32_t known = 0;
  detail::StringWriter error;
  detail::check(table_->momentum(handle_->instance, &lent, &momentum, &known, error), error);
  if (known == 0) return {};
  if (!(momentum >= 0.0 && momentum <= 1.0))
    throw Error("schedule " + name_ + " answers a momentum of " + std::to_string(momentum) + "; must be in [0, 1]");
  return momentum;
}
#endif

}  // namespace weft
