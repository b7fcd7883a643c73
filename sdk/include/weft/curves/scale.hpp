// Rewards as numbers from 0 to 1, which models of learning curves want.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "weft/context.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::curves {

class Scale {
 public:
  // The least and the largest reward.
  Scale(double least, double largest) : least_(least), width_(largest - least) {}

  // Of the study's first objective, unless the argument "range", [least value, largest value], says otherwise. Throws
  // InvalidInput where neither tells.
  explicit Scale(const Context& context) : Scale(of(context.configuration(), context.study())) {}

  double to_unit(double reward) const { return (reward - least_) / width_; }
  double to_reward(double unit) const { return least_ + unit * width_; }
  // Of a standard deviation.
  double to_reward_width(double unit) const { return unit * width_; }

 private:
  static Scale of(const Json& configuration, const Json& study) {
    const Json objectives = study.value("objectives", Json::array());
    const Json first = objectives.empty() ? Json::object() : objectives.front();
    Json range = configuration.value("range", Json());
    if (range.is_null()) range = first.value("range", Json());
    if (range.is_null()) {
      throw InvalidInput("/range is not given, and the objective " + first.value("name", std::string("?")) +
                         " has no bounds; say between which values its curves lie, [least, largest]");
    }
    const double low = range.at(0), high = range.at(1);
    if (!(low < high)) throw InvalidInput("/range is " + range.dump() + "; the first number must be below the second");
    return first.value("direction", "maximize") == "minimize" ? Scale(-high, -low) : Scale(low, high);
  }

  double least_, width_;
};

}  // namespace weft::curves
