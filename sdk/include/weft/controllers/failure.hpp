// What a controller learns from a trial that did not complete.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>

#include "weft/json.hpp"

namespace weft::controllers {

// A trial that failed or was pruned is worth `failure`, but never more than the worst that completed: where rewards are
// negative, 0 would teach the controller to fail. Without `failure` such trials teach nothing.
class Failure {
 public:
  // `json` is a number or null.
  explicit Failure(const Json& json) {
    if (!json.is_null()) failure_ = json.get<double>();
  }

  void completed(double reward) { worst_ = std::min(worst_, reward); }
  std::optional<double> reward() const {
    if (!failure_) return {};
    return std::min(*failure_, worst_);
  }

 private:
  std::optional<double> failure_;
  double worst_ = std::numeric_limits<double>::infinity();
};

}  // namespace weft::controllers
