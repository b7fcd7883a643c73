// Composite operations as graph expansions: the building blocks that papers draw as one box.
//
// Each adds its nodes under a group of its own name, so that a drawing can fold them into that box, and returns the
// last node. Kernels are odd; padding keeps the extent at stride 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "weft/architecture.hpp"

namespace weft::blocks {

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

// A convolution padded to keep the extent at stride 1.
inline NodeId convolution(ArchitectureBuilder& graph, NodeId input, const Convolution& c) {
  const auto padding = [&](std::int64_t kernel) { return c.dilation * (kernel - 1) / 2; };
  return graph.add("conv2d",
                   {{"channels", c.channels},
                    {"kernel", {c.kernel_height, c.kernel_width}},
                    {"stride", {c.stride_height, c.stride_width}},
                    {"padding", {padding(c.kernel_height), padding(c.kernel_width)}},
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
                                          bool affine = true) {
  const std::int64_t width = graph.shape(input).channels;
  const NodeId spatial =
      convolution(graph, relu(graph, input), Convolution::depthwise(width, kernel, stride, dilation));
  return batch_norm(graph, convolution(graph, spatial, Convolution::square(channels, 1)), affine);
}

// Separable convolution as in NASNet and DARTS: applied twice, stride and change of channels on the first
// (tensorflow/models slim/nets/nasnet; DARTS's own never change channels).
inline NodeId separable_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t kernel,
                             std::int64_t stride = 1, bool affine = true) {
  const auto group = graph.own_group("sep_conv_" + std::to_string(kernel) + "x" + std::to_string(kernel));
  const NodeId first = relu_depthwise_pointwise_bn(graph, input, channels, kernel, stride, 1, affine);
  return relu_depthwise_pointwise_bn(graph, first, channels, kernel, 1, 1, affine);
}

// Dilated separable convolution as in DARTS: applied once, dilation 2.
inline NodeId dilated_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t kernel,
                           std::int64_t stride = 1, bool affine = true) {
  const auto group = graph.own_group("dil_conv_" + std::to_string(kernel) + "x" + std::to_string(kernel));
  return relu_depthwise_pointwise_bn(graph, input, channels, kernel, stride, 2, affine);
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
                              std::int64_t stride = 1, bool affine = true) {
  const std::string extent = std::to_string(kernel);
  const auto group = graph.own_group("conv_1x" + extent + "_" + extent + "x1");
  const NodeId row = convolution(
      graph, relu(graph, input),
      {.channels = channels, .kernel_height = 1, .kernel_width = kernel, .stride_height = 1, .stride_width = stride});
  const NodeId column = convolution(
      graph, row,
      {.channels = channels, .kernel_height = kernel, .kernel_width = 1, .stride_height = stride, .stride_width = 1});
  return batch_norm(graph, column, affine);
}

// kernel x kernel pooling, padded to keep the extent at stride 1 where the kernel is odd. `operation` is "max_pool" or
// "avg_pool".
inline NodeId pool(ArchitectureBuilder& graph, NodeId input, const char* operation, std::int64_t kernel,
                   std::int64_t stride = 1) {
  return graph.add(operation, {{"kernel", kernel}, {"stride", stride}, {"padding", (kernel - 1) / 2}}, {input});
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
