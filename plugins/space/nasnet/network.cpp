// Zoph, Vasudevan, Shlens, Le 2018, appendix A.4; where the paper leaves room, as in the released code
// (tensorflow/models, research/slim/nets/nasnet). Blocks that concatenate are brought back to F channels by a 1x1
// convolution. Options: `skip_reduction` as in the released NASNet-A Large; `bottleneck` as in the released AmoebaNet
// (tensorflow/tpu, models/experimental/amoeba_net); `padding` same as in both. Missing of AmoebaNet-A's code: a
// drop-path that grows with time alone, not with depth, and a cell's output of states that are named one by one (1, 3,
// 4, 6).

#include "network.hpp"

#include <optional>
#include <utility>

namespace nasnet {

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

NodeId conv_bn(ArchitectureBuilder& graph, NodeId input, std::int64_t channels) {
  return blocks::batch_norm(graph, blocks::convolution(graph, input, Convolution::square(channels, 1)));
}

// A cell where it stands.
struct Place {
  std::int64_t filters;
  bool reduces;
  double drop_path_scale;  // (c + 1) / C for cell c of C: ScheduledDropPath
  bool bottleneck;
  blocks::Padding padding;
};

bool is_factorized(const std::string& operation) { return operation == "conv_1x3_3x1" || operation == "conv_1x7_7x1"; }

std::int64_t kernel_of(const std::string& operation) {
  if (is_factorized(operation)) return operation == "conv_1x3_3x1" ? 3 : 7;
  return blocks::square_kernel(operation);
}

// ReLU, convolution and batch norm, three times or, of a factorized one, four: 1x1 to a quarter of the filters (three
// eighths for 1x3_3x1), the operation, 1x1 back.
NodeId add_bottleneck(ArchitectureBuilder& graph, NodeId input, const std::string& operation, const Place& place,
                      std::int64_t stride) {
  const std::int64_t narrow = operation == "conv_1x3_3x1" ? 3 * place.filters / 8 : place.filters / 4;
  const std::int64_t kernel = kernel_of(operation);
  NodeId x = blocks::relu_conv_bn(graph, input, Convolution::square(narrow, 1));
  if (is_factorized(operation)) {
    x = blocks::relu_conv_bn(
        graph, x, {.channels = narrow, .kernel_width = kernel, .stride_width = stride, .padding = place.padding});
    x = blocks::relu_conv_bn(
        graph, x, {.channels = narrow, .kernel_height = kernel, .stride_height = stride, .padding = place.padding});
  } else {
    Convolution convolution = Convolution::square(narrow, kernel, stride, operation == "dilated_conv_3x3" ? 2 : 1);
    convolution.padding = place.padding;
    x = blocks::relu_conv_bn(graph, x, convolution);
  }
  return blocks::relu_conv_bn(graph, x, Convolution::square(place.filters, 1));
}

// The operation on `input`, with the place's filters out.
NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, const Place& place,
                     std::int64_t stride) {
  const std::int64_t filters = place.filters;
  if (operation == "identity") {
    if (stride == 1 && graph.shape(input).channels == filters) return graph.add("identity", {}, {input});
    const auto group = graph.own_group(operation);
    return blocks::relu_conv_bn(graph, input, Convolution::square(filters, 1, stride));
  }
  const std::int64_t kernel = kernel_of(operation);
  if (operation.starts_with("avg_pool") || operation.starts_with("max_pool")) {
    const auto group = graph.own_group(operation);
    const NodeId pooled = blocks::pool(graph, input, operation.substr(0, 8).c_str(), kernel, stride, place.padding);
    return graph.shape(pooled).channels == filters ? pooled : conv_bn(graph, pooled, filters);
  }
  if (operation.starts_with("sep_conv"))
    return blocks::separable_conv(graph, input, filters, kernel, stride, true, place.padding);
  if (operation == "dilated_sep_conv_3x3")
    return blocks::dilated_conv(graph, input, filters, kernel, stride, true, place.padding);
  if (is_factorized(operation) && !place.bottleneck)
    return blocks::factorized_conv(graph, input, filters, kernel, stride, true, place.padding);
  const auto group = graph.own_group(operation);
  if (place.bottleneck && operation != "conv_1x1") return add_bottleneck(graph, input, operation, place, stride);
  Convolution convolution = Convolution::square(filters, kernel, stride, operation == "dilated_conv_3x3" ? 2 : 1);
  convolution.padding = place.padding;
  return blocks::relu_conv_bn(graph, input, convolution);
}

