// What was computed from parameters, vector by vector, so that a gradient finds its way back: reverse-mode
// differentiation.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <utility>
#include <vector>

#include "weft/controllers/parameters.hpp"

namespace path_level_eas {

using weft::controllers::Block;
using weft::controllers::Parameters;
using weft::controllers::Vector;

class Tape {
 public:
  using Id = std::size_t;  // of a vector

  // The parameters may grow meanwhile; their values must stay.
  explicit Tape(const Parameters& parameters) : parameters_(parameters) {}

  const Vector& operator[](Id id) const { return entries_[id].value; }

  Id zeros(Eigen::Index size) { return add({.value = Vector::Zero(size)}); }
  Id parameter(Block column) { return add({.rule = Rule::parameter, .value = parameters_[column], .block = column}); }
  // W x
  Id product(Block matrix, Id x) {
    return add({.rule = Rule::matrix, .value = parameters_[matrix] * value(x), .inputs = {x}, .block = matrix});
  }
  // Component by component.
  Id product(Id a, Id b) {
    return add({.rule = Rule::product, .value = value(a).cwiseProduct(value(b)), .inputs = {a, b}});
  }
  Id sum(std::vector<Id> terms) {
    Vector total = value(terms.front());
    for (std::size_t i = 1; i < terms.size(); ++i) total += value(terms[i]);
    return add({.rule = Rule::sum, .value = std::move(total), .inputs = std::move(terms)});
  }
  Id sigmoid(Id x) {
    return add({.rule = Rule::sigmoid, .value = (1.0 + (-value(x).array()).exp()).inverse().matrix(), .inputs = {x}});
  }
  Id tanh(Id x) { return add({.rule = Rule::tanh, .value = value(x).array().tanh().matrix(), .inputs = {x}}); }
  Id relu(Id x) { return add({.rule = Rule::relu, .value = value(x).cwiseMax(0.0), .inputs = {x}}); }
  Id concatenation(std::vector<Id> parts) {
    Eigen::Index size = 0;
    for (const Id part : parts) size += value(part).size();
    Vector whole(size);
    for (Eigen::Index at = 0; const Id part : parts) {
      whole.segment(at, value(part).size()) = value(part);
      at += value(part).size();
    }
    return add({.rule = Rule::concatenation, .value = std::move(whole), .inputs = std::move(parts)});
  }

  // Adds to the gradient of the tape's parameters, which `parameters` are, what follows from that of one vector. Once.
  void backward(Parameters& parameters, Id last, const Vector& gradient) {
    for (Entry& entry : entries_) entry.gradient = Vector::Zero(entry.value.size());
    entries_[last].gradient = gradient;
    for (Id id = last + 1; id-- > 0;) backward(parameters, entries_[id]);
  }

 private:
  enum class Rule { constant, parameter, matrix, product, sum, sigmoid, tanh, relu, concatenation };

  struct Entry {
    Rule rule = Rule::constant;
    Vector value;
    std::vector<Id> inputs = {};  // all smaller than its own id
    Block block = {};
    Vector gradient = {};
  };

  const Vector& value(Id id) const { return entries_[id].value; }
  Vector& gradient(Id id) { return entries_[id].gradient; }
  Id add(Entry entry) {
    entries_.push_back(std::move(entry));
    return entries_.size() - 1;
  }

  void backward(Parameters& parameters, const Entry& entry) {
    const Vector& slope = entry.gradient;
    const auto y = entry.value.array();
    switch (entry.rule) {
      case Rule::constant:
        break;
      case Rule::parameter:
        parameters.gradient(entry.block) += slope;
        break;
      case Rule::matrix:
        parameters.gradient(entry.block).noalias() += slope * value(entry.inputs[0]).transpose();
        gradient(entry.inputs[0]).noalias() += parameters_[entry.block].transpose() * slope;
        break;
      case Rule::product:
        gradient(entry.inputs[0]) += slope.cwiseProduct(value(entry.inputs[1]));
        gradient(entry.inputs[1]) += slope.cwiseProduct(value(entry.inputs[0]));
        break;
      case Rule::sum:
        for (const Id term : entry.inputs) gradient(term) += slope;
        break;
      case Rule::sigmoid:
        gradient(entry.inputs[0]).array() += slope.array() * y * (1.0 - y);
        break;
      case Rule::tanh:
        gradient(entry.inputs[0]).array() += slope.array() * (1.0 - y.square());
        break;
      case Rule::relu:
        gradient(entry.inputs[0]).array() += slope.array() * (y > 0.0).cast<double>();
        break;
      case Rule::concatenation:
        for (Eigen::Index at = 0; const Id part : entry.inputs) {
          gradient(part) += slope.segment(at, value(part).size());
          at += value(part).size();
        }
    }
  }

  const Parameters& parameters_;
  std::vector<Entry> entries_;
};

}  // namespace path_level_eas
