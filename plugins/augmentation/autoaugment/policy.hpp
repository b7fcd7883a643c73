// Policies of image operations: what autoaugment follows.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weft/torch/image_operations.hpp"

namespace weft {

// One operation of a sub-policy: with this probability, at this level of 0 to 9.
struct PolicyStep {
  ImageOperation operation;
  double probability, level;
};
using SubPolicy = std::vector<PolicyStep>;
using Policy = std::vector<SubPolicy>;

constexpr std::int64_t policy_levels = 10;

namespace detail {

inline PolicyStep policy_step(const Json& json, const std::string& place) {
  const auto refuse = [&](const std::string& rule) { return InvalidInput(place + " is " + json.dump() + "; " + rule); };
  if (!json.is_array() || json.size() != 3 || !json[0].is_string() || !json[1].is_number() || !json[2].is_number())
    throw refuse("must be [operation, probability, magnitude], such as [\"Rotate\", 0.7, 2]");
  const double probability = json[1].get<double>(), level = json[2].get<double>();
  if (!(probability >= 0.0 && probability <= 1.0)) throw refuse("the probability must be from 0 to 1");
  if (!(level >= 0.0 && level <= policy_levels - 1)) throw refuse("the magnitude must be from 0 to 9");
  try {
    return {image_operation(json[0].get<std::string>()), probability, level};
  } catch (const InvalidInput& error) {
    throw InvalidInput(place + "/0: " + std::string(error.what()));
  }
}

}  // namespace detail

// As the paper's appendix has it, "Concrete policies": five searches' best five sub-policies each. A sub-policy stands
// in one line, operation, probability and level.
inline Policy cifar10_policy() {
  struct Row {
    struct {
      const char* operation;
      double probability, level;
    } first, second;
  };
  static constexpr Row rows[] = {
      // clang-format off
      {{"Invert", 0.1, 7}, {"Contrast", 0.2, 6}},
      {{"Rotate", 0.7, 2}, {"TranslateX", 0.3, 9}},
      {{"Sharpness", 0.8, 1}, {"Sharpness", 0.9, 3}},
      {{"ShearY", 0.5, 8}, {"TranslateY", 0.7, 9}},
      {{"AutoContrast", 0.5, 8}, {"Equalize", 0.9, 2}},
      {{"ShearY", 0.2, 7}, {"Posterize", 0.3, 7}},
      {{"Color", 0.4, 3}, {"Brightness", 0.6, 7}},
      {{"Sharpness", 0.3, 9}, {"Brightness", 0.7, 9}},
      {{"Equalize", 0.6, 5}, {"Equalize", 0.5, 1}},
      {{"Contrast", 0.6, 7}, {"Sharpness", 0.6, 5}},
      {{"Color", 0.7, 7}, {"TranslateX", 0.5, 8}},
      {{"Equalize", 0.3, 7}, {"AutoContrast", 0.4, 8}},
      {{"TranslateY", 0.4, 3}, {"Sharpness", 0.2, 6}},
      {{"Brightness", 0.9, 6}, {"Color", 0.2, 8}},
      {{"Solarize", 0.5, 2}, {"Invert", 0, 3}},
      {{"Equalize", 0.2, 0}, {"AutoContrast", 0.6, 0}},
      {{"Equalize", 0.2, 8}, {"Equalize", 0.6, 4}},
      {{"Color", 0.9, 9}, {"Equalize", 0.6, 6}},
      {{"AutoContrast", 0.8, 4}, {"Solarize", 0.2, 8}},
      {{"Brightness", 0.1, 3}, {"Color", 0.7, 0}},
      {{"Solarize", 0.4, 5}, {"AutoContrast", 0.9, 3}},
      {{"TranslateY", 0.9, 9}, {"TranslateY", 0.7, 9}},
      {{"AutoContrast", 0.9, 2}, {"Solarize", 0.8, 3}},
      {{"Equalize", 0.8, 8}, {"Invert", 0.1, 3}},
      {{"TranslateY", 0.7, 9}, {"AutoContrast", 0.9, 1}},
      // clang-format on
  };
  Policy policy;
  for (const auto& [first, second] : rows) {
    policy.push_back({{image_operation(first.operation), first.probability, first.level},
                      {image_operation(second.operation), second.probability, second.level}});
  }
  return policy;
}

// Of the argument `policy`: "cifar10", or [[[operation, probability, magnitude]..]..].
inline Policy policy_of(const Json& json) {
  if (json == "cifar10") return cifar10_policy();
  if (!json.is_array() || json.empty())
    throw InvalidInput("/policy is " + json.dump() + "; must be a list of sub-policies, or \"cifar10\"");
  Policy policy;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string place = "/policy/" + std::to_string(i);
    if (!json[i].is_array() || json[i].empty())
      throw InvalidInput(place + " is " + json[i].dump() + "; must be a list of [operation, probability, magnitude]");
    SubPolicy& sub_policy = policy.emplace_back();
    for (std::size_t j = 0; j < json[i].size(); ++j)
      sub_policy.push_back(detail::policy_step(json[i][j], place + "/" + std::to_string(j)));
  }
  return policy;
}

// For each image, what happens to it first, second, .. : its sub-policy's operations, each with its probability.
inline std::vector<std::vector<std::optional<ImageChange>>> drawn(const Policy& policy, Magnitudes map,
                                                                  std::size_t images, std::int64_t height,
                                                                  std::int64_t width, Rng& rng) {
  std::vector<std::vector<std::optional<ImageChange>>> steps;
  for (std::size_t image = 0; image < images; ++image) {
    const SubPolicy& sub_policy = rng.choice(policy);
    while (steps.size() < sub_policy.size()) steps.emplace_back(images);
    for (std::size_t step = 0; step < sub_policy.size(); ++step) {
      const auto& [operation, probability, level] = sub_policy[step];
      if (rng.bernoulli(probability))
        steps[step][image] = image_change(operation, map, level, policy_levels, height, width, rng);
    }
  }
  return steps;
}

}  // namespace weft
