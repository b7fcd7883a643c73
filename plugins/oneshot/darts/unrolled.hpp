// The gradient of the validation loss in the structure, by which weights are chosen that are one step further: Liu,
// Simonyan, Yang 2019, Eq. 7 and 8.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

namespace darts {

// Two losses of weights and structure. Each adds its gradients to those of `weights`, which are side by side in
// `gradients`, and of `structure`; the third to the structure's alone.
struct Bilevel {
  at::Tensor weights, gradients;      // [all weights]
  std::vector<at::Tensor> structure;  // leaves
  std::function<void()> descend_training, descend_validation, descend_training_in_structure;
};

// How the weights take their next step: w' = w - lr (momentum * velocity + dL/dw + weight_decay w).
struct WeightStep {
  double lr;
  double momentum = 0.0;
  at::Tensor velocity = {};  // [all weights]; undefined: none
  double weight_decay = 0.0;
  double gradient_clip = 0.0;  // largest norm of the losses' gradients in the weights; 0: any
};

inline void clip(at::Tensor& gradients, double largest) {
  const double norm = gradients.norm().item<double>();
  if (largest > 0.0 && norm > largest) gradients.mul_(largest / norm);
}

inline void clear(const Bilevel& problem) {
  problem.gradients.zero_();
  for (const at::Tensor& leaf : problem.structure) {
    if (leaf.grad().defined()) leaf.grad().zero_();
  }
}

inline std::vector<at::Tensor> structure_gradients(const Bilevel& problem) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& leaf : problem.structure)
    gradients.push_back(leaf.grad().defined() ? leaf.grad().clone() : at::zeros_like(leaf));
  return gradients;
}

// Of the training loss, with the weights moved along `direction`.
inline std::vector<at::Tensor> training_gradients_at(const Bilevel& problem, const at::Tensor& weights) {
  {
    const at::NoGradGuard no_grad;
    problem.weights.copy_(weights);
  }
  clear(problem);
  problem.descend_training_in_structure();
  return structure_gradients(problem);
}

// dL_val(w', a)/da - lr [dL_train(w+, a)/da - dL_train(w-, a)/da] / 2e, with w+- = w +- e dL_val(w', a)/dw' and
// e = epsilon / |dL_val(w', a)/dw'|. The weights are what they were, to the bit; gradients are cleared.
inline std::vector<at::Tensor> unrolled_gradient(const Bilevel& problem, const WeightStep& step, double epsilon) {
  const at::Tensor before = problem.weights.clone();
  clear(problem);
  problem.descend_training();
  {
    const at::NoGradGuard no_grad;
    at::Tensor direction = problem.gradients.clone();
    clip(direction, step.gradient_clip);
    direction.add_(before, step.weight_decay);
    if (step.velocity.defined()) direction.add_(step.velocity, step.momentum);
    problem.weights.sub_(direction, step.lr);
  }
  clear(problem);
  problem.descend_validation();
  std::vector<at::Tensor> result = structure_gradients(problem);

  at::Tensor along = problem.gradients.clone();
  clip(along, step.gradient_clip);
  const double norm = along.norm().item<double>();
  if (norm > 0.0) {
    const double e = epsilon / norm;
    const std::vector<at::Tensor> ahead = training_gradients_at(problem, before.add(along, e));
    const std::vector<at::Tensor> behind = training_gradients_at(problem, before.sub(along, e));
    for (std::size_t i = 0; i < result.size(); ++i) result[i].sub_(ahead[i].sub(behind[i]), step.lr / (2.0 * e));
  }
  clear(problem);
  const at::NoGradGuard no_grad;
  problem.weights.copy_(before);
  return result;
}

}  // namespace darts
