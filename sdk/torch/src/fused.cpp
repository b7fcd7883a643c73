#include "fused.hpp"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <set>
#include <sstream>
#include <string>

#include "../kernels/kernels.hpp"
#include "weft/error.hpp"

namespace weft::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool autocasts() {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  return at::autocast::is_autocast_enabled(at::kCPU);
#else
  return at::autocast::is_cpu_enabled();
#endif
}

bool covered(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && !autocasts();
}

// The pool of LibTorch, which knows how many threads the slot has.
const kernels::Parallel pool = [](std::int64_t count, const kernels::Body& body) {
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) { body(begin, end); });
};

// As the kernels want it: channels-last where there are four dimensions.
at::Tensor laid_out(const at::Tensor& x) {
  return x.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

// What a backward pass of ours returns has no graph of its own.
void refuse_second_order() {
  if (at::GradMode::is_enabled())
    throw Error(
        "Weft's own kernels have gradients of first order alone; WEFT_KERNELS=off in the environment leaves the "
        "network to LibTorch, which has others");
}

at::TensorOptions plain(const at::Tensor& x) { return x.options().requires_grad(false); }

at::Tensor empty_like(const at::Tensor& x, at::IntArrayRef sizes) {
  return at::empty(
      sizes, plain(x).memory_format(sizes.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous));
}

template <typename T>
T* data(const at::Tensor& x) {
  return x.defined() ? x.data_ptr<T>() : nullptr;
}

template <typename Call>
void for_type(const at::Tensor& x, const Call& call) {
  if (x.scalar_type() == at::kDouble) {
    call(double{});
  } else {
    call(float{});
  }
}

// ---- depthwise convolution -----------------------------------------------------------------------------------------

kernels::Depthwise shape_of(const at::Tensor& x, const at::Tensor& weight, const Window& window) {
  const auto out = [&](std::size_t i) {
    const auto at = static_cast<std::int64_t>(i) + 2;
    return (x.size(at) + 2 * window.padding[i] - window.dilation[i] * (weight.size(at) - 1) - 1) / window.stride[i] + 1;
  };
  return {.examples = x.size(0),
          .channels = x.size(1),
          .height = x.size(2),
          .width = x.size(3),
          .out_height = out(0),
          .out_width = out(1),
          .kernel_height = weight.size(2),
          .kernel_width = weight.size(3),
          .stride_height = window.stride[0],
          .stride_width = window.stride[1],
          .padding_height = window.padding[0],
          .padding_width = window.padding[1],
          .dilation_height = window.dilation[0],
          .dilation_width = window.dilation[1]};
}

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const Window& window) {
  return at::conv2d(x, weight, {}, window.stride, window.padding, window.dilation, x.size(1));
}

// LibTorch's forward pass is by oneDNN, where there is one; its backward pass is the slow one.
bool forward_is_faster_elsewhere(const at::Tensor& x) {
  return at::globalContext().hasMKLDNN() && x.scalar_type() == at::kFloat;
}

// Whether the gradient in the input is a convolution of that in the output, with the kernel turned round.
bool is_a_convolution(const kernels::Depthwise& shape) {
  return shape.stride_height == 1 && shape.stride_width == 1 &&
         shape.padding_height <= shape.dilation_height * (shape.kernel_height - 1) &&
         shape.padding_width <= shape.dilation_width * (shape.kernel_width - 1);
}

Window turned(const kernels::Depthwise& shape) {
  return {{1, 1},
          {shape.dilation_height * (shape.kernel_height - 1) - shape.padding_height,
           shape.dilation_width * (shape.kernel_width - 1) - shape.padding_width},
          {shape.dilation_height, shape.dilation_width}};
}

// Whether the gradient in the weight is better left to oneDNN (bench/kernels), whose own is for small kernels without
// gaps.
bool weight_gradient_is_faster_elsewhere(const at::Tensor& x, const kernels::Depthwise& shape) {
  return forward_is_faster_elsewhere(x) && shape.kernel_height * shape.kernel_width <= 9 &&
         shape.dilation_height == 1 && shape.dilation_width == 1;
}

