// The optimizer's view of an architecture: a list of decisions, or JSON that only its space understands.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft {

struct Genotype {
  std::vector<std::int32_t> decisions;  // the index of the option taken, decision by decision
  Json opaque;                          // null unless the space is one of open-ended graphs; then decisions is empty

  Genotype() = default;
  explicit Genotype(std::vector<std::int32_t> taken) : decisions(std::move(taken)) {}

  friend bool operator==(const Genotype&, const Genotype&) = default;

  // Equal exactly for equal genotypes.
  std::string key() const { return to_json().dump(); }

  Json to_json() const { return opaque.is_null() ? Json(decisions) : opaque; }
  static Genotype from_json(const Json& json) {
    Genotype genotype;
    if (json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_number_integer(); })) {
      for (const Json& option : json) {
        if (option < std::numeric_limits<std::int32_t>::min() || option > std::numeric_limits<std::int32_t>::max()) {
          throw InvalidInput("option number " + option.dump() + " is out of range");
        }
      }
      genotype.decisions = json.get<std::vector<std::int32_t>>();
    } else {
      genotype.opaque = json;
    }
    return genotype;
  }
};

}  // namespace weft
