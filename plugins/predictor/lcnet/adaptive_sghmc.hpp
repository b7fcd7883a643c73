// Stochastic gradient Hamiltonian Monte Carlo, which finds its step lengths during the burn-in.
//
// Springenberg, Klein, Falkner, Hutter 2016, "Bayesian Optimization with Robust Bayesian Neural Networks", equations 8
// to 10, in the order of the authors' code (automl/pybnn, pybnn/sampler/adaptive_sghmc.py), with its initial values and
// its guards against dividing by 0.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "weft/rng.hpp"

namespace lcnet {

using weft::Rng;

// Standard normal numbers, two of each draw: Box and Muller 1958, on halves of 32 bits, which end at 6.7 deviations. In
// single precision, because Eigen computes logarithms and sines of several floats at once.
inline void draw_normals(Eigen::ArrayXd& normals, Rng& rng) {
  const Eigen::Index half = (normals.size() + 1) / 2;
  Eigen::ArrayXf radius(half), angle(half);
  for (Eigen::Index i = 0; i < half; ++i) {
    const std::uint64_t bits = rng();
    radius[i] = (static_cast<float>(bits >> 32) + 0.5F) * 0x1.0p-32F;
    angle[i] = static_cast<float>(bits & 0xffffffffU) * (2.0F * std::numbers::pi_v<float> * 0x1.0p-32F);
  }
  radius = (-2.0F * radius.log()).max(0.0F).sqrt();
  normals.head(half) = (radius * angle.cos()).cast<double>();
  normals.tail(normals.size() - half) = (radius * angle.sin()).head(normals.size() - half).cast<double>();
}

class AdaptiveSghmc {
 public:
  AdaptiveSghmc(Eigen::Index parameters, double lr, double mdecay, int burn_in)
      : lr_(lr),
        mdecay_(mdecay),
        burn_in_(burn_in),
        window_(Eigen::ArrayXd::Ones(parameters)),
        gradient_(window_),
        variance_(window_),
        momentum_(Eigen::ArrayXd::Zero(parameters)),
        noise_(parameters) {}

  // `gradient`: an estimate of that of the negative log posterior, over all data.
  void step(Eigen::Ref<Eigen::ArrayXd> values, const Eigen::Ref<const Eigen::ArrayXd>& gradient, Rng& rng) {
    if (steps_ < burn_in_) adapt(gradient);
    if (steps_ == 0 || steps_ < burn_in_) precondition();
    ++steps_;
    draw_normals(noise_, rng);
    momentum_ += spread_ * noise_ - slope_ * gradient - mdecay_ * momentum_;
    values += momentum_;
  }

 private:
  void adapt(const Eigen::Ref<const Eigen::ArrayXd>& gradient) {
    const Eigen::ArrayXd share = (window_ + 1.0).inverse();
    window_ += 1.0 - window_ * gradient_.square() / (variance_ + epsilon);
    gradient_ += share * (gradient - gradient_);
    variance_ += share * (gradient.square() - variance_);
  }

  void precondition() {
    const double lr2 = lr_ * lr_;
    slope_ = lr2 * (variance_.sqrt() + epsilon).inverse();
    // The gradient's own noise, lr^4, is part of what the friction wants.
    spread_ = (2.0 * mdecay_ * slope_ - lr2 * lr2).max(least_noise).sqrt();
  }

  static constexpr double epsilon = 1e-10;
  static constexpr double least_noise = 1e-16;  // variance

  double lr_;
  double mdecay_;
  int burn_in_;
  int steps_ = 0;
  Eigen::ArrayXd window_;    // tau
  Eigen::ArrayXd gradient_;  // g, its moving average
  Eigen::ArrayXd variance_;  // v
  Eigen::ArrayXd momentum_;  // p
  Eigen::ArrayXd slope_;     // lr^2 M
  Eigen::ArrayXd spread_;    // of the noise, its standard deviation
  Eigen::ArrayXd noise_;
};

}  // namespace lcnet
