// Parameters and multiply-adds of a network, counted from LibTorch's own tensors: what the graph's costs are held
// against.
#pragma once

#include <cstdint>

#include "weft/torch/network.hpp"

inline std::int64_t count_parameters(const weft::Network& network) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : network.parameters()) count += parameter.numel();
  return count;
}

// Of convolutions and linear layers, for one example, in the nodes that the present mode executes.
inline std::int64_t count_multiply_adds(weft::Network& network, const at::Tensor& images) {
  std::int64_t count = 0;
  const auto state = network.state();
  network.forward_observed(images, [&](const weft::Node& node, const at::Tensor& output) {
    if (node.operation != "conv2d" && node.operation != "linear") return;
    const at::Tensor& weight = state.at(node.name + ".weight");  // [output channels, ..]
    count += output.numel() / output.size(0) * (weight.numel() / weight.size(0));
  });
  return count;
}
