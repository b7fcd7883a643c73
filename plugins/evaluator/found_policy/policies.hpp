// Policies made of others.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace found_policy {

using weft::Json;

// The policy in a candidate's recipe, a list, of which `augmentation` is the member of that name; const as that is.
// Throws InvalidInput where there is not exactly one.
template <typename MaybeConst>
MaybeConst& policy_of(MaybeConst& augmentation) {
  MaybeConst* found = nullptr;
  for (MaybeConst& use : augmentation) {
    if (!use.is_object() || !use.contains("args") || !use.at("args").contains("policy")) continue;
    if (!use.at("args").at("policy").is_array()) continue;
    if (found != nullptr)
      throw weft::InvalidInput("the candidate's recipe has several policies: " + augmentation.dump());
    found = &use.at("args").at("policy");
  }
  if (found == nullptr)
    throw weft::InvalidInput("the candidate's recipe has no policy among its augmentations: " + augmentation.dump());
  return *found;
}

// What two sub-policies have in common that are not both kept: `operations` of one policy, `equal` of all.
enum class Duplicates { all, equal, operations };

// All sub-policies, in their order, of each set of duplicates the first. A sub-policy is a list of [operation, ..].
inline Json united(const std::vector<Json>& policies, Duplicates duplicates) {
  const auto key = [&](const Json& sub_policy) {
    if (duplicates == Duplicates::equal) return sub_policy.dump();
    std::string names;
    for (const Json& operation : sub_policy) names += operation.at(0).dump();
    return names;
  };
  Json all = Json::array();
  std::set<std::string> known;
  for (const Json& policy : policies) {
    if (duplicates == Duplicates::operations) known.clear();
    for (const Json& sub_policy : policy) {
      if (!sub_policy.is_array())
        throw weft::InvalidInput("/found is \"union\", but the policy " + policy.dump().substr(0, 80) +
                                 " is not made of sub-policies; use \"schedule\"");
      if (duplicates == Duplicates::all || known.insert(key(sub_policy)).second) all.push_back(sub_policy);
    }
  }
  return all;
}

// [[epochs, policy], ..] of the policies that a training has had one after the other, each up to so many epochs in all.
inline Json scheduled(const std::vector<std::pair<int, Json>>& policies) {
  Json schedule = Json::array();
  int before = 0;
  for (const auto& [epochs, policy] : policies) {
    if (!schedule.empty() && schedule.back().at(1) == policy) {
      schedule.back().at(0) = schedule.back().at(0).get<int>() + epochs - before;
    } else {
      schedule.push_back({epochs - before, policy});
    }
    before = epochs;
  }
  return schedule;
}

}  // namespace found_policy
