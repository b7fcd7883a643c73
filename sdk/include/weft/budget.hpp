// The budget of a study, for optimizers that must know before they start whether it is enough for them.
#pragma once

#include <cstddef>
#include <optional>

#include "weft/json.hpp"

namespace weft {

struct Budget {
  std::optional<std::size_t> trials = {};  // nothing where they are not limited
  std::optional<std::size_t> unique = {};  // of them, those that are evaluated: no duplicate of an earlier one

  // From Context::study().
  explicit Budget(const Json& study) {
    const auto budget = study.find("budget");
    if (budget == study.end()) return;
    if (budget->contains("trials")) trials = budget->at("trials").get<std::size_t>();
    if (budget->contains("unique")) unique = budget->at("unique").get<std::size_t>();
  }
};

}  // namespace weft
