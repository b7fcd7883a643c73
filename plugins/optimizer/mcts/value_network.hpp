// The Meta-DNN of AlphaX: a multilayer network from an encoding to a value in (0, 1).
//
// Wang, Zhao, Jinnai, Tian, Fonseca 2019, "AlphaX: eXploring Neural Architectures with Deep Neural Networks and Monte
// Carlo Tree Search": fully connected layers, a sigmoid at the end, mean squared error, Adam. Deviation: rewards beyond
// 0 and 1 are scaled into that range. Activation and initialisation are not known to us: ReLU, and normal with variance
// 2 / inputs (He et al. 2015).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "surrogate.hpp"
#include "weft/rng.hpp"

namespace mcts {

// A template, so that gradients can be checked in double precision and training runs in single.
template <typename Scalar>
class MultilayerNetwork {
 public:
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

  struct Layer {
    Matrix weight;  // outputs x inputs
    Vector bias;
  };

  MultilayerNetwork(std::size_t inputs, const std::vector<std::size_t>& hidden, weft::Rng& rng) {
    auto width = static_cast<Eigen::Index>(inputs);
    std::vector<std::size_t> widths = hidden;
    widths.push_back(1);
    for (const std::size_t next : widths) {
      const auto outputs = static_cast<Eigen::Index>(next);
      const double deviation = std::sqrt(2.0 / static_cast<double>(width));
      layers.push_back({Matrix::NullaryExpr(outputs, width, [&] { return Scalar(deviation * rng.normal()); }),
                        Vector::Zero(outputs)});
      width = outputs;
    }
  }

  // inputs: features x samples.
  Vector values(const Matrix& inputs) const { return forward(inputs).back().transpose(); }

  // Mean over the samples of (value - target)^2, and its gradient by backpropagation.
  Scalar loss(const Matrix& inputs, const Vector& targets, std::vector<Layer>& gradient) const {
    const std::vector<Matrix> activation = forward(inputs);
    const Matrix& value = activation.back();  // 1 x samples
    const Matrix error = value - targets.transpose();
    const auto samples = static_cast<Scalar>(inputs.cols());
    gradient.resize(layers.size());
    // delta: the loss's gradient in a layer's sums, before its activation; outputs x samples.
    Matrix delta = (error.array() * value.array() * (1 - value.array()) * (2 / samples)).matrix();
    for (std::size_t i = layers.size(); i-- > 0;) {
      gradient[i].weight.noalias() = delta * activation[i].transpose();
      gradient[i].bias = delta.rowwise().sum();
      if (i == 0) break;
      const Matrix back = layers[i].weight.transpose() * delta;
      delta = (activation[i].array() > 0).select(back, Matrix::Zero(back.rows(), back.cols()));
    }
    return error.squaredNorm() / samples;
  }

  std::vector<Layer> layers;

 private:
  // The inputs, then what each layer puts out: ReLU, at the end a sigmoid.
  std::vector<Matrix> forward(const Matrix& inputs) const {
    std::vector<Matrix> activation = {inputs};
    for (std::size_t i = 0; i < layers.size(); ++i) {
      Matrix sum = layers[i].weight * activation.back();
      sum.colwise() += layers[i].bias;
      if (i + 1 < layers.size()) {
        activation.push_back(sum.cwiseMax(Scalar(0)));
      } else {
        activation.push_back((1 + (-sum.array()).exp()).inverse().matrix());
      }
    }
    return activation;
  }
};

// Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", Algorithm 1, with its constants.
class Adam {
 public:
  using Network = MultilayerNetwork<float>;

  explicit Adam(double lr) : lr_(lr) {}

  void step(Network& network, const std::vector<Network::Layer>& gradient) {
    if (first_.empty()) first_ = second_ = zeros_like(gradient);
    ++steps_;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      update(network.layers[i].weight, gradient[i].weight, first_[i].weight, second_[i].weight);
      update(network.layers[i].bias, gradient[i].bias, first_[i].bias, second_[i].bias);
    }
  }

 private:
  static std::vector<Network::Layer> zeros_like(const std::vector<Network::Layer>& gradient) {
    std::vector<Network::Layer> zeros = gradient;
    for (Network::Layer& layer : zeros) {
      layer.weight.setZero();
      layer.bias.setZero();
    }
    return zeros;
  }

  template <typename Parameter>
  void update(Parameter& parameter, const Parameter& gradient, Parameter& first, Parameter& second) const {
    static constexpr double beta1 = 0.9;
    static constexpr double beta2 = 0.999;
    static constexpr float epsilon = 1e-8F;
    first = float(beta1) * first + float(1 - beta1) * gradient;
    second = float(beta2) * second + float(1 - beta2) * gradient.cwiseAbs2();
    const auto rate = static_cast<float>(lr_ / (1 - std::pow(beta1, steps_)));
    const auto correction = static_cast<float>(1 / (1 - std::pow(beta2, steps_)));
    parameter.array() -= rate * first.array() / ((correction * second.array()).sqrt() + epsilon);
  }

  double lr_;
  int steps_ = 0;
  std::vector<Network::Layer> first_;   // m: running mean of the gradient
  std::vector<Network::Layer> second_;  // v: and of its square
};

class ValueNetwork final : public Surrogate {
 public:
  struct Options {
    std::vector<std::size_t> hidden;
    double lr;
    std::size_t batch_size;
    int epochs;
  };

  ValueNetwork(std::size_t inputs, const Options& options, weft::Rng& rng)
      : options_(options), network_(inputs, options.hidden, rng), adam_(options.lr) {}

  void fit(const Eigen::MatrixXf& inputs, const Eigen::VectorXf& rewards, weft::Rng& rng) override {
    low_ = std::min(0.0F, rewards.minCoeff());
    high_ = std::max(1.0F, rewards.maxCoeff());
    const Eigen::VectorXf targets = (rewards.array() - low_) / (high_ - low_);
    std::vector<Eigen::Index> order(static_cast<std::size_t>(rewards.size()));
    std::iota(order.begin(), order.end(), Eigen::Index{0});
    std::vector<Adam::Network::Layer> gradient;
    for (int epoch = 0; epoch < options_.epochs; ++epoch) {
      rng.shuffle(order);
      for (std::size_t from = 0; from < order.size(); from += options_.batch_size) {
        const std::vector<Eigen::Index> batch(
            order.begin() + static_cast<std::ptrdiff_t>(from),
            order.begin() + static_cast<std::ptrdiff_t>(std::min(from + options_.batch_size, order.size())));
        network_.loss(inputs(Eigen::all, batch), targets(batch), gradient);
        adam_.step(network_, gradient);
      }
    }
  }

  Eigen::VectorXf predict(const Eigen::MatrixXf& inputs) const override {
    return (network_.values(inputs).array() * (high_ - low_) + low_).matrix();
  }

 private:
  Options options_;
  Adam::Network network_;
  Adam adam_;
  float low_ = 0.0F;
  float high_ = 1.0F;
};

}  // namespace mcts
