// The parametric families of learning curves of Domhan, Springenberg, Hutter 2015, "Speeding Up Automatic
// Hyperparameter Optimization of Deep Neural Networks by Extrapolation of Learning Curves": rewards from 0 to 1 over
// epochs x = 1, 2, .. Formulas and the values that a fit starts from are those of the authors' code
// (automl/pylearningcurvepredictor).
//
// A power is written as an exponential of a logarithm: (k x)^d = exp(d (ln k + ln x)). What does not depend on x is
// worked out once for all points. Outside of a family's domain its values are no numbers.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace curve_extrapolation {

// Where curves are evaluated.
struct Abscissa {
  double x;
  double log_x = std::log(x);
  double log_x_plus_1 = std::log(x + 1.0);
};

inline constexpr std::size_t most_parameters = 4;

struct Family {
  std::string_view name;
  std::size_t parameters;
  std::array<double, most_parameters> start;
  void (*values)(const double* parameters, std::span<const Abscissa> at, double* values);

  double value(std::span<const double> theta, double x) const {
    const Abscissa at{x};
    double value;
    values(theta.data(), {&at, 1}, &value);
    return value;
  }
};

namespace formulas {

// exp(a + b / x + c ln x): a, b, c
inline auto vap(const double* p) {
  return [a = p[0], b = p[1], c = p[2]](const Abscissa& at) { return std::exp(a + b / at.x + c * at.log_x); };
}

// c - a x^-alpha: c, a, alpha
inline auto pow3(const double* p) {
  return [c = p[0], a = p[1], alpha = p[2]](const Abscissa& at) { return c - a * std::exp(-alpha * at.log_x); };
}

// ln(a ln x + b): a, b
inline auto loglog_linear(const double* p) {
  return [a = p[0], b = p[1]](const Abscissa& at) { return std::log(a * at.log_x + b); };
}

// theta x^eta / (kappa^eta + x^eta): theta, eta, kappa
inline auto hill3(const double* p) {
  return [theta = p[0], eta = p[1], log_kappa = std::log(p[2])](const Abscissa& at) {
    return theta / (1.0 + std::exp(eta * (log_kappa - at.log_x)));
  };
}

// a / (1 + (x / e^b)^c): a, b, c
inline auto log_power(const double* p) {
  return [a = p[0], b = p[1], c = p[2]](const Abscissa& at) { return a / (1.0 + std::exp(c * (at.log_x - b))); };
}

// c - (a x + b)^-alpha: c, a, b, alpha
inline auto pow4(const double* p) {
  return [c = p[0], a = p[1], b = p[2], alpha = p[3]](const Abscissa& at) {
    return c - std::exp(-alpha * std::log(a * at.x + b));
  };
}

// alpha - (alpha - beta) / (1 + (kappa x)^delta): alpha, beta, kappa, delta
inline auto mmf(const double* p) {
  return [alpha = p[0], rise = p[0] - p[1], log_kappa = std::log(p[2]), delta = p[3]](const Abscissa& at) {
    return alpha - rise / (1.0 + std::exp(delta * (log_kappa + at.log_x)));
  };
}

// c - exp(-a x^alpha + b): c, a, b, alpha
inline auto exp4(const double* p) {
  return [c = p[0], a = p[1], b = p[2], alpha = p[3]](const Abscissa& at) {
    return c - std::exp(b - a * std::exp(alpha * at.log_x));
  };
}

// alpha - (alpha - beta) exp(-kappa x^delta): alpha, beta, kappa, delta
inline auto janoschek(const double* p) {
  return [alpha = p[0], rise = p[0] - p[1], kappa = p[2], delta = p[3]](const Abscissa& at) {
    return alpha - rise * std::exp(-kappa * std::exp(delta * at.log_x));
  };
}

// alpha - (alpha - beta) exp(-(kappa x)^delta): alpha, beta, kappa, delta
inline auto weibull(const double* p) {
  return [alpha = p[0], rise = p[0] - p[1], log_kappa = std::log(p[2]), delta = p[3]](const Abscissa& at) {
    return alpha - rise * std::exp(-std::exp(delta * (log_kappa + at.log_x)));
  };
}

// c - a / ln(x + 1): c, a
inline auto ilog2(const double* p) {
  return [c = p[0], a = p[1]](const Abscissa& at) { return c - a / at.log_x_plus_1; };
}

template <auto formula>
void values(const double* parameters, std::span<const Abscissa> at, double* values) {
  const auto f = formula(parameters);
  for (std::size_t i = 0; i < at.size(); ++i) values[i] = f(at[i]);
}

}  // namespace formulas

inline constexpr std::array<Family, 11> all_families = {{
    {"vap", 3, {-0.622028, -0.470050, 0.042322}, formulas::values<formulas::vap>},
    {"pow3", 3, {0.84, 0.52, 0.01}, formulas::values<formulas::pow3>},
    {"loglog_linear", 2, {1.0, 1.0}, formulas::values<formulas::loglog_linear>},
    {"hill3", 3, {0.772320, 0.586449, 2.460843}, formulas::values<formulas::hill3>},
    {"log_power", 3, {0.77, 2.98, -0.51}, formulas::values<formulas::log_power>},
    {"pow4", 4, {0.8, 200.0, 0.0, 0.1}, formulas::values<formulas::pow4>},
    {"mmf", 4, {0.7, 0.1, 0.01, 5.0}, formulas::values<formulas::mmf>},
    {"exp4", 4, {0.7, 0.8, -0.8, 0.3}, formulas::values<formulas::exp4>},
    {"janoschek", 4, {0.73, 0.07, 0.355, 0.46}, formulas::values<formulas::janoschek>},
    {"weibull", 4, {0.7, 0.1, 0.01, 1.0}, formulas::values<formulas::weibull>},
    {"ilog2", 2, {0.78, 0.43}, formulas::values<formulas::ilog2>},
}};

inline std::size_t index_of(const Family& family) { return static_cast<std::size_t>(&family - all_families.data()); }

// Null where there is none of this name.
inline const Family* find_family(std::string_view name) {
  for (const Family& family : all_families) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

}  // namespace curve_extrapolation
