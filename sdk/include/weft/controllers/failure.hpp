// What an optimizer that learns from rewards makes of a trial that did not complete.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>

#include "weft/json.hpp"

namespace weft::controllers {

// A trial that failed or was pruned is worth `failure`, but never more than the worst that completed, before it or
// after: where rewards are negative, 0 would teach to fail. So its worth is not kept with it, but asked for whenever it
// is used. Without `failure` such trials teach nothing.
class Failure {
 public:
  explicit Failure(double failure) : failure_(failure) {}
  // `json` is a number or null.
  explicit Failure(const Json& json) {
    if (!json.is_null()) failure_ = json.get<double>();
  }

  bool teaches() const { return failure_.has_value(); }
  void completed(double reward) { worst_ = std::min(worst_, reward); }
  // Nothing while none has completed that it could be compared with.
  std::optional<double> worth() const {
    if (!failure_ || worst_ == std::numeric_limits<double>::infinity()) return {};
    return std::min(*failure_, worst_);
  }

 private:
  std::optional<double> failure_;
  double worst_ = std::numeric_limits<double>::infinity();
};

}  // namespace weft::controllers