at::Tensor weight_gradient_elsewhere(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                                     const Window& window) {
  return std::get<1>(at::convolution_backward(dy, x, weight, at::OptionalIntArrayRef(), window.stride, window.padding,
                                              window.dilation, false, {0, 0}, x.size(1), {false, true, false}));
}

class DepthwiseConvolution : public torch::autograd::Function<DepthwiseConvolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const at::Tensor& given_weight,
                            const Window& window) {
    const at::Tensor x = laid_out(given), weight = given_weight.contiguous();
    context->save_for_backward({x, weight});
    for (const auto& [name, extents] : {std::pair("stride", &window.stride), std::pair("padding", &window.padding),
                                        std::pair("dilation", &window.dilation)}) {
      context->saved_data[name] = *extents;
    }
    if (forward_is_faster_elsewhere(x)) return convolve(x, weight, window);
    const kernels::Depthwise shape = shape_of(x, weight, window);
    const at::Tensor y = empty_like(x, {shape.examples, shape.channels, shape.out_height, shape.out_width});
    for_type(x, [&](auto zero) {
      using T = decltype(zero);
      kernels::depthwise<T>(shape, data<T>(x), data<T>(weight), data<T>(y), pool);
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_order();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], dy = laid_out(gradients[0]);
    const auto extents = [&](const char* name) { return context->saved_data[name].toIntVector(); };
    const Window window{extents("stride"), extents("padding"), extents("dilation")};
    const kernels::Depthwise shape = shape_of(x, weight, window);
    at::Tensor dx, dweight;
    at::Tensor our_dx, our_dweight;
    if (context->needs_input_grad(0)) {
      if (is_a_convolution(shape) && forward_is_faster_elsewhere(x)) {
        dx = convolve(dy, weight.flip({2, 3}), turned(shape));
      } else {
        dx = our_dx = empty_like(x, x.sizes());
      }
    }
    if (context->needs_input_grad(1)) {
      if (weight_gradient_is_faster_elsewhere(x, shape)) {
        dweight = weight_gradient_elsewhere(x, weight, dy, window);
      } else {
        dweight = our_dweight = at::empty(weight.sizes(), x.options());
      }
    }
    for_type(x, [&](auto zero) {
      using T = decltype(zero);
      kernels::depthwise_backward<T>(shape, data<T>(x), data<T>(weight), data<T>(dy), data<T>(our_dx),
                                     data<T>(our_dweight), pool);
    });
    return {dx, dweight, {}};
  }
};

// ---- batch norm ----------------------------------------------------------------------------------------------------

// Whether there are values to normalise, of a number of channels that fills vectors before long.
bool fits(const at::Tensor& x) {
  constexpr std::int64_t lanes = 64, longest = 8192;
  return (x.dim() == 2 || x.dim() == 4) && x.size(1) > 0 && x.numel() > x.size(1) &&
         std::lcm(x.size(1), lanes) <= longest;
}

kernels::BatchNorm shape_of(const at::Tensor& x, double eps, bool relu) {
  return {.rows = x.numel() / x.size(1), .channels = x.size(1), .eps = eps, .relu = relu};
}

