// Our own kernels beside LibTorch's: milliseconds of a forward pass and of a forward and a backward pass, batch 64, one
// thread, channels-last. Rounds are interleaved; a figure is the median of the rounds, a ratio the median of theirs.
// Beside them what copying the input once takes: the forward pass alone reads it once and writes as much.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <hwy/targets.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "sdk/torch/src/fused.hpp"

namespace {

using weft::fused::Window;
using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

struct Subject {
  std::string name;
  Tensors inputs;
  Function ours, theirs;
  double target;  // ratio of the forward and backward pass; 0: none
};

double milliseconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  constexpr int times = 5;
  for (int i = 0; i < times; ++i) body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / times;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

at::Tensor images(std::int64_t c, std::int64_t extent, std::int64_t n = 64) {
  return at::randn({n, c, extent, extent}).contiguous(at::MemoryFormat::ChannelsLast);
}

Subject depthwise(std::int64_t c, std::int64_t extent, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                  double target) {
  const std::int64_t padding = dilation * (kernel - 1) / 2;
  const Window window{{stride, stride}, {padding, padding}, {dilation, dilation}};
  std::string name = "depthwise " + std::to_string(kernel) + "x" + std::to_string(kernel);
  if (stride > 1) name += ", stride " + std::to_string(stride);
  if (dilation > 1) name += ", dilated";
  return {name + " on " + std::to_string(c) + "x" + std::to_string(extent) + "x" + std::to_string(extent),
          {images(c, extent), at::randn({c, 1, kernel, kernel})},
          [=](const Tensors& in) { return weft::fused::depthwise_conv2d(in[0], in[1], window); },
          [=](const Tensors& in) {
            return at::conv2d(in[0], in[1], {}, window.stride, window.padding, window.dilation, c);
          },
          target};
}

Subject batch_norm(std::int64_t c, std::int64_t extent, bool relu, double target) {
  const at::Tensor mean = at::zeros({c}), var = at::ones({c});
  return {std::string("batch norm") + (relu ? " + ReLU" : "") + " on " + std::to_string(c) + "x" +
              std::to_string(extent) + "x" + std::to_string(extent),
          {images(c, extent), at::ones({c}), at::zeros({c})},
          [=](const Tensors& in) {
            return weft::fused::batch_norm(in[0], {in[1], in[2], mean, var, 0.1, 1e-5}, true, relu);
          },
          [=](const Tensors& in) {
            at::Tensor y = at::batch_norm(in[0], in[1], in[2], mean, var, true, 0.1, 1e-5, false);
            return relu ? y.relu_() : y;
          },
          target};
}

Subject pooling(bool average, std::int64_t c, std::int64_t extent, std::int64_t kernel, std::int64_t stride) {
  const std::int64_t padding = kernel % 2 == 0 ? 0 : kernel / 2;
  const weft::fused::PoolingWindow window{{kernel, kernel}, {stride, stride}, {padding, padding}, false, false};
  return {std::string(average ? "average" : "maximum") + " of " + std::to_string(kernel) + "x" +
              std::to_string(kernel) + ", stride " + std::to_string(stride) + " on " + std::to_string(c) + "x" +
              std::to_string(extent) + "x" + std::to_string(extent),
          {images(c, extent)},
          [=](const Tensors& in) {
            return average ? weft::fused::avg_pool2d(in[0], window) : weft::fused::max_pool2d(in[0], window);
          },
          [=](const Tensors& in) {
            return average ? at::avg_pool2d(in[0], window.kernel, window.stride, window.padding, false, false)
                           : at::max_pool2d(in[0], window.kernel, window.stride, window.padding);
          },
          1.0};
}

// Whether the target was met.
bool measure(const Subject& subject, int rounds) {
  Tensors leaves;
  for (const at::Tensor& input : subject.inputs) leaves.push_back(input.clone().requires_grad_());
  const at::Tensor y = subject.ours(leaves).detach();
  const at::Tensor dy = at::randn_like(y);
  at::Tensor copy = at::empty_like(subject.inputs[0]);
  const auto forward = [&](const Function& function) {
    return milliseconds([&] {
      const at::NoGradGuard no_grad;
      function(subject.inputs);
    });
  };
  const auto both = [&](const Function& function) {
    return milliseconds([&] { torch::autograd::grad({function(leaves)}, leaves, {dy}); });
  };
  std::vector<double> copies, ours_forward, theirs_forward, ours_both, theirs_both, forward_ratio, both_ratio;
  for (int round = 0; round <= rounds; ++round) {
    const double of_copy = milliseconds([&] { copy.copy_(subject.inputs[0]); });
    const double of_ours = forward(subject.ours), of_theirs = forward(subject.theirs);
    const double ours = both(subject.ours), theirs = both(subject.theirs);
    if (round == 0) continue;  // warms up
    copies.push_back(of_copy);
    ours_forward.push_back(of_ours);
    theirs_forward.push_back(of_theirs);
    ours_both.push_back(ours);
    theirs_both.push_back(theirs);
    forward_ratio.push_back(of_theirs / of_ours);
    both_ratio.push_back(theirs / ours);
  }
  const double ratio = median(both_ratio);
  const double share = median(copies) / median(ours_forward);
  std::printf("%-44s%9.3f%9.3f%9.3f%7.2f%9.3f%9.3f%7.2f%8.0f %%", subject.name.c_str(), median(copies),
              median(theirs_forward), median(ours_forward), median(forward_ratio), median(theirs_both),
              median(ours_both), ratio, 100 * share);
  const bool met = ratio >= subject.target;
  if (subject.target > 0) std::printf("  %.1f%s", subject.target, met ? "" : " MISSED");
  std::printf("\n");
  return met;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  if (std::getenv("WEFT_BENCH_AVX2")) hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  at::set_num_threads(1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  std::printf("ms, batch 64, one thread, %d rounds; the last columns: a copy's bandwidth reached forward, target\n",
              rounds);
  std::printf("%-44s%9s%9s%9s%7s%9s%9s%7s\n", "", "copy", "LibTorch", "forward", "ratio", "LibTorch", "+ backw.",
              "ratio");
  bool all = true;
  for (const Subject& subject :
       {depthwise(16, 28, 3, 1, 1, 1.0),  depthwise(16, 28, 5, 1, 1, 2.5), depthwise(16, 28, 7, 1, 1, 2.5),
        depthwise(16, 28, 3, 1, 2, 2.5),  depthwise(16, 28, 5, 1, 2, 2.5), depthwise(16, 28, 3, 2, 1, 1.0),
        depthwise(16, 28, 5, 2, 1, 1.0),  depthwise(36, 32, 3, 1, 1, 1.0), depthwise(36, 32, 5, 1, 1, 2.5),
        depthwise(72, 16, 5, 1, 1, 2.5),  depthwise(144, 8, 5, 1, 1, 2.5), depthwise(64, 7, 3, 1, 1, 1.0),
        depthwise(64, 7, 5, 1, 2, 2.5),   depthwise(4, 28, 3, 1, 1, 1.0),  depthwise(4, 28, 5, 1, 1, 1.0),
        depthwise(128, 16, 3, 1, 1, 1.0), batch_norm(16, 28, false, 1.0),  batch_norm(16, 28, true, 2.0),
        batch_norm(36, 32, true, 4.0),    batch_norm(4, 28, true, 1.0),    batch_norm(64, 7, true, 1.0),
        batch_norm(144, 8, true, 1.0),    pooling(false, 32, 28, 2, 2),    pooling(false, 8, 28, 2, 2),
        pooling(false, 16, 32, 3, 1),     pooling(false, 36, 32, 3, 2),    pooling(true, 16, 32, 3, 1),
        pooling(true, 36, 32, 3, 1),      pooling(true, 36, 32, 3, 2),     pooling(true, 64, 8, 3, 1)}) {
    all = measure(subject, rounds) && all;
  }
  return all ? 0 : 1;
}
