// What the options of a supernet cost, and the term of the loss that says so: Xie et al. 2019, section 2.4.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/option_cost.hpp"

namespace snas {

// By choice and option; of all nodes where it is taken together.
inline std::vector<std::vector<weft::Cost>> option_costs(const weft::Architecture& supernet) {
  std::vector<std::vector<weft::Cost>> costs;
  for (const auto& of_choice : weft::options_at_places(supernet)) {
    costs.emplace_back();
    for (const auto& option : of_choice) costs.back().push_back(weft::total_cost(option));
  }
  return costs;
}

// The cost of a relaxed sample, differentiable in it.
class Resource {
 public:
  // linear: the weighted sum of parameters, multiply-adds and activation bytes; log: the mean of their logarithms, each
  // plus 1 so that an empty network's is 0.
  enum class Form { linear, log };
  struct Weights {  // of linear
    double parameters, multiply_adds, activation_bytes;
  };

  Resource(Form form, const Weights& weights, const std::vector<std::vector<weft::Cost>>& costs,
           const at::TensorOptions& options)
      : form_(form),
        weights_(at::tensor({weights.parameters, weights.multiply_adds, weights.activation_bytes}, at::kDouble)
                     .to(options)) {
    for (const std::vector<weft::Cost>& of_choice : costs) {
      std::vector<double> numbers;
      for (const weft::Cost& cost : of_choice) {
        for (const std::int64_t number : {cost.parameters, cost.multiply_adds, cost.activation_bytes})
          numbers.push_back(static_cast<double>(number));
      }
      costs_.push_back(at::tensor(numbers, at::kDouble).view({-1, 3}).to(options));
    }
  }

  // `sample` holds [options] for each choice.
  at::Tensor operator()(const std::vector<at::Tensor>& sample) const {
    at::Tensor total = at::zeros_like(weights_);  // [3]
    for (std::size_t i = 0; i < costs_.size(); ++i) total = total + at::matmul(sample[i], costs_[i]);
    return form_ == Form::linear ? (weights_ * total).sum() : at::log1p(total).mean();
  }

 private:
  Form form_;
  at::Tensor weights_;             // [3]
  std::vector<at::Tensor> costs_;  // by choice, [options, 3]
};

}  // namespace snas
