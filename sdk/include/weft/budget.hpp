// The budget of a study, for optimizers that must know before they start whether it is enough for them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>

#include "weft/json.hpp"

namespace weft {

struct Budget {
  std::optional<std::size_t> trials = {};  // nothing where they are not limited
  std::optional<std::size_t> unique = {};  // of them, those that are evaluated: no duplicate of an earlier one

  // At most so many candidates are evaluated; the largest number where none is stated.
  std::size_t least() const {
    constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    return std::min(trials.value_or(none), unique.value_or(none));
  }
  // Which limit that is: "the budget's trials, 20".
  std::string words() const {
    return std::string("the budget's ") + (least() == trials ? "trials" : "unique candidates") + ", " +
           std::to_string(least());
  }

  // From Context::study().
  explicit Budget(const Json& study) {
    const auto budget = study.find("budget");
    if (budget == study.end()) return;
    if (budget->contains("trials")) trials = budget->at("trials").get<std::size_t>();
    if (budget->contains("unique")) unique = budget->at("unique").get<std::size_t>();
  }
};

}  // namespace weft
