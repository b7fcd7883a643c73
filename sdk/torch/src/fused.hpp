// LibTorch's view of our own kernels (../kernels/kernels.hpp): what they cover is computed by them, the rest by
// LibTorch, with the same meaning.
//
// They cover float32 and float64 on the CPU, outside autocast, and may be turned off by WEFT_KERNELS=off in the
// environment, to compare. Gradients of first order.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace weft::fused {

using Extents = std::vector<std::int64_t>;  // down, across

struct Window {
  Extents stride, padding, dilation;
};

// at::conv2d without bias where every channel has a filter of its own: x [n, c, h, w], weight [c, 1, kh, kw].
at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const Window& window);

struct BatchNorm {
  at::Tensor weight, bias;               // undefined: ones, zeros
  at::Tensor running_mean, running_var;  // changed in training
  double momentum, eps;
};

// at::batch_norm of x, [n, c] or [n, c, h, w], and max(0, .) of it where `relu` says so.
at::Tensor batch_norm(const at::Tensor& x, const BatchNorm& norm, bool training, bool relu);

}  // namespace weft::fused