class BatchNormInTraining : public torch::autograd::Function<BatchNormInTraining> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const at::Tensor& weight,
                            const at::Tensor& bias, const BatchNorm& norm, bool relu) {
    const at::Tensor x = laid_out(given);
    const at::Tensor y = empty_like(x, x.sizes());
    const at::Tensor mean = at::empty({x.size(1)}, x.options()), variance = at::empty_like(mean);
    const kernels::BatchNorm shape = shape_of(x, norm.eps, relu);
    for_type(x, [&](auto zero) {
      using T = decltype(zero);
      kernels::batch_norm<T>(shape, data<T>(x), data<T>(weight), data<T>(bias), data<T>(y), data<T>(mean),
                             data<T>(variance), pool);
    });
    if (norm.running_mean.defined()) {
      const auto rows = static_cast<double>(shape.rows);
      at::Tensor running_mean = norm.running_mean, running_var = norm.running_var;
      running_mean.mul_(1.0 - norm.momentum).add_(mean, norm.momentum);
      running_var.mul_(1.0 - norm.momentum).add_(variance, norm.momentum * rows / (rows - 1.0));
    }
    context->save_for_backward({x, weight, bias, mean, variance});
    context->saved_data["eps"] = norm.eps;
    context->saved_data["relu"] = relu;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_order();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &variance = saved[4];
    const at::Tensor dy = laid_out(gradients[0]);
    const at::Tensor dx = context->needs_input_grad(0) ? empty_like(x, x.sizes()) : at::Tensor();
    const at::Tensor dweight = at::empty_like(mean), dbias = at::empty_like(mean);
    const kernels::BatchNorm shape =
        shape_of(x, context->saved_data["eps"].toDouble(), context->saved_data["relu"].toBool());
    for_type(x, [&](auto zero) {
      using T = decltype(zero);
      kernels::batch_norm_backward<T>(shape, data<T>(x), data<T>(weight), data<T>(bias), data<T>(mean),
                                      data<T>(variance), data<T>(dy), data<T>(dx), data<T>(dweight), data<T>(dbias),
                                      pool);
    });
    return {dx,
            context->needs_input_grad(1) ? dweight : at::Tensor(),
            context->needs_input_grad(2) ? dbias : at::Tensor(),
            {},
            {}};
  }
};

// ---- weighted sums ------------------------------------------------------------------------------------------------

at::Tensor plain_weighted_sum(const at::Tensor& weights, const variable_list& x) {
  const std::vector<at::Tensor> factors = weights.unbind();
  at::Tensor sum = at::mul(x[0], factors[0]);
  for (std::size_t k = 1; k < x.size(); ++k) sum = at::addcmul(sum, x[k], factors[k]);
  return sum;
}

template <typename T, typename Tensors>
std::vector<T*> all_data(const Tensors& tensors) {
  std::vector<T*> pointers;
  for (const at::Tensor& tensor : tensors) pointers.push_back(data<std::remove_const_t<T>>(tensor));
  return pointers;
}

