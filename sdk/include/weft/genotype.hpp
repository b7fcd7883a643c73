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

  // Decisions as their list, anything else as it is. What would be read as decisions, or as its own wrapping, is
  // wrapped: {"weft.opaque": [1, 2]}.
  Json to_json() const;
  static Genotype from_json(const Json& json);

 private:
  static constexpr const char* wrapping = "weft.opaque";
  static bool is_list_of_integers(const Json& json) {
    return json.is_array() &&
           std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_number_integer(); });
  }
  static bool is_wrapped(const Json& json) { return json.is_object() && json.size() == 1 && json.contains(wrapping); }
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json Genotype::to_json() const {
  if (opaque.is_null()) return decisions;
  return is_list_of_integers(opaque) || is_wrapped(opaque) ? Json{{wrapping, opaque}} : opaque;
}

WEFT_INLINE Genotype Genotype::from_json(const Json& json) {
  Genotype genotype;
  if (is_list_of_integers(json)) {
    for (const Json& option : json) {
      if (option < std::numeric_limits<std::int32_t>::min() || option > std::numeric_limits<std::int32_t>::max()) {
        throw InvalidInput("option number " + option.dump() + " is out of range");
      }
    }
    genotype.decisions = json.get<std::vector<std::int32_t>>();
  } else {
    genotype.opaque = is_wrapped(json) ? json.at(wrapping) : json;
  }
  return genotype;
}
#endif

}  // namespace weft
