// What the hypernetwork generates for an architecture, written into a supernet's parameters, and the way back.
//
// Parameters stay leaves, which the training loop needs; by the chain rule their gradients are what the hypernetwork's
// outputs are given.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <string>
#include <vector>

#include "hypernetwork.hpp"
#include "weft/supernet.hpp"
#include "weft/torch/network.hpp"

namespace graph_hypernetwork {

class WrittenWeights {
 public:
  // Both are referred to, and must live longer.
  WrittenWeights(weft::Network& network, const Hypernetwork& hypernetwork)
      : architecture_(network.architecture()), hypernetwork_(hypernetwork) {
    for (const auto& parameter : network.named_parameters()) leaves_[parameter.key()] = parameter.value();
  }

  // Of the parameters that take part in it.
  void write(const weft::SupernetPath& path) {
    generated_ = hypernetwork_(weft::restricted(architecture_, path));
    const at::NoGradGuard no_grad;
    for (const auto& [name, value] : generated_) leaves_.at(name).copy_(value);
  }

  // From the gradients of what was written last to those of the hypernetwork; once.
  void backward() {
    std::vector<at::Tensor> outputs, gradients;
    for (const auto& [name, value] : generated_) {
      const at::Tensor& gradient = leaves_.at(name).grad();
      if (!gradient.defined()) continue;
      outputs.push_back(value);
      gradients.push_back(gradient);
    }
    torch::autograd::backward(outputs, gradients);
    generated_.clear();
  }

 private:
  const weft::Architecture& architecture_;
  const Hypernetwork& hypernetwork_;
  std::map<std::string, at::Tensor> leaves_;
  weft::NamedTensors generated_;  // with their graph
};

}  // namespace graph_hypernetwork