class WeightedSum : public torch::autograd::Function<WeightedSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_weights, at::TensorList given) {
    variable_list saved = {given_weights.contiguous()};
    for (const at::Tensor& x : given) saved.push_back(laid_out(x));
    context->save_for_backward(saved);
    const at::ArrayRef<at::Tensor> x = at::ArrayRef<at::Tensor>(saved).slice(1);
    const at::Tensor y = empty_like(x[0], x[0].sizes());
    for_type(y, [&](auto zero) {
      using T = decltype(zero);
      kernels::weighted_sum<T>(y.numel(), all_data<const T>(x), data<T>(saved[0]), data<T>(y), pool);
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& weights = saved[0];
    const at::ArrayRef<at::Tensor> x = at::ArrayRef<at::Tensor>(saved).slice(1);
    if (at::GradMode::is_enabled()) return with_a_graph(weights, x, gradients[0]);
    const at::Tensor dy = laid_out(gradients[0]);
    variable_list result = {context->needs_input_grad(0) ? at::empty_like(weights) : at::Tensor()};
    for (std::size_t k = 0; k < x.size(); ++k)
      result.push_back(context->needs_input_grad(k + 1) ? empty_like(x[k], x[k].sizes()) : at::Tensor());
    for_type(dy, [&](auto zero) {
      using T = decltype(zero);
      kernels::weighted_sum_backward<T>(dy.numel(), all_data<const T>(x), data<T>(weights), data<T>(dy),
                                        all_data<T>(at::ArrayRef<at::Tensor>(result).slice(1)), data<T>(result[0]),
                                        pool);
    });
    return result;
  }

 private:
  // Gradients of second order are LibTorch's.
  static variable_list with_a_graph(const at::Tensor& weights, at::ArrayRef<at::Tensor> x, const at::Tensor& dy) {
    std::vector<at::Tensor> dweights;
    variable_list result(1);
    for (std::size_t k = 0; k < x.size(); ++k) {
      dweights.push_back(at::sum(at::mul(dy, x[k])));
      result.push_back(at::mul(dy, weights[static_cast<std::int64_t>(k)]));
    }
    result[0] = at::stack(dweights);
    return result;
  }
};

// ---- pooling -------------------------------------------------------------------------------------------------------

// As PyTorch counts: a window that is not whole (`ceil`) begins within the image or the padding before it.
std::int64_t pooled(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding, bool ceil) {
  const std::int64_t last = size + 2 * padding - kernel;
  const std::int64_t extent = (ceil ? last + stride - 1 : last) / stride + 1;
  return ceil && (extent - 1) * stride >= size + padding ? extent - 1 : extent;
}

kernels::Pooling shape_of(at::IntArrayRef sizes, const PoolingWindow& window) {
  const auto out = [&](std::size_t i) {
    return pooled(sizes[i + 2], window.kernel[i], window.stride[i], window.padding[i], window.ceil);
  };
  return {.examples = sizes[0],
          .channels = sizes[1],
          .height = sizes[2],
          .width = sizes[3],
          .out_height = out(0),
          .out_width = out(1),
          .kernel_height = window.kernel[0],
          .kernel_width = window.kernel[1],
          .stride_height = window.stride[0],
          .stride_width = window.stride[1],
          .padding_height = window.padding[0],
          .padding_width = window.padding[1],
          .include_padding = window.include_padding};
}

// The gradient of a maximum needs to know where it was; that of an average nothing but the extents.
class Pooling : public torch::autograd::Function<Pooling> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const PoolingWindow& window,
                            bool average, bool with_gradient) {
    const at::Tensor x = laid_out(given);
    const kernels::Pooling shape = shape_of(x.sizes(), window);
    const at::Tensor y = empty_like(x, {shape.examples, shape.channels, shape.out_height, shape.out_width});
    const at::Tensor winner = !average && with_gradient ? at::empty_like(y) : at::Tensor();
    for_type(x, [&](auto zero) {
      using T = decltype(zero);
      if (average) {
        kernels::avg_pool<T>(shape, data<T>(x), data<T>(y), pool);
      } else {
        kernels::max_pool<T>(shape, data<T>(x), data<T>(y), data<T>(winner), pool);
      }
    });
    context->save_for_backward({winner});
    context->saved_data["sizes"] = x.sizes().vec();
    context->saved_data["kernel"] = window.kernel;
    context->saved_data["stride"] = window.stride;
    context->saved_data["padding"] = window.padding;
    context->saved_data["ceil"] = window.ceil;
    context->saved_data["include_padding"] = window.include_padding;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_order();
    const at::Tensor winner = context->get_saved_variables()[0], dy = laid_out(gradients[0]);
    auto& saved = context->saved_data;
    const Extents sizes = saved["sizes"].toIntVector();
    const kernels::Pooling shape =
        shape_of(sizes, {saved["kernel"].toIntVector(), saved["stride"].toIntVector(), saved["padding"].toIntVector(),
                         saved["ceil"].toBool(), saved["include_padding"].toBool()});
    const at::Tensor dx = empty_like(dy, sizes);
    for_type(dy, [&](auto zero) {
      using T = decltype(zero);
      if (winner.defined()) {
        kernels::max_pool_backward<T>(shape, data<T>(winner), data<T>(dy), data<T>(dx), pool);
      } else {
        kernels::avg_pool_backward<T>(shape, data<T>(dy), data<T>(dx), pool);
      }
    });
    return {dx, {}, {}, {}};
  }
};

