// The evaluator's view: an architecture and what else is needed to train it.
#pragma once

#include <string>
#include <utility>

#include "weft/architecture.hpp"
#include "weft/json.hpp"

namespace weft {

struct Candidate {
  Architecture architecture;
  // A JSON merge patch over the evaluator's training recipe: what the genotype decides about update rule, schedule,
  // augmentation, regularisation. Empty when the space is about architectures alone.
  Json recipe = Json::object();

  // Two candidates with equal hashes train alike.
  std::uint64_t hash() const { return hash_text(recipe.dump(), architecture.canonical_hash()); }

  Json to_json() const;
  static Candidate from_json(const Json& json, const Operations& operations = Operations::built_in());
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json Candidate::to_json() const { return {{"architecture", architecture.to_json()}, {"recipe", recipe}}; }

WEFT_INLINE Candidate Candidate::from_json(const Json& json, const Operations& operations) {
  if (!json.is_object() || !json.contains("architecture") || !json.value("recipe", Json::object()).is_object()) {
    throw InvalidInput("a candidate is {\"architecture\": {..}, \"recipe\": {..}}, not " + json.dump().substr(0, 200));
  }
  return {Architecture::from_json(json.at("architecture"), operations), json.value("recipe", Json::object())};
}
#endif

}  // namespace weft
