// Composite operations as graph expansions: the building blocks that papers draw as one box.
//
// Each adds its nodes under a group of its own name, so that a drawing can fold them into that box, and returns the
// last node. Kernels are odd; padding keeps the extent at stride 1, and makes it ceil(extent / stride) at others.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "weft/architecture.hpp"

namespace weft::blocks {

// The side of the square kernel that an operation's name ends in: 5 of "sep_conv_5x5". Throws InvalidInput if it ends
// in none.
inline std::int64_t square_kernel(std::string_view operation) {
  std::int64_t height = 0, width = 0;
  const char* const end = operation.data() + operation.size();
  const auto extent = [&](const char* from, std::int64_t& value) {
    const auto [rest, error] = std::from_chars(from, end, value);
    return error == std::errc() ? rest : end;
  };
  const char* const x = extent(operation.data() + (operation.rfind('_') + 1), height);  // npos + 1 is 0
  if (x != end && *x == 'x' && extent(x + 1, width) == end && height == width && height > 0) return height;
  throw InvalidInput("the operation \"" + std::string(operation) +
                     "\" has no square kernel in its name; it must end as in sep_conv_5x5");
}

// Where the zeros stand that a window reads beyond the image. They differ where a stride leaves it a choice: at an
// extent of 8, kernel 3 and stride 2 the windows begin at -1, 1, 3, 5 or at 0, 2, 4, 6.
enum class Padding {
  symmetric,  // as many before as after: PyTorch's habit
  same        // as few as needed, the odd one after: TensorFlow's "SAME"
};

inline NodeId relu(ArchitectureBuilder& graph, NodeId input) {
  return graph.add("activation", {{"function", "relu"}}, {input});
}

inline NodeId batch_norm(ArchitectureBuilder& graph, NodeId input, bool affine = true) {
  return graph.add("batch_norm", {{"affine", affine}}, {input});
}

// Batch norm - ReLU.
inline NodeId bn_relu(ArchitectureBuilder& graph, NodeId input) { return relu(graph, batch_norm(graph, input)); }

struct Convolution {
  std::int64_t channels = 0;
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = false;
  Padding padding = Padding::symmetric;

  static Convolution square(std::int64_t channels, std::int64_t kernel, std::int64_t stride = 1,
                            std::int64_t dilation = 1) {
    return {channels, kernel, kernel, stride, stride, dilation};
  }
  // Of an input with as many channels.
  static Convolution depthwise(std::int64_t channels, std::int64_t kernel, std::int64_t stride = 1,
                               std::int64_t dilation = 1) {
    return {channels, kernel, kernel, stride, stride, dilation, channels};
  }
};

// Zeros along one direction.
struct Zeros {
  std::int64_t before = 0;
  std::int64_t after = 0;
};

// For windows that reach over `reach` pixels.
inline Zeros zeros(std::int64_t extent, std::int64_t reach, std::int64_t stride, Padding padding) {
  if (padding == Padding::symmetric) return {(reach - 1) / 2, (reach - 1) / 2};
  const std::int64_t windows = (extent + stride - 1) / stride;
  const std::int64_t needed = std::max<std::int64_t>((windows - 1) * stride + reach - extent, 0);
  return {needed / 2, needed - needed / 2};
}

// A convolution padded to keep the extent at stride 1.
inline NodeId convolution(ArchitectureBuilder& graph, NodeId input, const Convolution& c) {
  const auto along = [&](std::int64_t extent, std::int64_t kernel, std::int64_t stride) {
    return zeros(extent, c.dilation * (kernel - 1) + 1, stride, c.padding);
  };
  const Shape shape = graph.shape(input);
  const Zeros rows = along(shape.height, c.kernel_height, c.stride_height);
  const Zeros columns = along(shape.width, c.kernel_width, c.stride_width);
  // The convolution pads both sides alike; what more is needed after the image is added before it.
  const std::int64_t below = rows.after - rows.before, right = columns.after - columns.before;
  if (below > 0 || right > 0) input = graph.add("pad", {{"padding", {0, below, 0, right}}}, {input});
  return graph.add("conv2d",
                   {{"channels", c.channels},
                    {"kernel", {c.kernel_height, c.kernel_width}},
                    {"stride", {c.stride_height, c.stride_width}},
                    {"padding", {rows.before, columns.before}},
                    {"dilation", c.dilation},
                    {"groups", c.groups},
                    {"bias", c.bias}},
                   {input});
}

// Convolution - batch norm.
inline NodeId conv_bn(ArchitectureBuilder& graph, NodeId input, const Convolution& c) {
  return batch_norm(graph, convolution(graph, input, c));
}

// ReLU - convolution - batch norm.
inline NodeId relu_conv_bn(ArchitectureBuilder& graph, NodeId input, const Convolution& c, bool affine = true) {
  return batch_norm(graph, convolution(graph, relu(graph, input), c), affine);
}

// Convolution - batch norm - ReLU.
inline NodeId conv_bn_relu(ArchitectureBuilder& graph, NodeId input, const Convolution& c) {
  return bn_relu(graph, convolution(graph, input, c));
}

// ReLU - depthwise kernel x kernel - pointwise to `channels` - batch norm.
inline NodeId relu_depthwise_pointwise_bn(ArchitectureBuilder& graph, NodeId input, std::int64_t channels,
                                          std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                                          bool affine = true, Padding padding = Padding::symmetric) {
  Convolution depthwise = Convolution::depthwise(graph.shape(input).channels, kernel, stride, dilation);
  depthwise.padding = padding;
  const NodeId spatial = convolution(graph, relu(graph, input), depthwise);
  return batch_norm(graph, convolution(graph, spatial, Convolution::square(channels, 1)), affine);
}

// Separable convolution as in NASNet and DARTS: applied twice, stride and change of channels on the first
// (tensorflow/models slim/nets/nasnet; DARTS's own never change channels).
inline NodeId separable_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t kernel,
                             std::int64_t stride = 1, bool affine = true, Padding padding = Padding::symmetric) {
  const auto group = graph.own_group("sep_conv_" + std::to_string(kernel) + "x" + std::to_string(kernel));
  const NodeId first = relu_depthwise_pointwise_bn(graph, input, channels, kernel, stride, 1, affine, padding);
  return relu_depthwise_pointwise_bn(graph, first, channels, kernel, 1, 1, affine);
}

