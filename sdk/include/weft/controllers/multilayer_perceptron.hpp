// A multilayer perceptron: fully connected layers with ReLU between them, and a linear last one.
//
// Weights begin normal with variance 2 / inputs (He et al. 2015), biases at 0. Loss and what follows the last layer are
// the user's: forward(), the loss's gradient in the outputs, backward(), a step of Adam on `parameters`.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "weft/rng.hpp"

namespace weft::controllers {

template <typename Scalar>
class MultilayerPerceptron {
 public:
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

  // `widths`: of every layer's outputs, the last layer's included.
  MultilayerPerceptron(std::size_t inputs, const std::vector<std::size_t>& widths, Rng& rng) {
    auto width = static_cast<Eigen::Index>(inputs);
    Eigen::Index size = 0;
    for (const std::size_t next : widths) {
      const auto outputs = static_cast<Eigen::Index>(next);
      layers_.push_back({.offset = size, .inputs = width, .outputs = outputs});
      size += outputs * (width + 1);
      width = outputs;
    }
    parameters = Vector::Zero(size);
    for (const Layer& layer : layers_) {
      const double deviation = std::sqrt(2.0 / static_cast<double>(layer.inputs));
      for (Scalar& weight : parameters.segment(layer.offset, layer.outputs * layer.inputs)) {
        weight = Scalar(deviation * rng.normal());
      }
    }
  }

  // inputs: features x samples. The inputs, then what each layer puts out.
  std::vector<Matrix> forward(const Matrix& inputs) const {
    std::vector<Matrix> activations = {inputs};
    for (const Layer& layer : layers_) {
      Matrix sums = weight(parameters, layer) * activations.back();
      sums.colwise() += bias(parameters, layer);
      activations.push_back(&layer == &layers_.back() ? std::move(sums) : Matrix(sums.cwiseMax(Scalar(0))));
    }
    return activations;
  }

  // Backpropagation: the loss's gradient in the parameters, given that in the outputs (outputs x samples).
  void backward(const std::vector<Matrix>& activations, Matrix delta, Vector& gradient) const {
    gradient.resize(parameters.size());
    for (std::size_t i = layers_.size(); i-- > 0;) {
      weight(gradient, layers_[i]).noalias() = delta * activations[i].transpose();
      bias(gradient, layers_[i]) = delta.rowwise().sum();
      if (i == 0) break;
      const Matrix back = weight(parameters, layers_[i]).transpose() * delta;
      delta = (activations[i].array() > 0).select(back, Matrix::Zero(back.rows(), back.cols()));
    }
  }

  Vector parameters;  // layer by layer: the weight (outputs x inputs, column by column), the bias

 private:
  struct Layer {
    Eigen::Index offset, inputs, outputs;
  };

  static auto weight(Vector& of, const Layer& layer) {
    return Eigen::Map<Matrix>(of.data() + layer.offset, layer.outputs, layer.inputs);
  }
  static auto weight(const Vector& of, const Layer& layer) {
    return Eigen::Map<const Matrix>(of.data() + layer.offset, layer.outputs, layer.inputs);
  }
  static auto bias(Vector& of, const Layer& layer) {
    return of.segment(layer.offset + layer.outputs * layer.inputs, layer.outputs);
  }
  static auto bias(const Vector& of, const Layer& layer) {
    return of.segment(layer.offset + layer.outputs * layer.inputs, layer.outputs);
  }

  std::vector<Layer> layers_;
};

}  // namespace weft::controllers