// States 0 and 1: the previous output always projected, the one before only where its extent or channels differ. The
// first cell has none before: it reads the stem twice, the second time as it is.
std::vector<NodeId> cell_inputs(ArchitectureBuilder& graph, NodeId previous, std::optional<NodeId> before,
                                std::int64_t filters) {
  const auto group = graph.group("inputs");
  const NodeId projected = blocks::relu_conv_bn(graph, previous, Convolution::square(filters, 1));
  if (!before) return {projected, previous};
  const weft::Shape shape = graph.shape(*before);
  const weft::Shape reference = graph.shape(previous);
  if (shape.height != reference.height || shape.width != reference.width) {
    return {projected, blocks::factorized_reduction(graph, *before, filters)};
  }
  if (shape.channels == filters) return {projected, *before};
  return {projected, blocks::relu_conv_bn(graph, *before, Convolution::square(filters, 1))};
}

NodeId add_block(ArchitectureBuilder& graph, const Block& block, const std::vector<NodeId>& states,
                 const Place& place) {
  const auto operand = [&](const Operand& read) {
    const std::int64_t stride = place.reduces && read.state < 2 ? 2 : 1;
    const NodeId result = add_operation(graph, states[read.state], read.operation, place, stride);
    if (read.operation == "identity") return result;
    return graph.add("drop_path", {{"scale", place.drop_path_scale}}, {result});
  };
  const NodeId first = operand(block.first);
  const NodeId second = operand(block.second);
  if (!block.concat) return graph.add("add", {}, {first, second});
  return blocks::relu_conv_bn(graph, graph.add("concat", {}, {first, second}), Convolution::square(place.filters, 1));
}

NodeId add_cell(ArchitectureBuilder& graph, const Cell& cell, NodeId previous, std::optional<NodeId> before,
                const Place& place, Concatenation concatenation) {
  std::vector<NodeId> states = cell_inputs(graph, previous, before, place.filters);
  std::vector<bool> read(2 + cell.size());
  for (std::size_t b = 0; b < cell.size(); ++b) {
    const auto group = graph.group("block " + std::to_string(b + 1));
    states.push_back(add_block(graph, cell[b], states, place));
    read[cell[b].first.state] = read[cell[b].second.state] = true;
  }
  std::vector<NodeId> output;
  const std::size_t released_from = place.reduces ? 3 : 1;
  for (std::size_t state = 1; state < states.size(); ++state) {
    const bool unused_block = state >= 2 && !read[state];
    if (!unused_block && (concatenation == Concatenation::unused || state < released_from)) continue;
    // Only state 1 of the first cell, the stem, can have other channels.
    const bool fits = graph.shape(states[state]).channels == place.filters;
    output.push_back(fits ? states[state] : conv_bn(graph, states[state], place.filters));
  }
  return graph.add("concat", {}, output);
}

}  // namespace

weft::Architecture build(const Network& network, const Cell& normal, const Cell& reduction, const weft::Task& task) {
  const bool imagenet = network.stem == Template::imagenet;
  const std::int64_t cell_count = 3 * network.cells + 2 + (imagenet ? 2 : 0);
  ArchitectureBuilder graph;
  NodeId previous = graph.input(task.input);
  std::optional<NodeId> before;
  {
    const auto group = graph.group("stem");
    const std::int64_t channels = network.stem_multiplier * (imagenet ? 32 : network.filters);
    const weft::Attributes convolution = {
        {"channels", channels}, {"kernel", 3}, {"stride", imagenet ? 2 : 1}, {"padding", imagenet ? 0 : 1}};
    previous = blocks::batch_norm(graph, graph.add("conv2d", convolution, {previous}));
  }
  std::int64_t number = 0;
  const auto stack = [&](std::int64_t filters, bool reduces) {
    ++number;
    const auto group = graph.group((reduces ? "reduction " : "normal ") + std::to_string(number));
    const Place place{filters, reduces, static_cast<double>(number) / static_cast<double>(cell_count),
                      network.bottleneck, network.padding};
    const NodeId output = add_cell(graph, reduces ? reduction : normal, previous, before, place, network.concatenation);
    return std::exchange(previous, output);
  };
  if (imagenet) {
    before = stack(network.filters / 4, true);
    before = stack(network.filters / 2, true);
  }
  std::optional<NodeId> auxiliary;
  std::int64_t filters = network.filters;
  for (int stage = 0; stage < 3; ++stage, filters *= 2) {
    if (stage > 0) {
      const NodeId read = stack(filters, true);
      if (!network.skip_reduction) before = read;
    }
    for (std::int64_t cell = 0; cell < network.cells; ++cell) before = stack(filters, false);
    if (network.auxiliary && stage == 1)
      auxiliary = blocks::auxiliary_classifier(graph, previous, {.classes = task.classes});
  }
  NodeId features{};
  {
    const auto group = graph.group("classifier");
    features = graph.add("global_avg_pool", {}, {blocks::relu(graph, previous)});
    if (network.dropout > 0.0) features = graph.add("dropout", {{"probability", network.dropout}}, {features});
    features = graph.add("linear", {{"features", task.classes}}, {features});
  }
  return std::move(graph).build(features, auxiliary);
}

}  // namespace nasnet
