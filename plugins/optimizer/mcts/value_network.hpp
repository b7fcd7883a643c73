// The Meta-DNN of AlphaX: a multilayer perceptron from an encoding to a value in (0, 1).
//
// Wang, Zhao, Jinnai, Tian, Fonseca 2019, "AlphaX: eXploring Neural Architectures with Deep Neural Networks and Monte
// Carlo Tree Search": fully connected layers, a sigmoid at the end, mean squared error, Adam. Deviation: rewards beyond
// 0 and 1 are scaled into that range. Activation and initialisation are not known to us: ReLU, and He et al. 2015.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <type_traits>
#include <vector>

#include "surrogate.hpp"
#include "weft/controllers/adam.hpp"
#include "weft/controllers/multilayer_perceptron.hpp"
#include "weft/rng.hpp"

namespace mcts {

template <typename Scalar>
using MatrixOf = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
template <typename Scalar>
using VectorOf = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

// values: outputs x samples, before the sigmoid.
template <typename Matrix>
Matrix sigmoid(const Matrix& values) {
  return (1 + (-values.array()).exp()).inverse().matrix();
}

// Mean over the samples of (sigmoid(output) - target)^2, and its gradient in the parameters. inputs: features x
// samples.
template <typename Scalar>
Scalar squared_error(const weft::controllers::MultilayerPerceptron<Scalar>& network,
                     const std::type_identity_t<MatrixOf<Scalar>>& inputs,
                     const std::type_identity_t<VectorOf<Scalar>>& targets, VectorOf<Scalar>& gradient) {
  const auto activations = network.forward(inputs);
  const MatrixOf<Scalar> value = sigmoid(activations.back());  // 1 x samples
  const MatrixOf<Scalar> error = value - targets.transpose();
  const auto samples = static_cast<Scalar>(inputs.cols());
  network.backward(activations, (error.array() * value.array() * (1 - value.array()) * (2 / samples)).matrix(),
                   gradient);
  return error.squaredNorm() / samples;
}

class ValueNetwork final : public Surrogate {
 public:
  struct Options {
    std::vector<std::size_t> hidden;
    double lr;
    std::size_t batch_size;
    int epochs;
  };

  ValueNetwork(std::size_t inputs, const Options& options, weft::Rng& rng)
      : options_(options), network_(inputs, with_output(options.hidden), rng), adam_(options.lr) {}

  void fit(const Eigen::MatrixXf& inputs, const Eigen::VectorXf& rewards, weft::Rng& rng) override {
    low_ = std::min(0.0F, rewards.minCoeff());
    high_ = std::max(1.0F, rewards.maxCoeff());
    const Eigen::VectorXf targets = (rewards.array() - low_) / (high_ - low_);
    std::vector<Eigen::Index> order(static_cast<std::size_t>(rewards.size()));
    std::iota(order.begin(), order.end(), Eigen::Index{0});
    Eigen::VectorXf gradient;
    for (int epoch = 0; epoch < options_.epochs; ++epoch) {
      rng.shuffle(order);
      for (std::size_t from = 0; from < order.size(); from += options_.batch_size) {
        const std::vector<Eigen::Index> batch(
            order.begin() + static_cast<std::ptrdiff_t>(from),
            order.begin() + static_cast<std::ptrdiff_t>(std::min(from + options_.batch_size, order.size())));
        squared_error(network_, inputs(Eigen::all, batch), targets(batch), gradient);
        adam_.step(network_.parameters.array(), gradient.array());
      }
    }
  }

  Eigen::VectorXf predict(const Eigen::MatrixXf& inputs) const override {
    const Eigen::VectorXf values = sigmoid(network_.forward(inputs).back()).transpose();
    return (values.array() * (high_ - low_) + low_).matrix();
  }

 private:
  static std::vector<std::size_t> with_output(std::vector<std::size_t> widths) {
    widths.push_back(1);
    return widths;
  }

  Options options_;
  weft::controllers::MultilayerPerceptron<float> network_;
  weft::controllers::Adam<float> adam_;
  float low_ = 0.0F;
  float high_ = 1.0F;
};

}  // namespace mcts
