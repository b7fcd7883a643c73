// What a regressor sees of a curve: its first points (TS), the architecture (AP) and the recipe (HP), in numbers.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weft/curve.hpp"
#include "weft/json.hpp"

namespace sequential_regression {

// The numbers among a curve's features by their names: "parameters", "layers", and those of the recipe by their paths.
// Switches count as 0 and 1.
inline std::map<std::string, double> numbers_of(const weft::Json& features) {
  std::map<std::string, double> numbers;
  const auto add = [&](const std::string& name, const weft::Json& value) {
    if (value.is_number()) numbers[name] = value.get<double>();
    if (value.is_boolean()) numbers[name] = value.get<bool>() ? 1.0 : 0.0;
  };
  if (!features.is_object()) return numbers;
  for (const char* const name : {"parameters", "layers"}) {
    if (features.contains(name)) add(name, features.at(name));
  }
  if (!features.contains("recipe")) return numbers;
  const weft::Json recipe = features.at("recipe").flatten();
  for (const auto& [path, value] : recipe.items()) add("recipe" + path, value);
  return numbers;
}

// A learning curve, as far as regressors read it.
struct Curve {
  std::vector<std::int32_t> epochs;
  std::vector<double> rewards;
  std::map<std::string, double> numbers;

  explicit Curve(const weft::LearningCurve& curve)
      : epochs(curve.epochs), rewards(curve.rewards), numbers(numbers_of(curve.features)) {}

  // How many of its points a horizon covers.
  std::size_t points_until(std::int32_t horizon) const {
    return static_cast<std::size_t>(std::upper_bound(epochs.begin(), epochs.end(), horizon) - epochs.begin());
  }

  // The reward after `horizon` epochs, where the training came that far.
  std::optional<double> reward_at(std::int32_t horizon) const {
    const std::size_t points = points_until(horizon);
    if (points == 0 || epochs.back() < horizon) return {};
    return rewards[points - 1];
  }

  bool begins_with(std::span<const std::int32_t> first) const {
    return epochs.size() >= first.size() && std::equal(first.begin(), first.end(), epochs.begin());
  }

  bool finite(std::size_t points) const {
    return std::all_of(rewards.begin(), rewards.begin() + static_cast<std::ptrdiff_t>(points),
                       [](double reward) { return std::isfinite(reward); });
  }
};

// y_1 .. y_tau, their first and their second differences, then `names` of the numbers: NaN for one that is missing.
inline Eigen::VectorXd features_of(const Curve& curve, std::size_t points, std::span<const std::string> names) {
  const std::vector<double>& y = curve.rewards;
  std::vector<double> values(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(points));
  for (std::size_t i = 1; i < points; ++i) values.push_back(y[i] - y[i - 1]);
  for (std::size_t i = 2; i < points; ++i) values.push_back((y[i] - y[i - 1]) - (y[i - 1] - y[i - 2]));
  for (const std::string& name : names) {
    const auto found = curve.numbers.find(name);
    values.push_back(found == curve.numbers.end() ? std::numeric_limits<double>::quiet_NaN() : found->second);
  }
  return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
}

// To mean 0 and variance 1, column by column; columns that are constant, or too large to have a variance, are left out.
// What is missing is taken for the mean.
class Standardisation {
 public:
  // rows: samples x columns.
  explicit Standardisation(const Eigen::MatrixXd& rows) {
    for (Eigen::Index column = 0; column < rows.cols(); ++column) add(column, rows.col(column));
  }

  Eigen::VectorXd operator()(const Eigen::VectorXd& row) const {
    Eigen::VectorXd standard(static_cast<Eigen::Index>(columns_.size()));
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const double value = (row(columns_[i].index) - columns_[i].mean) / columns_[i].deviation;
      standard(static_cast<Eigen::Index>(i)) = std::isnan(value) ? 0.0 : value;
    }
    return standard;
  }

 private:
  struct Column {
    Eigen::Index index;
    double mean, deviation;
  };

  void add(Eigen::Index index, const Eigen::VectorXd& column) {
    double count = 0.0, mean = 0.0, largest = 0.0, squares = 0.0;
    for (const double value : column) {
      if (std::isnan(value)) continue;
      mean += (value - mean) / ++count;
      largest = std::max(largest, std::abs(value));
    }
    for (const double value : column) squares += std::isnan(value) ? 0.0 : (value - mean) * (value - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(column.size()));
    // Rounding leaves a constant a deviation of about 1e-16 of itself.
    if (std::isfinite(deviation) && deviation > 1e-13 * largest) columns_.push_back({index, mean, deviation});
  }

  std::vector<Column> columns_;
};

}  // namespace sequential_regression
