// Curves that reached a horizon as samples of a regression, and its answers as rewards.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "features.hpp"
#include "regression.hpp"

namespace sequential_regression {

class Encoding {
 public:
  // Reads tau = `points` of each curve; all have reached `horizon`. Answers are kept within the range of the ends,
  // widened by `margin` of it on both sides.
  Encoding(std::span<const Curve* const> curves, int horizon, std::size_t points, double margin)
      : horizon_(horizon), points_(points), names_(names_in(curves)), standardisation_(features(curves)) {
    const Eigen::VectorXd all = ends(curves);
    mean_ = all.mean();
    deviation_ = std::sqrt((all.array() - mean_).square().mean());
    const double range = all.maxCoeff() - all.minCoeff();
    least_ = all.minCoeff() - margin * range;
    most_ = all.maxCoeff() + margin * range;
  }

  // Whether there is something to learn: the ends differ, and not by so much that they have no variance.
  bool useful() const { return std::isfinite(deviation_) && deviation_ > 1e-13 * std::max(-least_, most_); }

  Eigen::VectorXd input(const Curve& curve) const { return standardisation_(features_of(curve, points_, names_)); }

  Samples samples(std::span<const Curve* const> curves) const {
    Samples samples{{}, (ends(curves).array() - mean_) / deviation_};
    for (std::size_t i = 0; i < curves.size(); ++i) {
      const Eigen::VectorXd row = input(*curves[i]);
      if (i == 0) samples.inputs.resize(samples.size(), row.size());
      samples.inputs.row(static_cast<Eigen::Index>(i)) = row.transpose();
    }
    return samples;
  }

  double reward(double answer) const {
    const double reward = mean_ + deviation_ * answer;
    return std::isnan(reward) ? reward : std::clamp(reward, least_, most_);
  }
  // Of a standard deviation.
  double reward_width(double answer) const { return deviation_ * answer; }

 private:
  static std::vector<std::string> names_in(std::span<const Curve* const> curves) {
    std::set<std::string> names;
    for (const Curve* const curve : curves) {
      for (const auto& [name, number] : curve->numbers) names.insert(name);
    }
    return {names.begin(), names.end()};
  }

  // curves x columns
  Eigen::MatrixXd features(std::span<const Curve* const> curves) const {
    Eigen::MatrixXd rows;
    for (std::size_t i = 0; i < curves.size(); ++i) {
      const Eigen::VectorXd row = features_of(*curves[i], points_, names_);
      if (i == 0) rows.resize(static_cast<Eigen::Index>(curves.size()), row.size());
      rows.row(static_cast<Eigen::Index>(i)) = row.transpose();
    }
    return rows;
  }

  Eigen::VectorXd ends(std::span<const Curve* const> curves) const {
    Eigen::VectorXd ends(static_cast<Eigen::Index>(curves.size()));
    for (std::size_t i = 0; i < curves.size(); ++i)
      ends(static_cast<Eigen::Index>(i)) = *curves[i]->reward_at(horizon_);
    return ends;
  }

  int horizon_;
  std::size_t points_;
  std::vector<std::string> names_;  // of the numbers of architecture and recipe
  Standardisation standardisation_;
  double mean_ = 0.0, deviation_ = 0.0;  // of the ends
  double least_ = 0.0, most_ = 0.0;
};

}  // namespace sequential_regression
