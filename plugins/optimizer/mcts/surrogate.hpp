// What predicts a reward from an encoding, where nothing was evaluated yet.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "weft/rng.hpp"

namespace mcts {

// Samples are columns: inputs are features x samples.
class Surrogate {
 public:
  virtual ~Surrogate() = default;
  virtual void fit(const Eigen::MatrixXf& inputs, const Eigen::VectorXf& rewards, weft::Rng& rng) = 0;
  // After a fit. One prediction a sample.
  virtual Eigen::VectorXf predict(const Eigen::MatrixXf& inputs) const = 0;
};

// Ridge regression with a free intercept: w = (X X^T + penalty I)^-1 X y over centred X (features x samples) and y
// (Hoerl and Kennard 1970).
class Ridge final : public Surrogate {
 public:
  explicit Ridge(double penalty) : penalty_(penalty) {}

  void fit(const Eigen::MatrixXf& inputs, const Eigen::VectorXf& rewards, weft::Rng&) override {
    mean_ = inputs.cast<double>().rowwise().mean();
    intercept_ = rewards.cast<double>().mean();
    const Eigen::MatrixXd centred = inputs.cast<double>().colwise() - mean_;
    Eigen::MatrixXd normal = centred * centred.transpose();
    normal.diagonal().array() += penalty_;
    weights_ = normal.ldlt().solve(centred * (rewards.cast<double>().array() - intercept_).matrix());
  }

  Eigen::VectorXf predict(const Eigen::MatrixXf& inputs) const override {
    const Eigen::MatrixXd centred = inputs.cast<double>().colwise() - mean_;
    return ((centred.transpose() * weights_).array() + intercept_).cast<float>();
  }

 private:
  double penalty_;
  double intercept_ = 0.0;
  Eigen::VectorXd mean_;
  Eigen::VectorXd weights_;
};

}  // namespace mcts
