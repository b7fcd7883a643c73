// Liu, Simonyan, Yang 2019b, section 3.1 and appendix; the templates as in the authors' published code (quark0/darts,
// cnn/model.py). Pooling has no batch norm here, unlike in the supernet.

#include "network.hpp"

#include <array>
#include <string>
#include <vector>

#include "weft/blocks.hpp"

namespace darts {

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  const std::int64_t channels = graph.shape(input).channels;
  if (operation == "none") return graph.add("zero", {{"stride", stride}}, {input});
  if (operation == "max_pool_3x3") return blocks::pool(graph, input, "max_pool", 3, stride);
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3, stride);
  if (operation == "skip_connect") return blocks::factorized_reduction(graph, input, channels);
  if (operation == "conv_7x1_1x7") return blocks::factorized_conv(graph, input, channels, 7, stride);
  const std::int64_t kernel = blocks::square_kernel(operation);
  if (operation.starts_with("dil_conv")) return blocks::dilated_conv(graph, input, channels, kernel, stride);
  return blocks::separable_conv(graph, input, channels, kernel, stride);
}

// An edge: the operation, and drop-path unless it is the identity.
NodeId add_edge(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  if (operation == "skip_connect" && stride == 1) return graph.add("identity", {}, {input});
  return graph.add("drop_path", {}, {add_operation(graph, input, operation, stride)});
}

// The two outputs a cell reads: s0 of the cell before the previous one, s1 of the previous one.
struct Inputs {
  NodeId s0;
  NodeId s1;
  bool previous_reduced;  // s0 is twice as large as s1
};

NodeId add_cell(ArchitectureBuilder& graph, const Cell& cell, const Inputs& inputs, std::int64_t channels,
                bool reduces) {
  std::vector<NodeId> states;
  {
    const auto group = graph.group("preprocess");
    states.push_back(inputs.previous_reduced
                         ? blocks::factorized_reduction(graph, inputs.s0, channels)
                         : blocks::relu_conv_bn(graph, inputs.s0, Convolution::square(channels, 1)));
    states.push_back(blocks::relu_conv_bn(graph, inputs.s1, Convolution::square(channels, 1)));
  }
  for (std::size_t i = 0; i < cell.edges.size(); i += 2) {
    const auto group = graph.group("node " + std::to_string(states.size()));
    std::array<NodeId, 2> terms{};
    for (std::size_t side = 0; side < 2; ++side) {
      const Edge& edge = cell.edges[i + side];
      terms[side] = add_edge(graph, states[static_cast<std::size_t>(edge.input)], edge.operation,
                             reduces && edge.input < 2 ? 2 : 1);
    }
    states.push_back(graph.add("add", {}, terms));
  }
  std::vector<NodeId> concat;
  for (const int state : cell.concat) concat.push_back(states[static_cast<std::size_t>(state)]);
  return graph.add("concat", {}, concat);
}

NodeId stem_convolution(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t stride) {
  return blocks::batch_norm(graph, blocks::convolution(graph, input, Convolution::square(channels, 3, stride)));
}

Inputs add_stem(ArchitectureBuilder& graph, NodeId input, const Network& network) {
  const auto group = graph.group("stem");
  if (network.stem == Template::cifar) {
    const NodeId stem = stem_convolution(graph, input, 3 * network.channels, 1);
    return {stem, stem, false};
  }
  const NodeId half = blocks::relu(graph, stem_convolution(graph, input, network.channels / 2, 2));
  const NodeId quarter = stem_convolution(graph, half, network.channels, 2);
  return {quarter, stem_convolution(graph, blocks::relu(graph, quarter), network.channels, 2), true};
}

}  // namespace

weft::Architecture build(const Network& network, const Cells& cells, const weft::Task& task) {
  ArchitectureBuilder graph;
  Inputs inputs = add_stem(graph, graph.input(task.input), network);
  std::int64_t channels = network.channels;
  std::optional<NodeId> auxiliary;
  for (int layer = 0; layer < network.layers; ++layer) {
    const bool reduces = layer == network.layers / 3 || layer == 2 * network.layers / 3;
    if (reduces) channels *= 2;
    NodeId output{};
    {
      const auto group = graph.group((reduces ? "reduction " : "normal ") + std::to_string(layer + 1));
      output = add_cell(graph, reduces ? cells.reduce : cells.normal, inputs, channels, reduces);
    }
    inputs = {inputs.s1, output, reduces};
    if (network.auxiliary && layer == 2 * network.layers / 3) {
      const bool cifar = network.stem == Template::cifar;
      auxiliary = blocks::auxiliary_classifier(
          graph, output, {.classes = task.classes, .pool_stride = cifar ? 3 : 2, .last_batch_norm = cifar});
    }
  }
  const NodeId output = blocks::classifier(graph, inputs.s1, task.classes);
  return std::move(graph).build(output, auxiliary);
}

}  // namespace darts
