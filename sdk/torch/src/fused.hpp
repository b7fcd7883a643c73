// LibTorch's view of our own kernels (../kernels/kernels.hpp): what they cover is computed by them, the rest by
// LibTorch, with the same meaning.
//
// They cover float32 and float64 on the CPU, outside autocast. To compare, WEFT_KERNELS in the environment turns them
// off, or names those that stay on: off, or some of batch_norm, relu, folding, depthwise, pooling, weighted_sum, by
// commas. Gradients of first order, but for sums.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace weft::fused {

// The kinds of kernels that a value of WEFT_KERNELS leaves on: all where there is none (null or empty). "folding", of
// batch norms into convolutions in evaluation, is the plan's (weft/torch/plan.hpp). Throws InvalidInput.
std::set<std::string, std::less<>> kinds_on(const char* value);
// Whether the environment has that kind on.
bool is_on(std::string_view kind);

using Extents = std::vector<std::int64_t>;  // down, across

struct Window {
  Extents stride, padding, dilation;
};

// at::conv2d without bias where every channel has a filter of its own: x [n, c, h, w], weight [c, 1, kh, kw].
at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const Window& window);

struct BatchNorm {
  at::Tensor weight, bias;               // undefined: ones, zeros
  at::Tensor running_mean, running_var;  // changed in training; undefined there: not kept
  double momentum, eps;
};

// at::batch_norm of x, [n, c] or [n, c, h, w], and max(0, .) of it where `relu` says so.
at::Tensor batch_norm(const at::Tensor& x, const BatchNorm& norm, bool training, bool relu);

// The sum of weights[k] * x[k]; weights: [x.size()]. Has gradients of second order, too.
at::Tensor weighted_sum(const at::Tensor& weights, at::ArrayRef<at::Tensor> x);

struct PoolingWindow {
  Extents kernel, stride, padding;
  bool ceil;
  bool include_padding;  // averages: its zeros count as values
};

// at::max_pool2d of x, [n, c, h, w].
at::Tensor max_pool2d(const at::Tensor& x, const PoolingWindow& window);
// at::avg_pool2d of it.
at::Tensor avg_pool2d(const at::Tensor& x, const PoolingWindow& window);

}  // namespace weft::fused
