// How a step changes the parameters: SGD and Adam, with clipping and weight decay, as LibTorch computes them.
//
// The training loop makes one per training; then, per step: zero_grad(), backward, step(). While it lives, parameters
// and gradients are views of one buffer each, so that a step is a handful of operations, however many parameters there
// are. Unlike LibTorch's, it therefore decays parameters without a gradient too.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "weft/torch/recipe.hpp"

namespace weft {

class UpdateRule {
 public:
  // `parameters` are dense leaves of one device and type float; others may hold handles to them.
  UpdateRule(std::vector<at::Tensor> parameters, const Recipe& recipe);
  // Gives each parameter memory of its own again, and no gradient.
  ~UpdateRule();
  UpdateRule(const UpdateRule&) = delete;
  UpdateRule& operator=(const UpdateRule&) = delete;

  void zero_grad() { gradients_.zero_(); }
  // Clips the gradients, changes the parameters.
  void step(double lr);

  // All there is to store and, by copying into it, to restore: the parameters and what the rule remembers.
  const std::map<std::string, at::Tensor>& state() const { return state_; }

 private:
  void sgd(double lr);
  void adam(double lr);

  Recipe recipe_;
  std::vector<at::Tensor> parameters_;
  at::Tensor values_, gradients_;  // [all parameters' elements]
  std::map<std::string, at::Tensor> state_;
};

}  // namespace weft
