// Linear regressors: least squares, and Bayesian ridge regression.
//
// Both come of the singular value decomposition of the inputs, X = U S V'. The columns of TS depend on each other,
// since differences follow from the points: least squares takes a tiny penalty, by which the shortest of all solutions
// is approached. Leave-one-out residuals are exact for a given penalty: those of the fit over 1 - h_ii, h the hat
// matrix.
#pragma once

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "ranges.hpp"
#include "regression.hpp"
#include "weft/rng.hpp"

namespace sequential_regression {

class LinearRegressor final : public Regressor {
 public:
  LinearRegressor(Eigen::VectorXd weights, double intercept) : weights_(std::move(weights)), intercept_(intercept) {}
  double predict(const Eigen::VectorXd& input) const override { return weights_.dot(input) + intercept_; }
  const Eigen::VectorXd& weights() const { return weights_; }

 private:
  Eigen::VectorXd weights_;
  double intercept_;
};

// min ||y - X w - b||^2 + penalty ||w||^2, for any penalty.
class Ridge {
 public:
  explicit Ridge(const Samples& samples)
      : input_means_(samples.inputs.colwise().mean().transpose()),
        target_mean_(samples.targets.mean()),
        targets_(samples.targets.array() - target_mean_),
        u_(samples.size(), 0),
        v_(samples.inputs.cols(), 0) {
    if (samples.inputs.cols() > 0) decompose(samples.inputs.rowwise() - input_means_.transpose());
    projections_ = u_.transpose() * targets_;
  }

  LinearRegressor regressor(double penalty) const {
    const Eigen::VectorXd weights = v_ * (projections_.array() * values_ / (values_.square() + penalty)).matrix();
    return {weights, target_mean_ - weights.dot(input_means_)};
  }

  // y_i - f_i(x_i), f_i fitted without sample i.
  Eigen::VectorXd leave_one_out(double penalty) const {
    const Eigen::ArrayXd shrinkage = penalty / (values_.square() + penalty);
    const Eigen::ArrayXd beyond =  // of 1 - h_ii, what U does not span
        (1.0 - 1.0 / static_cast<double>(targets_.size()) - u_.array().square().rowwise().sum()).max(0.0);
    const Eigen::ArrayXd free = beyond + (u_.array().square().matrix() * shrinkage.matrix()).array();
    const Eigen::ArrayXd errors =
        (targets_ - u_ * projections_ + u_ * (projections_.array() * shrinkage).matrix()).array();
    return (errors / free.max(std::numeric_limits<double>::min())).matrix();
  }

  // MacKay 1992, "Bayesian Interpolation", with Gamma priors on both precisions: alpha of the noise, lambda of the
  // weights (Tipping 2001). Their evidence is maximised by turns with the weights. Says lambda / alpha, the penalty.
  struct Priors {
    double alpha_shape = 0.0, alpha_rate = 0.0, lambda_shape = 0.0, lambda_rate = 0.0;
  };
  double most_evident_penalty(const Priors& priors, int iterations, double tolerance) const {
    const auto count = static_cast<double>(targets_.size());
    const Eigen::ArrayXd squares = values_.square();
    const double unexplained = std::max(0.0, targets_.squaredNorm() - projections_.squaredNorm());
    double alpha = 1.0 / (targets_.squaredNorm() / count + std::numeric_limits<double>::epsilon()), lambda = 1.0;
    Eigen::ArrayXd before;
    for (int i = 0; i < iterations; ++i) {
      const double penalty = lambda / alpha;
      const Eigen::ArrayXd weights = projections_.array() * values_ / (squares + penalty);  // in V's columns
      if (i > 0 && (weights - before).abs().sum() < tolerance) break;
      before = weights;
      const double error = unexplained + (projections_.array() * penalty / (squares + penalty)).square().sum();
      const double effective = (squares / (squares + penalty)).sum();  // gamma, the number of determined weights
      lambda = (effective + 2.0 * priors.lambda_shape) / (weights.square().sum() + 2.0 * priors.lambda_rate);
      alpha = (count - effective + 2.0 * priors.alpha_shape) / (error + 2.0 * priors.alpha_rate);
    }
    return lambda / alpha;
  }

