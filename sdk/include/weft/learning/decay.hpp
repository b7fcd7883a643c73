// How the weight of a term falls over a training: the internal decays of Bello et al. 2017, "Neural Optimizer Search
// with Reinforcement Learning", as in the authors' code (tf-opt, sign_decay.py).
//
// They are part of an update rule, beside the schedule of the learning rate.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::learning {

class Decay {
 public:
  enum class Shape { none, linear, cosine, restart };

  // `periods`, n of cosine and restart: more than 0, not necessarily whole.
  explicit Decay(Shape shape = Shape::none, double periods = 1.0) : shape_(shape), periods_(periods) {}

  // By its name; where `periods` is null cosine has 0.5 and restart 1. Throws InvalidInput for an unknown one.
  static Decay named(const std::string& name, const Json& periods = nullptr) {
    if (name == "none") return Decay(Shape::none);
    if (name == "linear") return Decay(Shape::linear);
    if (name == "cosine") return Decay(Shape::cosine, periods.is_null() ? 0.5 : periods.get<double>());
    if (name == "restart") return Decay(Shape::restart, periods.is_null() ? 1.0 : periods.get<double>());
    throw InvalidInput("\"" + name + "\" is no decay; those are none, linear, cosine and restart");
  }

  // f(t), in [0, 1], where `progress` is t / T, the share of the training that is over.
  double at(double progress) const {
    switch (shape_) {
      case Shape::none:
        return 1.0;
      case Shape::linear:
        return std::max(0.0, 1.0 - progress);
      case Shape::cosine:
        return (1.0 + std::cos(2.0 * std::numbers::pi * periods_ * progress)) / 2.0;
      case Shape::restart:
        return (1.0 + std::cos(std::numbers::pi * within_period(periods_ * progress))) / 2.0;
    }
    return 1.0;
  }

  bool is_none() const { return shape_ == Shape::none; }
  // As formulas have it: linear, cosine(0.5).
  std::string to_string() const {
    switch (shape_) {
      case Shape::none:
        return "1";
      case Shape::linear:
        return "linear";
      case Shape::cosine:
      case Shape::restart:
        break;
    }
    return (shape_ == Shape::cosine ? "cosine(" : "restart(") + Json(periods_).dump() + ")";
  }

 private:
  // From 0 to 1. A step that begins a period may come short of it by rounding.
  static double within_period(double periods) {
    constexpr double rounding = 1e-9;
    return std::max(0.0, periods - std::floor(periods + rounding));
  }

  Shape shape_;
  double periods_;
};

}  // namespace weft::learning
