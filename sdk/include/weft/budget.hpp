// The budget of a study, for optimizers that must know before they start whether it is enough for them.
#pragma once

#include <cstddef>
#include <optional>

#include "weft/json.hpp"

namespace weft {

struct Budget {
  std::optional<std::size_t> trials = {};  // nothing where they are not limited

  // From Context::study().
  explicit Budget(const Json& study) {
    const auto budget = study.find("budget");
    if (budget != study.end() && budget->contains("trials")) trials = budget->at("trials").get<std::size_t>();
  }
};

}  // namespace weft
