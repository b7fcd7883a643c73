// The curve of a family that is nearest to some points: weighted least squares by Levenberg-Marquardt, and where that
// comes to no end by BFGS, as in Domhan et al.'s code.
//
// Ours: the first step is bounded by a hundredth of the start's length, where MINPACK's default is a hundred times it.
// From the starts of the families that leaves the basin of the solution: of curves drawn from pow3 it misses a third to
// a half.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <unsupported/Eigen/NonLinearOptimization>
#include <unsupported/Eigen/NumericalDiff>
#include <vector>

#include "families.hpp"

namespace curve_extrapolation {

// What is to be fitted; the three have one size.
struct Points {
  std::vector<Abscissa> at;
  std::vector<double> y;
  std::vector<double> weight;

  std::size_t size() const { return y.size(); }
};

namespace detail {

// sqrt(weight_i) (f(x_i) - y_i), for Eigen's port of MINPACK.
struct Residuals {
  using Scalar = double;
  using InputType = Eigen::VectorXd;
  using ValueType = Eigen::VectorXd;
  using JacobianType = Eigen::MatrixXd;
  enum { InputsAtCompileTime = Eigen::Dynamic, ValuesAtCompileTime = Eigen::Dynamic };

  const Family* family;
  const Points* points;

  int inputs() const { return static_cast<int>(family->parameters); }
  int values() const { return static_cast<int>(points->size()); }
  int operator()(const InputType& theta, ValueType& residuals) const {
    family->values(theta.data(), points->at, residuals.data());
    for (std::size_t i = 0; i < points->size(); ++i) {
      double& residual = residuals[static_cast<Eigen::Index>(i)];
      residual = std::sqrt(points->weight[i]) * (residual - points->y[i]);
    }
    return 0;
  }
  double squared(const InputType& theta) const {
    ValueType residuals(values());
    (*this)(theta, residuals);
    return residuals.squaredNorm();
  }
};

inline Eigen::VectorXd start_of(const Family& family) {
  return Eigen::Map<const Eigen::VectorXd>(family.start.data(), static_cast<Eigen::Index>(family.parameters));
}

inline std::optional<Eigen::VectorXd> levenberg_marquardt(const Residuals& residuals) {
  if (residuals.values() < residuals.inputs()) return {};
  Eigen::NumericalDiff<Residuals> with_jacobian(residuals);
  Eigen::LevenbergMarquardt<Eigen::NumericalDiff<Residuals>> solver(with_jacobian);
  solver.parameters.maxfev = 2000;
  solver.parameters.factor = 0.01;
  solver.parameters.ftol = solver.parameters.xtol = 1e-12;
  Eigen::VectorXd theta = start_of(*residuals.family);
  const int status = solver.minimize(theta);
  // From 1, where the sum of squares ceases to fall, to 8, where it cannot; 5 is too many evaluations.
  const bool ended = status >= Eigen::LevenbergMarquardtSpace::RelativeReductionTooSmall &&
                     status <= Eigen::LevenbergMarquardtSpace::GtolTooSmall &&
                     status != Eigen::LevenbergMarquardtSpace::TooManyFunctionEvaluation;
  if (!ended || !theta.allFinite() || !std::isfinite(residuals.squared(theta))) return {};
  return theta;
}

// By central differences.
inline Eigen::VectorXd gradient(const Residuals& residuals, const Eigen::VectorXd& theta) {
  Eigen::VectorXd gradient(theta.size());
  for (Eigen::Index i = 0; i < theta.size(); ++i) {
    const double step = 1e-6 * std::max(1e-2, std::abs(theta[i]));
    Eigen::VectorXd up = theta, down = theta;
    up[i] += step;
    down[i] -= step;
    gradient[i] = (residuals.squared(up) - residuals.squared(down)) / (up[i] - down[i]);
  }
  return gradient;
}

// Nocedal and Wright 2006, "Numerical Optimization", algorithm 6.1, with steps halved until they go down enough.
inline std::optional<Eigen::VectorXd> bfgs(const Residuals& residuals) {
  Eigen::VectorXd theta = start_of(*residuals.family);
  const Eigen::MatrixXd identity = Eigen::MatrixXd::Identity(theta.size(), theta.size());
  Eigen::MatrixXd inverse = identity;  // of the Hessian
  double value = residuals.squared(theta);
  Eigen::VectorXd slope = gradient(residuals, theta);
  for (int iteration = 0; iteration < 500 && std::isfinite(value) && slope.allFinite(); ++iteration) {
    Eigen::VectorXd direction = -inverse * slope;
    if (direction.dot(slope) >= 0.0) {
      inverse = identity;
      direction = -slope;
    }
    double length = 1.0;
    Eigen::VectorXd next = theta + direction;
    while (length > 1e-12 && !(residuals.squared(next) <= value + 1e-4 * length * direction.dot(slope))) {
      length /= 2.0;
      next = theta + length * direction;
    }
    const double reached = residuals.squared(next);
    if (!(reached < value - 1e-12 * value)) return theta;  // there is no way down from here
    const Eigen::VectorXd next_slope = gradient(residuals, next);
    const Eigen::VectorXd s = next - theta, y = next_slope - slope;
    if (const double curvature = s.dot(y); curvature > 0.0) {
      const Eigen::MatrixXd left = identity - s * y.transpose() / curvature;
      inverse = left * inverse * left.transpose() + s * s.transpose() / curvature;
    }
    theta = next;
    slope = next_slope;
    value = reached;
  }
  return {};
}

}  // namespace detail

// Nothing where the fit comes to no end or leaves the family's domain.
inline std::optional<std::vector<double>> least_squares(const Family& family, const Points& points) {
  const detail::Residuals residuals{&family, &points};
  std::optional<Eigen::VectorXd> theta = detail::levenberg_marquardt(residuals);
  if (!theta) theta = detail::bfgs(residuals);
  if (!theta) return {};
  return std::vector<double>(theta->begin(), theta->end());
}

// Root mean square of the residuals, weighted.
inline double residual_deviation(const Family& family, const std::vector<double>& parameters, const Points& points) {
  const detail::Residuals residuals{&family, &points};
  const double total = std::accumulate(points.weight.begin(), points.weight.end(), 0.0);
  return std::sqrt(residuals.squared(Eigen::Map<const Eigen::VectorXd>(parameters.data(),
                                                                       static_cast<Eigen::Index>(parameters.size()))) /
                   total);
}

}  // namespace curve_extrapolation
