// Adam: steps against a gradient, each parameter's as long as its own history allows.
//
// Kingma, Ba 2015, "Adam: A Method for Stochastic Optimization", Algorithm 1, with the constants it proposes.
#pragma once

#include <Eigen/Core>
#include <cmath>

namespace weft::controllers {

template <typename Scalar>
class Adam {
 public:
  using Parameters = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

  explicit Adam(double lr) : lr_(static_cast<Scalar>(lr)) {}

  // `values` may have grown since the last step: what is new begins without a history. `gradient` is as long.
  void step(Eigen::Ref<Parameters> values, const Eigen::Ref<const Parameters>& gradient) {
    const Eigen::Index known = first_moment_.size();
    first_moment_.conservativeResize(values.size());
    second_moment_.conservativeResize(values.size());
    first_moment_.tail(values.size() - known).setZero();
    second_moment_.tail(values.size() - known).setZero();
    ++steps_;
    // Of the moments' bias towards their beginning, 0.
    const auto first_correction = static_cast<Scalar>(1.0 - std::pow(beta1, steps_));
    const auto second_correction = static_cast<Scalar>(1.0 - std::pow(beta2, steps_));
    first_moment_ = Scalar(beta1) * first_moment_ + Scalar(1.0 - beta1) * gradient;
    second_moment_ = Scalar(beta2) * second_moment_ + Scalar(1.0 - beta2) * gradient * gradient;
    values -= lr_ * (first_moment_ / first_correction / ((second_moment_ / second_correction).sqrt() + Scalar(eps)));
  }

 private:
  static constexpr double beta1 = 0.9;
  static constexpr double beta2 = 0.999;
  static constexpr double eps = 1e-8;

  Scalar lr_;
  int steps_ = 0;
  Parameters first_moment_;
  Parameters second_moment_;
};

}  // namespace weft::controllers
