// A stack of LSTM layers with its backward pass, one step at a time.
//
// Hochreiter, Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000:
//   i, f, o = sigmoid(W [x; h] + b), g = tanh(W [x; h] + b), c' = f c + i g, h' = o tanh(c')
// Every layer reads and writes `units` numbers.
#pragma once

#include <Eigen/Core>
#include <string>
#include <utility>
#include <vector>

#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace weft::controllers {

class Lstm {
 public:
  // What a step computed: its output, and what the backward pass needs.
  struct Step {
    struct Layer {
      Vector read;        // [x; h], 2 units
      Vector gates;       // i, f, g, o, 4 units
      Vector cell;        // c'
      Vector activation;  // tanh(c')
      Vector output;      // h'
    };
    std::vector<Layer> layers;

    const Vector& output() const { return layers.back().output; }
  };

  // The gradient that flows from a step into the one before it, layer by layer.
  struct Carry {
    std::vector<Vector> output;
    std::vector<Vector> cell;
  };

  Lstm(Parameters& parameters, int layers, Eigen::Index units, double range, const Rng& rng) : units_(units) {
    for (int layer = 0; layer < layers; ++layer) {
      const std::string name = "lstm " + std::to_string(layer);
      weights_.push_back(parameters.add(4 * units, 2 * units, range, rng.derive(name + " weights")));
      biases_.push_back(parameters.add(4 * units, 1, range, rng.derive(name + " bias")));
    }
  }

  // The step after `before`, or the first, from a state of zeros.
  Step forward(const Parameters& parameters, Vector input, const Step* before) const {
    Step step;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      Step::Layer layer;
      layer.read = Vector::Zero(2 * units_);
      layer.read.head(units_) = input;
      if (before != nullptr) layer.read.tail(units_) = before->layers[i].output;
      layer.gates = parameters[biases_[i]];
      layer.gates.noalias() += parameters[weights_[i]] * layer.read;
      const auto sigmoid = [](auto gate) { gate = (1.0 + (-gate.array()).exp()).inverse().matrix(); };
      sigmoid(layer.gates.head(2 * units_));
      layer.gates.segment(2 * units_, units_) = layer.gates.segment(2 * units_, units_).array().tanh().matrix();
      sigmoid(layer.gates.tail(units_));
      layer.cell = gate(layer, 0).cwiseProduct(gate(layer, 2));
      if (before != nullptr) layer.cell += gate(layer, 1).cwiseProduct(before->layers[i].cell);
      layer.activation = layer.cell.array().tanh().matrix();
      layer.output = gate(layer, 3).cwiseProduct(layer.activation);
      input = layer.output;
      step.layers.push_back(std::move(layer));
    }
    return step;
  }

  Carry no_carry() const {
    return {std::vector<Vector>(weights_.size(), Vector::Zero(units_)),
            std::vector<Vector>(weights_.size(), Vector::Zero(units_))};
  }

  // Adds to the parameters' gradient what follows from the gradient of the step's output and from `carry`, which then
  // holds what flows into the step before. Returns the gradient of the step's input.
  Vector backward(Parameters& parameters, const Step& step, const Step* before, Vector output, Carry& carry) const {
    for (std::size_t i = weights_.size(); i-- > 0;) {
      const Step::Layer& layer = step.layers[i];
      output += carry.output[i];
      const Vector cell =
          carry.cell[i] +
          output.cwiseProduct(gate(layer, 3)).cwiseProduct((1.0 - layer.activation.array().square()).matrix());
      const auto slope = [](const auto& sigmoid) { return sigmoid.array() * (1.0 - sigmoid.array()); };
      Vector gates = Vector::Zero(4 * units_);
      gates.head(units_) = (cell.array() * gate(layer, 2).array() * slope(gate(layer, 0))).matrix();
      if (before != nullptr) {
        gates.segment(units_, units_) =
            (cell.array() * before->layers[i].cell.array() * slope(gate(layer, 1))).matrix();
      }
      gates.segment(2 * units_, units_) =
          (cell.array() * gate(layer, 0).array() * (1.0 - gate(layer, 2).array().square())).matrix();
      gates.tail(units_) = (output.array() * layer.activation.array() * slope(gate(layer, 3))).matrix();

      parameters.gradient(weights_[i]).noalias() += gates * layer.read.transpose();
      parameters.gradient(biases_[i]) += gates;
      const Vector read = parameters[weights_[i]].transpose() * gates;
      carry.output[i] = read.tail(units_);
      carry.cell[i] = cell.cwiseProduct(gate(layer, 1));
      output = read.head(units_);
    }
    return output;
  }

 private:
  // Gate 0 i, 1 f, 2 g, 3 o.
  Eigen::VectorBlock<const Vector> gate(const Step::Layer& layer, Eigen::Index number) const {
    return layer.gates.segment(number * units_, units_);
  }

  Eigen::Index units_;
  std::vector<Block> weights_;
  std::vector<Block> biases_;
};

}  // namespace weft::controllers
