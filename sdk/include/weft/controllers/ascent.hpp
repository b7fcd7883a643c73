// How a controller's parameters climb along a gradient: Adam or plain stochastic gradient ascent.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <vector>

#include "weft/controllers/adam.hpp"
#include "weft/controllers/parameters.hpp"

namespace weft::controllers {

class Ascent {
 public:
  enum class Rule { adam, sgd };

  Ascent(Rule rule, double lr) : rule_(rule), lr_(lr), adam_(lr) {}

  // Moves along `scale` times the gradient, and clears it.
  void step(Parameters& parameters, double scale) {
    using Array = Adam<double>::Parameters;
    const auto count = static_cast<Eigen::Index>(parameters.values().size());
    Eigen::Map<Array> values(parameters.values().data(), count);
    const Array descent = -scale * Eigen::Map<const Array>(parameters.gradient().data(), count);
    if (rule_ == Rule::adam) {
      adam_.step(values, descent);
    } else {
      values -= lr_ * descent;
    }
    std::fill(parameters.gradient().begin(), parameters.gradient().end(), 0.0);
  }

 private:
  Rule rule_;
  double lr_;
  Adam<double> adam_;
};

}  // namespace weft::controllers
