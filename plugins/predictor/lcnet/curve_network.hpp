// LC-Net: from a candidate's features to the curve of its rewards.
//
// Klein, Falkner, Springenberg, Hutter 2017, section 3, with the sizes of the authors' later code (automl/pybnn): tanh
// layers over the features; from the last one the curves' parameters theta (tanh), their weights (softmax) and an
// asymptote (sigmoid). With the basis functions phi,
//   mean(t) = asymptote + tanh(sum_k weight_k phi_k(t; theta_k)),
// and the rewards are normal around it with one variance for all. Parameters begin as PyTorch's linear layers do,
// uniform within 1 / sqrt(inputs).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "basis.hpp"
#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace lcnet {

using weft::Rng;
using weft::controllers::Block;
using weft::controllers::Matrix;
using weft::controllers::Parameters;
using weft::controllers::Vector;

// What the log-variance and the weights are before any data.
struct Prior {
  double log_variance_mean;
  double log_variance_spread;  // variance of the log-variance
  double weight_precision;
  bool mean_over_weights;  // the weights' log prior divided by their number
};

// Points of curves, one a column.
struct Points {
  Matrix features;  // features x points
  Vector times;     // shares of the horizon, in (0, 1]
  Vector rewards;   // in [0, 1]
};

class CurveNetwork {
 public:
  struct Output {
    Vector means;
    double variance;
  };

  CurveNetwork(Eigen::Index features, std::span<const Eigen::Index> hidden, double initial_variance, const Rng& rng) {
    Eigen::Index width = features;
    for (const Eigen::Index next : hidden) {
      layers_.push_back(linear(width, next, rng.derive("layer", layers_.size())));
      width = next;
    }
    theta_ = linear(width, families * family_parameters, rng.derive("theta"));
    weights_ = linear(width, families, rng.derive("weights"));
    asymptote_ = linear(width, 1, rng.derive("asymptote"));
    log_variance_ = parameters.add(1, 1, 0.0, rng);
    parameters.values().back() = std::log(initial_variance);
  }

  Output output(const Matrix& features, const Vector& times) const {
    return {forward(features, times).mean, variance()};
  }

  // The negative log-likelihood's mean over the points, plus what the negative log prior is for each of `data` points;
  // adds its gradient to that of the parameters. Times `data` it is the negative log posterior, up to a constant.
  double loss(const Points& points, const Prior& prior, double data) {
    const Pass pass = forward(points.features, points.times);
    const auto count = static_cast<double>(points.times.size());
    const Vector error = pass.mean - points.rewards;
    const double log_variance = parameters[log_variance_](0, 0);
    const double squared = error.squaredNorm() / count;
    backward(points, pass, error / (count * variance()));
    parameters.gradient(log_variance_)(0, 0) += 0.5 - 0.5 * squared / variance();
    return 0.5 * squared / variance() + 0.5 * log_variance + add_prior(prior, data);
  }

  Parameters parameters;

 private:
  struct Linear {
    Block weight, bias;
  };
  struct Pass {
    std::vector<Matrix> activations;  // the features, then each hidden layer's outputs
    Matrix theta;                     // 9 x points
    Matrix weights;                   // 3 x points
    Vector asymptote;
    Vector residual;  // tanh of the mixture
    std::vector<Basis> bases;
    Vector mean;
  };

  Linear linear(Eigen::Index inputs, Eigen::Index outputs, const Rng& rng) {
    const double range = 1.0 / std::sqrt(static_cast<double>(std::max<Eigen::Index>(1, inputs)));
    const Block weight = parameters.add(outputs, inputs, range, rng.derive("weight"));
    return {weight, parameters.add(outputs, 1, range, rng.derive("bias"))};
  }
  Matrix apply(const Linear& layer, const Matrix& inputs) const {
    Matrix sums = parameters[layer.weight] * inputs;
    sums.colwise() += parameters[layer.bias].col(0);
    return sums;
  }
  // The gradient in the layer's inputs.
  Matrix apply_back(const Linear& layer, const Matrix& inputs, const Matrix& delta) {
    parameters.gradient(layer.weight).noalias() += delta * inputs.transpose();
    parameters.gradient(layer.bias) += delta.rowwise().sum();
    return parameters[layer.weight].transpose() * delta;
  }

