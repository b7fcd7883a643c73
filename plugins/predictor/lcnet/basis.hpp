// The three families of curves that LC-Net mixes, with their derivatives.
//
// As in the authors' later code (automl/pybnn, pybnn/lcnet.py). Their parameters come as theta in [-1, 1] and are first
// mapped to u = (theta + 1) / 2; t is the share of the horizon, in (0, 1].
#pragma once

#include <Eigen/Core>
#include <cmath>

namespace lcnet {

inline constexpr Eigen::Index families = 3;
inline constexpr Eigen::Index family_parameters = 3;

struct Basis {
  Eigen::Vector3d value;
  Eigen::Matrix3d slope;  // column k: of value k in its own three thetas
};

inline Basis basis(const Eigen::Ref<const Eigen::Matrix<double, families * family_parameters, 1>>& theta, double t) {
  const Eigen::Matrix<double, families * family_parameters, 1> u = ((theta.array() + 1.0) / 2.0).matrix();
  Basis at;
  {  // vapour pressure
    const double a = u[0], b = u[1] / 10.0, c = u[2] / 10.0, shifted = t + 1e-5;
    const double pressure = std::exp(-a - b / shifted - c * std::log(t)), constant = std::exp(a + b);
    at.value[0] = pressure - constant;
    at.slope.col(0) << -pressure - constant, (-pressure / shifted - constant) / 10.0, -pressure * std::log(t) / 10.0;
  }
  {  // log
    const double a = 5.0 * u[3], b = u[4], c = 10.0 * u[5], inner = b * t + 1e-10;
    at.value[1] = (c + a * std::log(inner)) / 10.0;
    at.slope.col(1) << 5.0 * std::log(inner) / 10.0, a * t / inner / 10.0, 1.0;
  }
  {  // Hill3
    const double a = u[6], b = u[7], c = u[8] / 100.0, ratio = c / t + 1e-5;
    const double power = std::pow(ratio, b), in_power = -a / ((power + 1.0) * (power + 1.0));
    at.value[2] = a / (power + 1.0);
    at.slope.col(2) << 1.0 / (power + 1.0), in_power * power * std::log(ratio),
        in_power * b * power / ratio / t / 100.0;
  }
  at.slope /= 2.0;  // of u in theta
  return at;
}

}  // namespace lcnet
