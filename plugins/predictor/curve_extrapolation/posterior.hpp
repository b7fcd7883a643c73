// The model of Domhan et al. 2015, section 3: a curve is a weighted mean of families with Gaussian noise,
//
//   y_t = sum_k w_k f_k(t | theta_k) / sum_k w_k + epsilon,   epsilon ~ N(0, sigma^2)
//
// The prior is flat where weights are not negative, sigma is within its range, and every family's parameters are within
// their bounds and its curve rises to a value at the horizon that can be. A point's term of the log-likelihood counts
// by its weight.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "families.hpp"
#include "least_squares.hpp"

namespace curve_extrapolation {

struct Interval {
  double least, largest;
  bool holds(double value) const { return value >= least && value <= largest; }
};

// What is to hold of a family's curve between the epoch 2 and the horizon. soft: f(horizon) >= f(2). strict: it does
// not fall between successive points of a grid.
enum class Monotonicity { none, soft, strict };

struct PriorOptions {
  Monotonicity monotonicity = Monotonicity::soft;
  std::size_t monotonicity_points = 100;
  double largest_value = 100.0;  // of a family at the horizon; the least is 0
  double largest_noise = 1.0;    // sigma
  // Of each family's parameters; none where the vector is empty.
  std::array<std::vector<Interval>, all_families.size()> bounds = {};
};

class Prior {
 public:
  Prior(PriorOptions options, double horizon) : options_(std::move(options)) {
    const std::size_t count = options_.monotonicity == Monotonicity::strict ? options_.monotonicity_points : 2;
    const double first = std::min(2.0, horizon);
    for (std::size_t i = 0; i + 1 < count; ++i)
      grid_.push_back({first + (horizon - first) * static_cast<double>(i) / static_cast<double>(count - 1)});
    grid_.push_back({horizon});
  }

  bool supports(const Family& family, const double* theta) const {
    const std::vector<Interval>& bounds = options_.bounds[index_of(family)];
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      if (!bounds[i].holds(theta[i])) return false;
    }
    const std::span<const Abscissa> grid(grid_);
    double end;
    family.values(theta, grid.last(1), &end);
    if (!(end >= 0.0 && end <= options_.largest_value)) return false;
    return options_.monotonicity == Monotonicity::none || rises(family, theta, end);
  }
  bool supports_noise(double sigma) const { return sigma > 0.0 && sigma < options_.largest_noise; }

 private:
  bool rises(const Family& family, const double* theta, double end) const {
    double before = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i + 1 < grid_.size(); ++i) {
      double value;
      family.values(theta, {&grid_[i], 1}, &value);
      if (!(value >= before)) return false;
      before = value;
    }
    return before <= end;
  }

  PriorOptions options_;
  std::vector<Abscissa> grid_;  // ends with the horizon
};

// Of the vector of all families' parameters, sigma, and a weight for each family.
class Posterior {
 public:
  Posterior(std::vector<const Family*> members, Prior prior, Points points, double horizon)
      : families_(std::move(members)), prior_(std::move(prior)), points_(std::move(points)), horizon_{horizon} {
    for (const Family* family : families_) parameters_ += family->parameters;
    for (const double weight : points_.weight) total_weight_ += weight;
  }

  std::size_t dimension() const { return parameters_ + 1 + families_.size(); }
  double sigma(std::span<const double> theta) const { return theta[parameters_]; }
  double end(std::span<const double> theta) const {
    double value;
    combine(theta, {&horizon_, 1}, &value);
    return value;
  }

  // The logarithm of the density, up to a constant.
  double operator()(std::span<const double> theta) const {
    if (!supported(theta)) return -std::numeric_limits<double>::infinity();
    const double squared_error = weighted_squared_error(theta);
    const double noise = sigma(theta);
    const double log_likelihood = -total_weight_ * std::log(noise) - squared_error / (2.0 * noise * noise);
    return std::isfinite(log_likelihood) ? log_likelihood : -std::numeric_limits<double>::infinity();
  }

  double weighted_squared_error(std::span<const double> theta) const {
    double sum = 0.0;
    std::array<double, block> values;
    for (std::size_t begin = 0; begin < points_.size(); begin += block) {
      const std::size_t count = std::min(block, points_.size() - begin);
      combine(theta, std::span(points_.at).subspan(begin, count), values.data());
      for (std::size_t i = 0; i < count; ++i) {
        const double error = points_.y[begin + i] - values[i];
        sum += points_.weight[begin + i] * error * error;
      }
    }
    return sum;
  }
  double total_weight() const { return total_weight_; }

 private:
  static constexpr std::size_t block = 128;  // points, at most, whose values are held at once

  std::span<const double> weights(std::span<const double> theta) const { return theta.last(families_.size()); }

  // What is quickly told comes first.
  bool supported(std::span<const double> theta) const {
    if (!prior_.supports_noise(sigma(theta))) return false;
    double total = 0.0;
    for (const double weight : weights(theta)) {
      if (!(weight >= 0.0)) return false;
      total += weight;
    }
    if (!(total > 0.0)) return false;
    const double* parameters = theta.data();
    for (const Family* family : families_) {
      if (!prior_.supports(*family, parameters)) return false;
      parameters += family->parameters;
    }
    return true;
  }

  // The weighted mean of the families, at most `block` values.
  void combine(std::span<const double> theta, std::span<const Abscissa> at, double* combined) const {
    std::array<double, block> values;
    std::fill_n(combined, at.size(), 0.0);
    const std::span<const double> weight = weights(theta);
    double total = 0.0;
    for (const double one : weight) total += one;
    const double* parameters = theta.data();
    for (std::size_t k = 0; k < families_.size(); ++k) {
      families_[k]->values(parameters, at, values.data());
      for (std::size_t i = 0; i < at.size(); ++i) combined[i] += weight[k] / total * values[i];
      parameters += families_[k]->parameters;
    }
  }

  std::vector<const Family*> families_;
  Prior prior_;
  Points points_;
  Abscissa horizon_;
  std::size_t parameters_ = 0;
  double total_weight_ = 0.0;
};

}  // namespace curve_extrapolation
