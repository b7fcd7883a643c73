// The estimators of TPE: how the good trials are told from the rest, and the Parzen estimators of both.
//
// A decision has finitely many options, so that a kernel is a list of their probabilities: a categorical one has most
// of its mass at what was observed; an ordinal one is a normal distribution over the options' numbers, truncated to
// half an option beyond the first and the last, of which each option takes the mass within half an option of it. An
// estimator is a mixture of such kernels, one for each observation and one that stands for the prior.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/decision.hpp"
#include "weft/rng.hpp"

namespace tpe {

// ---- which trials are good ------------------------------------------------------------------------------------------

// gamma(n), the number of good ones among n trials: a tenth (Optuna), or a quarter of the square root (Hyperopt);
// rounded up, 25 at most.
inline std::size_t good_trials(std::size_t trials, std::string_view preset) {
  const double root = 0.25 * std::sqrt(static_cast<double>(trials));
  const std::size_t good = preset == "hyperopt" ? static_cast<std::size_t>(std::ceil(root)) : (trials + 9) / 10;
  return std::min<std::size_t>(good, 25);
}

// ---- weights --------------------------------------------------------------------------------------------------------

// Of n observations, oldest first: the newest 25 weigh 1, the weight of older ones rises from 1/n to 1.
inline std::vector<double> weights_by_age(std::size_t observations) {
  constexpr std::size_t newest = 25;
  std::vector<double> weights(observations, 1.0);
  if (observations <= newest) return weights;
  const std::size_t older = observations - newest;
  const double first = 1.0 / static_cast<double>(observations);
  for (std::size_t i = 0; i < older; ++i)
    weights[i] = first + (older == 1 ? 0.0 : (1.0 - first) * static_cast<double>(i) / static_cast<double>(older - 1));
  return weights;
}

// Of the kernels, the prior's last; their sum is 1.
inline std::vector<double> kernel_weights(std::size_t observations, double prior_weight) {
  std::vector<double> weights = weights_by_age(observations);
  weights.push_back(prior_weight);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

// ---- kernels --------------------------------------------------------------------------------------------------------

// Of `kernels` in all, the prior's included: prior_weight / kernels on every option and 1 more on the one observed,
// normalised.
inline std::vector<double> categorical_kernel(std::size_t options, std::size_t observed, std::size_t kernels,
                                              double prior_weight) {
  const double base = prior_weight / static_cast<double>(kernels);
  const double sum = base * static_cast<double>(options) + 1.0;
  std::vector<double> kernel(options, base / sum);
  kernel[observed] = (base + 1.0) / sum;
  return kernel;
}

// Bounds of what the options' numbers are widened to.
struct Range {
  double low, high;
  double middle() const { return 0.5 * (low + high); }
  double width() const { return high - low; }
};
inline Range range_of(std::size_t options) { return {-0.5, static_cast<double>(options) - 0.5}; }

// P(from < X < to) of a standard normal X, without cancellation in either tail.
inline double normal_mass(double from, double to) {
  if (from > 0.0) return normal_mass(-to, -from);
  return 0.5 * (std::erfc(-to / std::sqrt(2.0)) - std::erfc(-from / std::sqrt(2.0)));
}

// The mass of every option under a normal distribution truncated to the range.
inline std::vector<double> ordinal_kernel(std::size_t options, double mean, double sigma) {
  const Range range = range_of(options);
  const double all = normal_mass((range.low - mean) / sigma, (range.high - mean) / sigma);
  std::vector<double> kernel(options);
  for (std::size_t option = 0; option < options; ++option) {
    const auto at = static_cast<double>(option);
    kernel[option] = normal_mass((at - 0.5 - mean) / sigma, (at + 0.5 - mean) / sigma) / all;
  }
  return kernel;
}

// For each observation the larger of the gaps to its neighbours among all of them and the mean of the prior, which is
// the range's middle; of the first and the last the gap within.
inline std::vector<double> neighbour_gaps(std::span<const double> observed, const Range& range) {
  std::vector<double> means(observed.begin(), observed.end());
  means.push_back(range.middle());
  std::vector<std::size_t> order(means.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return means[a] < means[b]; });
  std::vector<double> gaps(means.size(), 0.0);
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    const double gap = means[order[i + 1]] - means[order[i]];
    for (const std::size_t side : {order[i], order[i + 1]}) gaps[side] = std::max(gaps[side], gap);
  }
  gaps.pop_back();  // the prior's
  return gaps;
}

// No less than (high - low) / min(100, 1 + kernels), the prior's included, and no more than high - low.
inline double clipped(double sigma, std::size_t kernels, const Range& range) {
  return std::clamp(sigma, range.width() / std::min(100.0, 1.0 + static_cast<double>(kernels)), range.width());
}

// Of the multivariate estimator of d decisions: 0.2 k^(-1 / (d + 4)) (high - low), of k observations; before it is
// clipped.
inline double joint_sigma(std::size_t observations, std::size_t decisions, const Range& range) {
  const auto k = static_cast<double>(std::max<std::size_t>(observations, 1));
  return 0.2 * std::pow(k, -1.0 / (static_cast<double>(decisions) + 4.0)) * range.width();
}

// ---- estimators -----------------------------------------------------------------------------------------------------

