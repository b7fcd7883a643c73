// Kernels for what NAS networks are made of and LibTorch is slow at on a CPU: depthwise convolutions, batch norm with
// the ReLU behind it, pooling, and weighted sums of many tensors.
//
// Images are channels-last: value (n, c, y, x) lies at ((n * height + y) * width + x) * channels + c. Every kernel is
// there in float and in double, and is compiled for several instruction sets, of which the machine's best is chosen
// when it runs (Google Highway). Sums are cut in pieces by the extents alone, never by the number of threads: the same
// input gives the same bits. Nothing here knows LibTorch; the autograd functions around it are in ../src/fused.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace weft::kernels {

// Calls body(begin, end) for ranges that make up [0, count), at once or one after the other.
using Body = std::function<void(std::int64_t begin, std::int64_t end)>;
using Parallel = std::function<void(std::int64_t count, const Body& body)>;

// A convolution in which each channel has a filter of its own.
struct Depthwise {
  std::int64_t examples, channels;
  std::int64_t height, width;  // of the input
  std::int64_t out_height, out_width;
  std::int64_t kernel_height, kernel_width;
  std::int64_t stride_height, stride_width;
  std::int64_t padding_height, padding_width;  // of zeros, on either side
  std::int64_t dilation_height, dilation_width;
};

// x: [examples, height, width, channels]; weight: [channels, kernel_height, kernel_width]; y is written.
template <typename T>
void depthwise(const Depthwise& shape, const T* x, const T* weight, T* y, const Parallel& parallel);
// Given the gradient in y, writes those in x and in the weight, but for one that is null.
template <typename T>
void depthwise_backward(const Depthwise& shape, const T* x, const T* weight, const T* dy, T* dx, T* dweight,
                        const Parallel& parallel);

// A batch norm in training over `rows` values of each channel, at least two, and max(0, .) of it where `relu` says so.
struct BatchNorm {
  std::int64_t rows, channels;
  double eps;
  bool relu;
};

// x and y: [rows, channels]; weight and bias: [channels]. Writes y, and per channel the mean
// and the (biased) variance.
template <typename T>
void batch_norm(const BatchNorm& shape, const T* x, const T* weight, const T* bias, T* y, T* mean, T* variance,
                const Parallel& parallel);
// Given the gradient in y, writes those in x (unless null), the weight and the bias (never null).
template <typename T>
void batch_norm_backward(const BatchNorm& shape, const T* x, const T* weight, const T* bias, const T* mean,
                         const T* variance, const T* dy, T* dx, T* dweight, T* dbias, const Parallel& parallel);

// Windows of images, of which those at the borders may reach beyond.
struct Pooling {
  std::int64_t examples, channels;
  std::int64_t height, width;  // of the input
  std::int64_t out_height, out_width;
  std::int64_t kernel_height, kernel_width;
  std::int64_t stride_height, stride_width;
  std::int64_t padding_height, padding_width;
  bool include_padding;  // averages: its zeros count as values
};

// x: [examples, height, width, channels]. Writes y and, unless it is null, by output which tap of its window the
// maximum is, row by row; the first of several, as in LibTorch.
template <typename T>
void max_pool(const Pooling& shape, const T* x, T* y, T* winner, const Parallel& parallel);
// Given the gradient in y, writes that in x.
template <typename T>
void max_pool_backward(const Pooling& shape, const T* winner, const T* dy, T* dx, const Parallel& parallel);

template <typename T>
void avg_pool(const Pooling& shape, const T* x, T* y, const Parallel& parallel);
template <typename T>
void avg_pool_backward(const Pooling& shape, const T* dy, T* dx, const Parallel& parallel);

// y = sum of weights[k] * x[k], each of `size` values.
template <typename T>
void weighted_sum(std::int64_t size, const std::vector<const T*>& x, const T* weights, T* y, const Parallel& parallel);
// Given the gradient in y, writes weights[k] * dy to each dx[k] that is not null and, unless it is null, the sum of
// dy * x[k] to dweights[k].
template <typename T>
void weighted_sum_backward(std::int64_t size, const std::vector<const T*>& x, const T* weights, const T* dy,
                           const std::vector<T*>& dx, T* dweights, const Parallel& parallel);

}  // namespace weft::kernels
