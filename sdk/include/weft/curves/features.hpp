// A candidate as numbers of mean 0 and variance 1: its parameters and multiply-adds (their logarithms), its layers, and
// every number of its recipe.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "weft/curve.hpp"
#include "weft/json.hpp"

namespace weft::curves {

// By name; a member of the recipe's members has a path.
inline std::map<std::string, double> numbers_of(const Json& features) {
  std::map<std::string, double> numbers;
  if (!features.is_object()) return numbers;
  const Json flat = features.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (!value.is_number() && !value.is_boolean()) continue;
    const bool logarithm = path == "/parameters" || path == "/multiply_adds";
    if (!logarithm && path != "/layers" && !path.starts_with("/recipe/")) continue;
    const double number = value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
    numbers[path] = logarithm ? std::log1p(std::max(0.0, number)) : number;
  }
  return numbers;
}

// The numbers of candidates in columns, standardised.
class Standardised {
 public:
  Standardised() = default;

  // Mean and variance are those of these curves; what is the same for all of them is left out.
  explicit Standardised(std::span<const LearningCurve> curves) {
    std::map<std::string, std::vector<double>> columns;
    for (const LearningCurve& curve : curves) {
      for (const auto& [name, number] : numbers_of(curve.features)) {
        if (std::isfinite(number)) columns[name].push_back(number);
      }
    }
    for (const auto& [name, column] : columns) {
      const Eigen::Map<const Eigen::ArrayXd> numbers(column.data(), static_cast<Eigen::Index>(column.size()));
      const double mean = numbers.mean();
      const double deviation = std::sqrt((numbers - mean).square().mean());
      if (deviation > 1e-9 * (1.0 + std::abs(mean))) columns_.push_back({name, mean, deviation});
    }
  }

  Eigen::Index size() const { return static_cast<Eigen::Index>(columns_.size()); }

  // A number that is missing is taken to be the mean.
  Eigen::VectorXd of(const LearningCurve& curve) const {
    const std::map<std::string, double> numbers = numbers_of(curve.features);
    Eigen::VectorXd standardised = Eigen::VectorXd::Zero(size());
    for (Eigen::Index i = 0; i < size(); ++i) {
      const Column& column = columns_[static_cast<std::size_t>(i)];
      const auto at = numbers.find(column.name);
      if (at == numbers.end() || !std::isfinite(at->second)) continue;
      standardised[i] = (at->second - column.mean) / column.deviation;
    }
    return standardised;
  }

 private:
  struct Column {
    std::string name;
    double mean, deviation;
  };
  std::vector<Column> columns_;
};

}  // namespace weft::curves