// Whether LibTorch would take it, there is something to do, and the number of a tap is exact in float.
bool fits(const at::Tensor& x, const PoolingWindow& window) {
  if (x.dim() != 4 || x.numel() == 0 || window.kernel[0] * window.kernel[1] > 1 << 24) return false;
  const auto fits = [&](std::size_t i) {
    return 2 * window.padding[i] <= window.kernel[i] && x.sizes()[i + 2] + 2 * window.padding[i] >= window.kernel[i];
  };
  return is_on("pooling") && covered(x) && fits(0) && fits(1);
}

at::Tensor pool_by_kernels(const at::Tensor& x, const PoolingWindow& window, bool average) {
  return Pooling::apply(x, window, average, at::GradMode::is_enabled() && x.requires_grad());
}

}  // namespace

std::set<std::string, std::less<>> kinds_on(const char* value) {
  constexpr std::array kinds{"batch_norm", "relu", "folding", "depthwise", "pooling", "weighted_sum"};
  std::set<std::string, std::less<>> all(kinds.begin(), kinds.end()), on;
  const std::string text = value == nullptr ? "" : value;
  if (text.empty()) return all;
  if (text == "off") return {};
  std::istringstream stream(text);
  for (std::string kind; std::getline(stream, kind, ',');) {
    if (!all.contains(kind)) {
      std::string names;
      for (const char* one : kinds) names += (names.empty() ? "" : ", ") + std::string(one);
      throw InvalidInput("WEFT_KERNELS in the environment is \"" + text + "\", where \"" + kind +
                         "\" is no kind of kernels; it is off, or some of these, with commas and nothing else between "
                         "them: " +
                         names);
    }
    on.insert(kind);
  }
  return on;
}

bool is_on(std::string_view kind) {
  static const std::set<std::string, std::less<>> on = kinds_on(std::getenv("WEFT_KERNELS"));
  return on.contains(kind);
}

at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const Window& window) {
  const bool with_gradient = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  const bool ours = with_gradient || !forward_is_faster_elsewhere(x);
  if (ours && is_on("depthwise") && covered(x)) return DepthwiseConvolution::apply(x, weight, window);
  return convolve(x, weight, window);
}

at::Tensor batch_norm(const at::Tensor& x, const BatchNorm& norm, bool training, bool relu) {
  const bool with_relu = relu && is_on("relu");
  at::Tensor y;
  if (training && is_on("batch_norm") && covered(x) && fits(x)) {
    // A Function takes no tensors that are undefined.
    const at::Tensor weight = norm.weight.defined() ? norm.weight : at::ones({x.size(1)}, plain(x));
    const at::Tensor bias = norm.bias.defined() ? norm.bias : at::zeros({x.size(1)}, plain(x));
    y = BatchNormInTraining::apply(x, weight, bias, norm, with_relu);
    if (with_relu) return y;
  } else {
    y = at::batch_norm(x, norm.weight, norm.bias, norm.running_mean, norm.running_var, training, norm.momentum,
                       norm.eps, at::globalContext().userEnabledCuDNN());
  }
  return relu ? y.relu_() : y;
}

at::Tensor weighted_sum(const at::Tensor& weights, at::ArrayRef<at::Tensor> x) {
  const bool ours = is_on("weighted_sum") && covered(x[0]) && weights.scalar_type() == x[0].scalar_type() &&
                    std::all_of(x.begin(), x.end(), [&](const at::Tensor& one) { return one.sizes() == x[0].sizes(); });
  return ours ? WeightedSum::apply(weights, x) : plain_weighted_sum(weights, x.vec());
}

at::Tensor max_pool2d(const at::Tensor& x, const PoolingWindow& window) {
  if (fits(x, window)) return pool_by_kernels(x, window, false);
  return at::max_pool2d(x, window.kernel, window.stride, window.padding, /*dilation=*/1, window.ceil);
}

at::Tensor avg_pool2d(const at::Tensor& x, const PoolingWindow& window) {
  if (fits(x, window)) return pool_by_kernels(x, window, true);
  return at::avg_pool2d(x, window.kernel, window.stride, window.padding, window.ceil, window.include_padding);
}

}  // namespace weft::fused
