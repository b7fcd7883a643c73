// Parameters and multiply-adds of a network, counted from LibTorch's own tensors: what the graph's costs are held
// against.
#pragma once

#include <cstdint>

#include "weft/torch/network.hpp"

// Without those that a mask has taken out.
inline std::int64_t count_parameters(const weft::Network& network) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : network.parameters()) count += parameter.numel();
  for (const auto& [name, tensor] : network.state()) {
    if (name.ends_with(".mask")) count -= tensor.eq(0).sum().item<std::int64_t>();
  }
  return count;
}

// Of convolutions and linear layers, for one example, in the nodes that the present mode executes.
inline std::int64_t count_multiply_adds(weft::Network& network, const at::Tensor& images) {
  std::int64_t count = 0;
  const auto state = network.state();
  network.forward_observed(images, [&](const weft::Node& node, const at::Tensor& output) {
    const std::int64_t outputs = output.numel() / output.size(0);
    const bool condensed = node.operation == "learned_group_conv" && !state.contains(node.name + ".mask");
    if (node.operation == "conv2d" || node.operation == "linear" || condensed) {
      const at::Tensor& weight = state.at(node.name + ".weight");  // [output channels, ..]
      count += outputs * (weight.numel() / weight.size(0));
    } else if (node.operation == "learned_group_conv") {
      const at::Tensor& mask = state.at(node.name + ".mask");
      count += outputs * mask.sum().item<std::int64_t>() / mask.size(0);
    } else if (node.operation == "recurrent") {  // matrices of the cell, at every position
      for (const auto& [name, tensor] : state) {
        if (name.starts_with(node.name + ".") && tensor.dim() == 2) count += output.size(1) * tensor.numel();
      }
    }
  });
  return count;
}
