// Numbers of the beta distribution.
#pragma once

#include <cmath>

#include "weft/rng.hpp"

namespace weft {

// The logarithm of a number of the gamma distribution of this shape: Marsaglia and Tsang 2000, "A Simple Method for
// Generating Gamma Variables", whose note on shapes below 1 is of use in logarithms alone, where nothing underflows.
inline double log_gamma_variate(Rng& rng, double shape) {
  if (shape < 1.0) {
    const double larger = log_gamma_variate(rng, shape + 1.0);
    return larger + std::log1p(-rng.uniform()) / shape;
  }
  const double d = shape - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const double x = rng.normal(), root = 1.0 + c * x;
    if (root <= 0.0) continue;
    const double log_v = 3.0 * std::log(root);
    if (std::log1p(-rng.uniform()) < 0.5 * x * x + d - d * std::exp(log_v) + d * log_v) return std::log(d) + log_v;
  }
}

// Of Beta(alpha, alpha), in [0, 1].
inline double symmetric_beta(Rng& rng, double alpha) {
  const double one = log_gamma_variate(rng, alpha), other = log_gamma_variate(rng, alpha);
  return 1.0 / (1.0 + std::exp(other - one));
}

}  // namespace weft
