// Morphs that a space finds by trying: what spaces of open-ended graphs share in their Morphisms (weft/space.hpp).
//
// `names` are those that the space's arguments allow. `list(name)` gives all of that name that may be possible, and
// `applies(morph)` says whether one is.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"

namespace weft::tried_morphs {

// All that can be done, name by name.
template <typename List, typename Applies>
std::vector<Json> all(const std::vector<std::string>& names, const List& list, const Applies& applies) {
  std::vector<Json> found;
  for (const std::string& name : names) {
    for (Json& morph : list(name)) {
      if (applies(morph)) found.push_back(std::move(morph));
    }
  }
  return found;
}

// One of them, each name equally likely, or nothing; so that not all have to be tried. `vary` may draw a morph's numbers
// anew, before it is tried.
template <typename List, typename Vary, typename Applies>
std::optional<Json> draw(std::vector<std::string> names, Rng& rng, const List& list, const Vary& vary,
                         const Applies& applies) {
  rng.shuffle(names);
  for (const std::string& name : names) {
    std::vector<Json> morphs = list(name);
    rng.shuffle(morphs);
    for (Json& morph : morphs) {
      vary(morph);
      if (applies(morph)) return std::move(morph);
    }
  }
  return {};
}

// Throws InvalidInput if it has none, or one that is not allowed.
inline std::string name_of(const Json& morph, const std::vector<std::string>& names) {
  if (!morph.is_object() || !morph.contains("morph") || !morph.at("morph").is_string())
    throw InvalidInput("a morph is an object with \"morph\", its name, not " + morph.dump());
  std::string name = morph.at("morph");
  if (std::find(names.begin(), names.end(), name) != names.end()) return name;
  std::string known;
  for (const std::string& one : names) known += (known.empty() ? "" : ", ") + one;
  throw InvalidInput("the morph " + morph.at("morph").dump() + " is none of /morphs: " + known);
}

// "widen layer 1/conv2d, factor 2".
inline std::string in_words(const Json& morph) {
  std::string words = morph.at("morph");
  if (morph.contains("at")) words += " " + morph.at("at").get<std::string>();
  for (const auto& [name, value] : morph.items()) {
    if (name != "morph" && name != "at")
      words += ", " + name + " " + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return words;
}

}  // namespace weft::tried_morphs
