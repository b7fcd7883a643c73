// How far the families disagree on where a curve ends, each fitted by itself.
//
// A sample of the posterior is a mean of families, in which what one says too much another says too little: its spread
// is smaller than what we do not know. With the families as rival models the variance around a mean m is
//
//   sum_k p_k (s_k^2 n / (n - d_k) + (f_k(T) - m)^2),   p_k ~ s_k^-n n^(-d_k / 2)
//
// where s_k^2 is the mean square of the residuals of family k, of d_k parameters, and p_k its probability by Schwarz's
// criterion. Hoeting, Madigan, Raftery, Volinsky 1999, "Bayesian Model Averaging: A Tutorial", section 2. Of points
// with weights w, n is how many of one weight say as much (Kish): (sum w)^2 / sum w^2.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace curve_extrapolation {

// Of one family's fit.
struct OwnFit {
  double end;    // f(T), within what a reward can be
  double noise;  // root mean square of the residuals, > 0
  std::size_t parameters;
};

inline double effective_count(std::span<const double> weights) {
  double sum = 0.0, squares = 0.0;
  for (const double weight : weights) {
    sum += weight;
    squares += weight * weight;
  }
  return sum * sum / squares;
}

// p_k of fits to so many points; they sum to 1.
inline std::vector<double> probabilities(std::span<const OwnFit> fits, double points) {
  std::vector<double> probabilities;  // their logarithms at first
  double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (const OwnFit& fit : fits) {
    const double penalty = 0.5 * static_cast<double>(fit.parameters) * std::log(points);
    probabilities.push_back(-points * std::log(fit.noise) - penalty);
    largest = std::max(largest, probabilities.back());
  }
  for (double& probability : probabilities) {
    probability = std::exp(probability - largest);
    sum += probability;
  }
  for (double& probability : probabilities) probability /= sum;
  return probabilities;
}

inline double variance_around(double mean, std::span<const OwnFit> fits, double points) {
  const std::vector<double> probability = probabilities(fits, points);
  double variance = 0.0;
  for (std::size_t k = 0; k < fits.size(); ++k) {
    const OwnFit& fit = fits[k];
    const double free = std::max(points - static_cast<double>(fit.parameters), 1.0);
    const double noise = fit.noise * fit.noise * points / free;
    variance += probability[k] * (noise + (fit.end - mean) * (fit.end - mean));
  }
  return variance;
}

}  // namespace curve_extrapolation