  double variance() const { return std::exp(parameters[log_variance_](0, 0)) + 1e-16; }

  Pass forward(const Matrix& features, const Vector& times) const {
    Pass pass;
    pass.activations.push_back(features);
    for (const Linear& layer : layers_) {
      pass.activations.emplace_back(apply(layer, pass.activations.back()).array().tanh().matrix());
    }
    const Matrix& last = pass.activations.back();
    pass.theta = apply(theta_, last).array().tanh().matrix();
    pass.weights = apply(weights_, last);
    pass.weights = (pass.weights.rowwise() - pass.weights.colwise().maxCoeff()).array().exp().matrix().eval();
    pass.weights.array().rowwise() /= pass.weights.colwise().sum().array().eval();
    pass.asymptote = (1.0 + (-apply(asymptote_, last).row(0).array()).exp()).inverse().matrix().transpose();
    pass.residual.resize(times.size());
    for (Eigen::Index i = 0; i < times.size(); ++i) {
      pass.bases.push_back(basis(pass.theta.col(i), times[i]));
      pass.residual[i] = std::tanh(pass.weights.col(i).dot(pass.bases.back().value));
    }
    pass.mean = pass.asymptote + pass.residual;
    return pass;
  }

  // Given the loss's gradient in the means.
  void backward(const Points& points, const Pass& pass, const Vector& delta) {
    Matrix theta(pass.theta.rows(), pass.theta.cols()), weights(pass.weights.rows(), pass.weights.cols());
    for (Eigen::Index i = 0; i < points.times.size(); ++i) {
      const Basis& at = pass.bases[static_cast<std::size_t>(i)];
      const auto weight = pass.weights.col(i);
      const double mixture = delta[i] * (1.0 - pass.residual[i] * pass.residual[i]);
      weights.col(i) = mixture * (weight.array() * (at.value.array() - weight.dot(at.value))).matrix();
      for (Eigen::Index k = 0; k < families; ++k) {
        theta.col(i).segment(k * family_parameters, family_parameters) = mixture * weight[k] * at.slope.col(k);
      }
    }
    theta.array() *= 1.0 - pass.theta.array().square();
    const Matrix asymptote =
        (delta.array() * pass.asymptote.array() * (1.0 - pass.asymptote.array())).matrix().transpose();

    const Matrix& last = pass.activations.back();
    Matrix back = apply_back(theta_, last, theta);
    back += apply_back(weights_, last, weights);
    back += apply_back(asymptote_, last, asymptote);
    for (std::size_t i = layers_.size(); i-- > 0;) {
      back.array() *= 1.0 - pass.activations[i + 1].array().square();
      back = apply_back(layers_[i], pass.activations[i], back);
    }
  }

  double add_prior(const Prior& prior, double data) {
    const auto count = static_cast<Eigen::Index>(log_variance_.offset);  // what comes before it: weights and biases
    const Eigen::Map<const Vector> weights(parameters.values().data(), count);
    const double precision =
        prior.weight_precision / data / (prior.mean_over_weights ? static_cast<double>(count) : 1.0);
    Eigen::Map<Vector>(parameters.gradient().data(), count) += precision * weights;
    const double off = parameters[log_variance_](0, 0) - prior.log_variance_mean;
    parameters.gradient(log_variance_)(0, 0) += off / prior.log_variance_spread / data;
    return 0.5 * precision * weights.squaredNorm() + 0.5 * off * off / prior.log_variance_spread / data;
  }

  std::vector<Linear> layers_;
  Linear theta_, weights_, asymptote_;
  Block log_variance_;
};

}  // namespace lcnet
