// The concrete distribution: one option among several, drawn so that the draw can be differentiated in the logits of
// the options' probabilities (Xie et al. 2019, Eq. 5; Maddison, Mnih, Teh 2017).
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "weft/rng.hpp"

namespace snas {

// The course of the temperature: linear from `start` in the first epoch to `end` in epoch `epochs`, where it stays.
struct Annealing {
  double start, end;
  int epochs;

  double at(int epoch) const {
    if (epochs < 2) return epoch > epochs ? end : start;
    const double part = std::min(1.0, (epoch - 1.0) / (epochs - 1.0));
    return start + (end - start) * part;
  }
};

// G = -log(-log U), U uniform: for each of `logits`, [options], one of its extents and type, drawn in their order.
inline std::vector<at::Tensor> gumbel_noise(const std::vector<at::Tensor>& logits, weft::Rng& rng) {
  std::vector<std::int64_t> sizes;
  for (const at::Tensor& of : logits) sizes.push_back(of.numel());
  std::vector<double> drawn;
  for (const std::int64_t size : sizes) {
    for (std::int64_t i = 0; i < size; ++i) drawn.push_back(-std::log(-std::log(rng.uniform())));
  }
  const at::TensorOptions options = logits.front().options().requires_grad(false);
  return at::tensor(drawn, at::kDouble).to(options).split_with_sizes(sizes);
}

// Z = softmax((log alpha + G) / lambda), [options], with its graph.
inline at::Tensor relaxed(const at::Tensor& log_alpha, const at::Tensor& noise, double temperature) {
  return at::softmax((log_alpha + noise) / temperature, 0);
}

}  // namespace snas