 private:
  // By the eigenvalues of X'X, which are the squares of the singular values. What belongs to one of 0 is arbitrary, and
  // no part of the solution.
  void decompose(const Eigen::MatrixXd& centred) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(centred.transpose() * centred);
    const Eigen::VectorXd& squares = eigen.eigenvalues();  // ascending
    const Eigen::Index rank = (squares.array() > 1e-12 * squares(squares.size() - 1)).count();
    values_ = squares.tail(rank).array().sqrt();
    v_ = eigen.eigenvectors().rightCols(rank);
    u_ = centred * v_ * values_.inverse().matrix().asDiagonal();
  }

  Eigen::VectorXd input_means_;
  double target_mean_;
  Eigen::VectorXd targets_;      // from their mean
  Eigen::ArrayXd values_;        // singular values
  Eigen::MatrixXd u_, v_;        // samples x rank, features x rank
  Eigen::VectorXd projections_;  // U' y
};

// Of a family whose hyperparameters say a penalty.
inline Fitted fit_ridge(const Ridge& ridge, double penalty) {
  return {std::make_unique<LinearRegressor>(ridge.regressor(penalty)), ridge.leave_one_out(penalty), true};
}

class LeastSquares {
 public:
  struct Hyperparameters {};
  struct Options {
    double penalty = 0.0;
  };

  LeastSquares(const Samples& samples, const Options& options) : samples_(samples), penalty_(options.penalty) {}

  Hyperparameters draw(weft::Rng&) const { return {}; }
  HeldOut<Hyperparameters> held_out(const Folds& folds) const {
    return [this, &folds](const Hyperparameters&) {
      Eigen::VectorXd predicted = Eigen::VectorXd::Zero(samples_.size());
      for (const Fold& fold : folds)
        predict_rows(Ridge(samples_.of(fold.rest)).regressor(penalty_), samples_, fold.held_out, predicted);
      return predicted;
    };
  }
  Fitted fit(const Hyperparameters&, const ForEach&) const { return fit_ridge(Ridge(samples_), penalty_); }

 private:
  const Samples& samples_;
  double penalty_;
};

class BayesianRidge {
 public:
  using Hyperparameters = Ridge::Priors;
  struct Options {
    Range hyperprior;
    int iterations = 0;
    double tolerance = 0.0;
  };

  BayesianRidge(const Samples& samples, const Options& options) : samples_(samples), options_(options) {}

  Hyperparameters draw(weft::Rng& rng) const {
    Hyperparameters drawn;
    for (double* const value : {&drawn.alpha_shape, &drawn.alpha_rate, &drawn.lambda_shape, &drawn.lambda_rate})
      *value = options_.hyperprior.uniform(rng);
    return drawn;
  }

  // All hyperparameters share the decompositions.
  HeldOut<Hyperparameters> held_out(const Folds& folds) const {
    const auto ridges = std::make_shared<std::vector<Ridge>>();
    for (const Fold& fold : folds) ridges->emplace_back(samples_.of(fold.rest));
    return [this, &folds, ridges](const Hyperparameters& priors) {
      Eigen::VectorXd predicted = Eigen::VectorXd::Zero(samples_.size());
      for (std::size_t i = 0; i < folds.size(); ++i) {
        const Ridge& ridge = (*ridges)[i];
        predict_rows(ridge.regressor(penalty(ridge, priors)), samples_, folds[i].held_out, predicted);
      }
      return predicted;
    };
  }

  // Leave-one-out residuals are those at the penalty of all samples.
  Fitted fit(const Hyperparameters& priors, const ForEach&) const {
    const Ridge ridge(samples_);
    return fit_ridge(ridge, penalty(ridge, priors));
  }

 private:
  double penalty(const Ridge& ridge, const Hyperparameters& priors) const {
    return ridge.most_evident_penalty(priors, options_.iterations, options_.tolerance);
  }

  const Samples& samples_;
  Options options_;
};

}  // namespace sequential_regression
