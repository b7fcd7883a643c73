// How parameters climb along a gradient: Adam or plain stochastic gradient ascent.
//
// Kingma, Ba 2015, "Adam: A Method for Stochastic Optimization", Algorithm 1, with the constants it proposes.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "weft/controllers/parameters.hpp"

namespace weft::controllers {

class Ascent {
 public:
  enum class Rule { adam, sgd };

  Ascent(Rule rule, double lr) : rule_(rule), lr_(lr) {}

  // Moves along `scale` times the gradient, and clears it.
  void step(Parameters& parameters, double scale) {
    std::vector<double>& values = parameters.values();
    std::vector<double>& gradient = parameters.gradient();
    first_moment_.resize(values.size());
    second_moment_.resize(values.size());
    ++steps_;
    first_correction_ = 1.0 - std::pow(beta1, steps_);
    second_correction_ = 1.0 - std::pow(beta2, steps_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double slope = scale * gradient[i];
      values[i] += lr_ * (rule_ == Rule::adam ? adam(i, slope) : slope);
      gradient[i] = 0.0;
    }
  }

 private:
  static constexpr double beta1 = 0.9;
  static constexpr double beta2 = 0.999;
  static constexpr double eps = 1e-8;

  double adam(std::size_t i, double slope) {
    first_moment_[i] = beta1 * first_moment_[i] + (1.0 - beta1) * slope;
    second_moment_[i] = beta2 * second_moment_[i] + (1.0 - beta2) * slope * slope;
    return first_moment_[i] / first_correction_ / (std::sqrt(second_moment_[i] / second_correction_) + eps);
  }

  Rule rule_;
  double lr_;
  int steps_ = 0;
  double first_correction_ = 0.0;  // of the moments' bias towards their beginning, 0
  double second_correction_ = 0.0;
  std::vector<double> first_moment_;
  std::vector<double> second_moment_;
};

}  // namespace weft::controllers
