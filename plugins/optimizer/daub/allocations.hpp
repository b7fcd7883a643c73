// How much of the training split a learner may be given: b, br, br^2, .. up to all of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "weft/context.hpp"
#include "weft/error.hpp"

namespace daub {

// "Initialise each learner at b, br, br^2"; and as many are the points that a slope is fitted through.
inline constexpr std::size_t initial_allocations = 3;

// The same for all learners: whoever is given n examples is given the same ones, and they are among those of any larger
// allocation, as an evaluator takes the first ones of the split.
class Allocations {
 public:
  explicit Allocations(const weft::Context& context) {
    const weft::Json task = context.study().value("task", weft::Json::object());
    const weft::Json splits = task.value("splits", weft::Json::object());
    counted_ = splits.contains("train");
    whole_ = counted_ ? splits.at("train").get<double>() : 1.0;
    fill(base(context), context.get<double>("ratio"));
    if (count() > initial_allocations) return;
    const bool fraction = !context.configuration().at("base_fraction").is_null();
    throw weft::InvalidInput((fraction ? "/base_fraction is " : "/base is ") +
                             context.configuration().at(fraction ? "base_fraction" : "base").dump() + "; with /ratio " +
                             context.configuration().at("ratio").dump() +
                             " the third allocation, base x ratio^2, must be below the training split, " +
                             (counted_ ? shown(whole_) + " examples" : std::string("1")) + "; lower it");
  }

  std::size_t count() const { return amounts_.size(); }
  // n: examples, or the share of the split where its size is not known. That of the last allocation is N.
  double amount(std::size_t allocation) const { return amounts_.at(allocation); }
  double whole() const { return whole_; }

  // The share of the split from which an evaluator, rounding downwards, makes that many examples again.
  double fraction(std::size_t allocation) const {
    const double examples = amounts_.at(allocation);
    double fraction = examples / whole_;
    while (counted_ && std::floor(fraction * whole_) < examples) fraction = std::nextafter(fraction, 1.0);
    return fraction;
  }

 private:
  static std::string shown(double value) { return weft::Json(static_cast<std::int64_t>(value)).dump(); }

  double base(const weft::Context& context) const {
    const weft::Json& fraction = context.configuration().at("base_fraction");
    if (!fraction.is_null()) return std::max(fraction.get<double>() * whole_, counted_ ? 1.0 : 0.0);
    if (!counted_)
      throw weft::InvalidInput("/base is " + context.configuration().at("base").dump() +
                               " examples, but the study does not say how many there are; give /base_fraction, a share "
                               "of them, instead");
    return context.get<double>("base");
  }

  // Whole examples, and of each allocation at least one more than of the one before.
  void fill(double base, double ratio) {
    double amount = base;
    while (amounts_.empty() || amounts_.back() < whole_) {
      double next = amount;
      if (counted_) next = std::max(std::round(amount), amounts_.empty() ? 1.0 : amounts_.back() + 1.0);
      // What should be the whole must not fall below for want of a last digit.
      amounts_.push_back(next < whole_ * (1.0 - 1e-9) ? next : whole_);
      amount *= ratio;
    }
  }

  bool counted_ = false;
  double whole_ = 1.0;  // N
  std::vector<double> amounts_;
};

}  // namespace daub
