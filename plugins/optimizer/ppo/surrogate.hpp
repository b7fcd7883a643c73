// The clipped surrogate objective of proximal policy optimization, for one decision.
//
// Schulman, Wolski, Dhariwal, Radford, Klimov 2017, "Proximal Policy Optimization Algorithms", equation 7.
#pragma once

#include <algorithm>
#include <cmath>

namespace ppo {

struct Surrogate {
  double clip;  // epsilon

  // min(rho A, clip(rho, 1 - epsilon, 1 + epsilon) A) with rho = exp(log_probability - log_probability_old)
  double value(double log_probability, double old, double advantage) const {
    const double ratio = std::exp(log_probability - old);
    return std::min(ratio * advantage, std::clamp(ratio, 1.0 - clip, 1.0 + clip) * advantage);
  }

  // d value / d log_probability: rho A, or 0 where the ratio has gone as far as it may in the advantage's direction.
  double slope(double log_probability, double old, double advantage) const {
    const double ratio = std::exp(log_probability - old);
    const bool clipped = advantage > 0.0 ? ratio > 1.0 + clip : ratio < 1.0 - clip;
    return clipped ? 0.0 : ratio * advantage;
  }
};

}  // namespace ppo
