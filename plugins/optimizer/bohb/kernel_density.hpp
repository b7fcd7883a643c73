// The kernel density of BOHB, over decisions that are numbers in [0, 1] or categories.
//
// A product kernel: Gaussian for numbers, that of Aitchison and Aitken 1976 for categories, 1 - h where they agree and
// h / (c - 1) at each other one of c. Bandwidths by the normal reference rule, 1.06 s n^(-1 / (4 + d)) of n points with
// d decisions. Deviation from HpBandSter, whose h may exceed 1 and then makes densities negative: h is at most (c - 1)
// / c, where the kernel is uniform.
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "weft/rng.hpp"

namespace bohb {

struct Variable {
  std::size_t options;
  bool ordinal;

  // Where an option lies: a number in the middle of its share of [0, 1], or the category itself.
  double value_of(std::size_t option) const {
    const auto number = static_cast<double>(option);
    return ordinal ? (number + 0.5) / static_cast<double>(options) : number;
  }
  std::size_t option_at(double value) const {
    if (!ordinal) return static_cast<std::size_t>(value);
    return std::min(options - 1, static_cast<std::size_t>(value * static_cast<double>(options)));
  }
};

enum class CategoryDeviation { nominal, index };

// sqrt of the mean squared distance from the mean; divided by n, not by n - 1.
inline double standard_deviation(std::span<const double> values) {
  double mean = 0.0, squares = 0.0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean) / static_cast<double>(values.size());
  return std::sqrt(squares);
}

// sqrt((1 - sum p^2) / 2) of the categories' shares: of two categories the standard deviation of their numbers.
inline double nominal_deviation(std::span<const double> categories, std::size_t options) {
  std::vector<double> shares(options, 0.0);
  for (const double category : categories)
    shares[static_cast<std::size_t>(category)] += 1.0 / static_cast<double>(categories.size());
  double same = 0.0;
  for (const double share : shares) same += share * share;
  return std::sqrt(std::max(0.0, 1.0 - same) / 2.0);
}

struct Rule {
  double min_bandwidth;
  CategoryDeviation category_deviation;
};

inline double bandwidth(const Variable& variable, std::span<const double> values, std::size_t decisions,
                        const Rule& rule) {
  const bool nominal = !variable.ordinal && rule.category_deviation == CategoryDeviation::nominal;
  const double deviation = nominal ? nominal_deviation(values, variable.options) : standard_deviation(values);
  const double n = static_cast<double>(values.size());
  const double reference = 1.06 * deviation * std::pow(n, -1.0 / (4.0 + static_cast<double>(decisions)));
  const double bandwidth = std::max(reference, rule.min_bandwidth);
  return variable.ordinal ? bandwidth : std::min(bandwidth, 1.0 - 1.0 / static_cast<double>(variable.options));
}

class KernelDensity {
 public:
  // `points`: points x decisions, not empty.
  KernelDensity(std::vector<Variable> variables, std::vector<double> points, const Rule& rule)
      : variables_(std::move(variables)), points_(std::move(points)) {
    assert(!points_.empty() && points_.size() % variables_.size() == 0 && "points x decisions");
    for (std::size_t i = 0; i < variables_.size(); ++i) {
      std::vector<double> values;
      for (std::size_t at = i; at < points_.size(); at += variables_.size()) values.push_back(points_[at]);
      const double h = bandwidths_.emplace_back(bandwidth(variables_[i], values, variables_.size(), rule));
      same_.push_back(variables_[i].ordinal ? -std::log(h * std::sqrt(2.0 * std::numbers::pi)) : std::log1p(-h));
      other_.push_back(std::log(h / (static_cast<double>(variables_[i].options) - 1.0)));
    }
  }

  std::size_t size() const { return points_.size() / variables_.size(); }
  std::span<const double> point(std::size_t index) const {
    return std::span(points_).subspan(index * variables_.size(), variables_.size());
  }
  const std::vector<double>& bandwidths() const { return bandwidths_; }

  // In logarithms, as a product over many decisions leaves the range of doubles.
  double log_density(std::span<const double> at) const {
    std::vector<double> terms;
    for (std::size_t index = 0; index < size(); ++index) {
      double term = 0.0;
      for (std::size_t i = 0; i < variables_.size(); ++i) term += log_kernel(i, point(index)[i], at[i]);
      terms.push_back(term);
    }
    const double largest = *std::max_element(terms.begin(), terms.end());
    if (largest == -std::numeric_limits<double>::infinity()) return largest;
    double sum = 0.0;
    for (const double term : terms) sum += std::exp(term - largest);
    return largest + std::log(sum / static_cast<double>(size()));
  }

 private:
  double log_kernel(std::size_t variable, double centre, double at) const {
    if (!variables_[variable].ordinal) return at == centre ? same_[variable] : other_[variable];
    const double distance = (at - centre) / bandwidths_[variable];
    return same_[variable] - 0.5 * distance * distance;
  }

  std::vector<Variable> variables_;
  std::vector<double> points_;
  std::vector<double> bandwidths_;
  std::vector<double> same_, other_;  // by variable: logarithms of a kernel at its centre, and at another category
};

// From a normal distribution truncated to [0, 1], whose mean lies in it: by rejection, of itself where it is narrow, of
// a uniform one where it is wide.
inline double truncated_normal(double mean, double deviation, weft::Rng& rng) {
  for (;;) {
    const double drawn = deviation < 1.0 ? mean + deviation * rng.normal() : rng.uniform();
    const double distance = (drawn - mean) / deviation;
    if (deviation < 1.0 ? drawn >= 0.0 && drawn <= 1.0 : rng.bernoulli(std::exp(-0.5 * distance * distance)))
      return drawn;
  }
}

}  // namespace bohb