// A decision as the estimators see it. A reference is a category.
struct Variable {
  std::size_t options;
  bool ordinal;

  std::vector<double> prior() const {
    if (ordinal) return ordinal_kernel(options, range_of(options).middle(), range_of(options).width());
    return std::vector<double>(options, 1.0 / static_cast<double>(options));
  }
};

// The univariate estimator of one decision: the probability of each option. Observations are options, oldest first.
inline std::vector<double> univariate(const Variable& variable, std::span<const std::int32_t> observed,
                                      double prior_weight) {
  const std::vector<double> weights = kernel_weights(observed.size(), prior_weight);
  std::vector<double> mixture = variable.prior();
  for (double& probability : mixture) probability *= weights.back();
  const auto add = [&](const std::vector<double>& kernel, double weight) {
    for (std::size_t option = 0; option < kernel.size(); ++option) mixture[option] += weight * kernel[option];
  };
  if (variable.ordinal) {
    const std::vector<double> means(observed.begin(), observed.end());
    const Range range = range_of(variable.options);
    const std::vector<double> gaps = neighbour_gaps(means, range);
    std::map<std::pair<double, double>, double> of_kernel;  // mean and sigma: weight, as many kernels are the same
    for (std::size_t i = 0; i < means.size(); ++i)
      of_kernel[{means[i], clipped(gaps[i], means.size() + 1, range)}] += weights[i];
    for (const auto& [normal, weight] : of_kernel)
      add(ordinal_kernel(variable.options, normal.first, normal.second), weight);
    return mixture;
  }
  // Kernels of the same option are the same.
  std::vector<double> of_option(variable.options, 0.0);
  for (std::size_t i = 0; i < observed.size(); ++i) of_option[static_cast<std::size_t>(observed[i])] += weights[i];
  for (std::size_t option = 0; option < variable.options; ++option) {
    if (of_option[option] > 0.0)
      add(categorical_kernel(variable.options, option, observed.size() + 1, prior_weight), of_option[option]);
  }
  return mixture;
}

// The multivariate estimator: a mixture of products, all of whose factors share the index of the kernel.
class Joint {
 public:
  // `observed`: observations x decisions, oldest first.
  Joint(std::vector<Variable> variables, std::vector<std::int32_t> observed, double prior_weight)
      : variables_(std::move(variables)), observed_(std::move(observed)) {
    const std::size_t observations = observed_.size() / variables_.size();
    weights_ = kernel_weights(observations, prior_weight);
    // Where there is nothing to choose, there is no decision.
    const auto decisions = static_cast<std::size_t>(
        std::count_if(variables_.begin(), variables_.end(), [](const Variable& each) { return each.options > 1; }));
    for (const Variable& variable : variables_) {
      std::vector<std::vector<double>>& kernels = kernels_.emplace_back();
      const Range range = range_of(variable.options);
      const double sigma = clipped(joint_sigma(observations, decisions, range), observations + 1, range);
      for (std::size_t option = 0; option < variable.options; ++option) {
        kernels.push_back(variable.ordinal
                              ? ordinal_kernel(variable.options, static_cast<double>(option), sigma)
                              : categorical_kernel(variable.options, option, observations + 1, prior_weight));
      }
      kernels.push_back(variable.prior());
    }
    for (const double weight : weights_) log_weights_.push_back(std::log(weight));
    logarithms_ = kernels_;
    for (auto& of_variable : logarithms_)
      for (auto& kernel : of_variable)
        for (double& probability : kernel) probability = std::log(probability);
  }

  std::vector<std::int32_t> draw(weft::Rng& rng) const {
    const std::size_t kernel = rng.weighted(weights_);
    std::vector<std::int32_t> drawn;
    for (std::size_t i = 0; i < variables_.size(); ++i)
      drawn.push_back(static_cast<std::int32_t>(rng.weighted(kernels_[i][row_of(kernel, i)])));
    return drawn;
  }

  // Sums of logarithms, as a product of many small factors would vanish.
  double log_probability(std::span<const std::int32_t> point) const {
    std::vector<double> terms(weights_.size());
    for (std::size_t kernel = 0; kernel < weights_.size(); ++kernel) {
      terms[kernel] = log_weights_[kernel];
      for (std::size_t i = 0; i < variables_.size(); ++i)
        terms[kernel] += logarithms_[i][row_of(kernel, i)][static_cast<std::size_t>(point[i])];
    }
    const double largest = *std::max_element(terms.begin(), terms.end());
    double sum = 0.0;
    for (const double term : terms) sum += std::exp(term - largest);
    return largest + std::log(sum);
  }

 private:
  // Which of a decision's kernels: that of the option observed, or the prior's, the last.
  std::size_t row_of(std::size_t kernel, std::size_t variable) const {
    return kernel + 1 == weights_.size() ? variables_[variable].options
                                         : static_cast<std::size_t>(observed_[kernel * variables_.size() + variable]);
  }

  std::vector<Variable> variables_;
  std::vector<std::int32_t> observed_;
  std::vector<double> weights_, log_weights_;
  std::vector<std::vector<std::vector<double>>> kernels_;  // decision x option observed x option
  std::vector<std::vector<std::vector<double>>> logarithms_;
};

}  // namespace tpe