// Dilated separable convolution as in DARTS: applied once, dilation 2.
inline NodeId dilated_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t kernel,
                           std::int64_t stride = 1, bool affine = true, Padding padding = Padding::symmetric) {
  const auto group = graph.own_group("dil_conv_" + std::to_string(kernel) + "x" + std::to_string(kernel));
  return relu_depthwise_pointwise_bn(graph, input, channels, kernel, stride, 2, affine, padding);
}

// Halves height and width without losing every second pixel: ReLU, two subsampled 1x1 convolutions, one shifted by one
// pixel, concatenated, batch norm (tensorflow/models slim/nets/nasnet; for even extents also quark0/darts). `channels`
// is even. ENAS's (melodyguan/enas) has no ReLU.
inline NodeId factorized_reduction(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, bool affine = true,
                                   bool leading_relu = true) {
  const auto group = graph.own_group("factorized_reduction");
  if (channels % 2 != 0)
    throw InvalidInput("factorized reduction needs an even number of channels, not " + std::to_string(channels));
  const NodeId active = leading_relu ? relu(graph, input) : input;
  const NodeId straight = convolution(graph, active, Convolution::square(channels / 2, 1, 2));
  const NodeId shifted = convolution(graph, graph.add("shift", {}, {active}), Convolution::square(channels / 2, 1, 2));
  return batch_norm(graph, graph.add("concat", {}, {straight, shifted}), affine);
}

// A kernel x kernel convolution taken apart: ReLU - 1 x kernel - kernel x 1 - batch norm, each with the stride of its
// own direction (quark0/darts, conv_7x1_1x7).
inline NodeId factorized_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t kernel,
                              std::int64_t stride = 1, bool affine = true, Padding padding = Padding::symmetric) {
  const std::string extent = std::to_string(kernel);
  const auto group = graph.own_group("conv_1x" + extent + "_" + extent + "x1");
  const NodeId row =
      convolution(graph, relu(graph, input),
                  {.channels = channels, .kernel_width = kernel, .stride_width = stride, .padding = padding});
  const NodeId column = convolution(
      graph, row, {.channels = channels, .kernel_height = kernel, .stride_height = stride, .padding = padding});
  return batch_norm(graph, column, affine);
}

// kernel x kernel pooling, padded to keep the extent at stride 1 where the kernel is odd; what is padded never counts.
// `operation` is "max_pool" or "avg_pool".
inline NodeId pool(ArchitectureBuilder& graph, NodeId input, const char* operation, std::int64_t kernel,
                   std::int64_t stride = 1, Padding padding = Padding::symmetric) {
  const Shape shape = graph.shape(input);
  const Zeros rows = zeros(shape.height, kernel, stride, padding),
              columns = zeros(shape.width, kernel, stride, padding);
  weft::Attributes attributes = {{"kernel", kernel}, {"stride", stride}, {"padding", {rows.before, columns.before}}};
  // The last window reaches over the border where it has to.
  if (rows.after > rows.before || columns.after > columns.before) attributes["ceil"] = true;
  return graph.add(operation, attributes, {input});
}

// Global average pooling, dropout if there is any, and a linear classifier.
inline NodeId classifier(ArchitectureBuilder& graph, NodeId input, std::int64_t classes, double dropout = 0.0) {
  const auto group = graph.group("classifier");
  NodeId features = graph.add("global_avg_pool", {}, {input});
  if (dropout > 0.0) features = graph.add("dropout", {{"probability", dropout}}, {features});
  return graph.add("linear", {{"features", classes}}, {features});
}

// The auxiliary classifier of NASNet and DARTS: ReLU, 5 x 5 average pooling, 1x1 convolution to 128, a convolution over
// the whole of what is left to 768, and a linear classifier (Zoph et al. 2018, appendix A.7; tensorflow/models
// slim/nets/nasnet; quark0/darts). A map smaller than 5 x 5 is pooled whole. DARTS for ImageNet pools with stride 2 and
// has no batch norm after the last convolution.
struct AuxiliaryClassifier {
  std::int64_t classes = 0;
  std::int64_t pool_stride = 3;
  bool last_batch_norm = true;
};

inline NodeId auxiliary_classifier(ArchitectureBuilder& graph, NodeId input, const AuxiliaryClassifier& options) {
  const auto group = graph.group("auxiliary");
  const Shape map = graph.shape(input);
  const std::int64_t height = std::min<std::int64_t>(map.height, 5);
  const std::int64_t width = std::min<std::int64_t>(map.width, 5);
  const NodeId pooled =
      graph.add("avg_pool", {{"kernel", {height, width}}, {"stride", options.pool_stride}}, {relu(graph, input)});
  const NodeId narrow = conv_bn_relu(graph, pooled, Convolution::square(128, 1));
  const Shape rest = graph.shape(narrow);
  NodeId x = graph.add("conv2d", {{"channels", 768}, {"kernel", {rest.height, rest.width}}}, {narrow});
  if (options.last_batch_norm) x = batch_norm(graph, x);
  x = graph.add("flatten", {}, {relu(graph, x)});
  return graph.add("linear", {{"features", options.classes}}, {x});
}

}  // namespace weft::blocks
