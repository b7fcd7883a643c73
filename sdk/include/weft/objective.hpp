// An objective: what is this candidate worth? One number, known before an evaluation or after it.
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "weft/candidate.hpp"
#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"

namespace weft {

enum class Direction { maximize = 1, minimize = -1 };

// Of a study's first objective, as Context::study() has it; nothing where the host does not say, as that of
// release 1.0.
inline std::optional<Direction> first_direction(const Json& study) {
  const Json objectives = study.value("objectives", Json::array());
  if (objectives.empty() || !objectives.front().contains("direction")) return {};
  return objectives.front().at("direction") == "minimize" ? Direction::minimize : Direction::maximize;
}

class Objective {
 public:
  static constexpr const char* kind = "objective";

  virtual ~Objective() = default;
  virtual Direction direction() const = 0;
  // The value as far as the candidate alone tells it. A plugin that overrides this says "objective.before" in its
  // manifest; only then does the host decode the graph for it.
  virtual std::optional<double> before(const Candidate&) const { return {}; }
  // The value from an evaluation's metrics; asked only where `before` did not know. Throws Error if the metric is
  // missing.
  virtual double after(const Json& metrics) const {
    throw Error("this objective is not measured by an evaluation: " + metrics.dump());
  }
  // The least and the largest value there can be; nothing where it has no bounds.
  virtual std::optional<std::pair<double, double>> range() const { return {}; }
};

namespace detail {

template <typename T>
struct ObjectiveTables {
  static constexpr weft_objective_1 objective{
      .size = sizeof(weft_objective_1),
      .direction =
          [](void* instance, std::int32_t* out, const weft_writer* error) {
            return guard(error, [&] { *out = static_cast<std::int32_t>(self<T>(instance).direction()); });
          },
      .before =
          [](void* instance, weft_text candidate, double* value, std::int32_t* known, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<double> found = self<T>(instance).before(Candidate::from_json(parse_json(candidate)));
              *known = found ? 1 : 0;
              *value = found.value_or(0.0);
            });
          },
      .after =
          [](void* instance, weft_text metrics, double* value, const weft_writer* error) {
            return guard(error, [&] { *value = self<T>(instance).after(parse_json(metrics)); });
          },
      .range =
          [](void* instance, double* least, double* largest, std::int32_t* known, const weft_writer* error) {
            return guard(error, [&] {
              const std::optional<std::pair<double, double>> range = self<T>(instance).range();
              *known = range ? 1 : 0;
              std::tie(*least, *largest) = range.value_or(std::pair(0.0, 0.0));
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_OBJECTIVE_1 ? &objective : nullptr; }
};

}  // namespace detail

// An objective reached through its table. Candidates and metrics are the JSON text that crosses.
class ObjectiveRef {
 public:
  explicit ObjectiveRef(weft_handle handle)
      : instance_(handle.instance),
        table_(static_cast<const weft_objective_1*>(handle.component->find_interface(WEFT_OBJECTIVE_1))) {
    if (table_ == nullptr)
      throw Error(std::string(handle.component->name) + " is not an objective: it has no " WEFT_OBJECTIVE_1);
  }

  Direction direction() const;
  std::optional<double> before(const std::string& candidate) const;
  double after(const std::string& metrics) const;
  std::optional<std::pair<double, double>> range() const;

 private:
  void* instance_;
  const weft_objective_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Direction ObjectiveRef::direction() const {
  std::int32_t direction = 0;
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_objective_1::direction)(instance_, &direction, error), error);
  if (direction != 1 && direction != -1)
    throw Error("its direction is " + std::to_string(direction) + "; must be 1, to maximise, or -1, to minimise");
  return direction < 0 ? Direction::minimize : Direction::maximize;
}

WEFT_INLINE std::optional<double> ObjectiveRef::before(const std::string& candidate) const {
  if (!detail::has(table_, &weft_objective_1::before)) return {};
  double value = 0.0;
  std::int32_t known = 0;
  detail::StringWriter error;
  detail::check(table_->before(instance_, detail::text(candidate), &value, &known, error), error);
  return known != 0 ? std::optional(value) : std::nullopt;
}

WEFT_INLINE double ObjectiveRef::after(const std::string& metrics) const {
  double value = 0.0;
  detail::StringWriter error;
  if (!detail::has(table_, &weft_objective_1::after)) throw Error("the objective cannot be measured by an evaluation");
  detail::check(table_->after(instance_, detail::text(metrics), &value, error), error);
  return value;
}

WEFT_INLINE std::optional<std::pair<double, double>> ObjectiveRef::range() const {
  if (!detail::has(table_, &weft_objective_1::range)) return {};
  double least = 0.0, largest = 0.0;
  std::int32_t known = 0;
  detail::StringWriter error;
  detail::check(table_->range(instance_, &least, &largest, &known, error), error);
  return known != 0 ? std::optional(std::pair(least, largest)) : std::nullopt;
}
#endif

}  // namespace weft
