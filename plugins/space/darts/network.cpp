// Liu, Simonyan, Yang 2019b, section 3.1 and appendix; the templates as in the authors' published code (quark0/darts,
// cnn/model.py), the supernet as in its cnn/model_search.py.
//
// In the supernet batch norms of cells have no scale and shift, and pooling is followed by one, so that no operation
// outweighs the others by the size of what it computes. Nothing is dropped from it.

#include "network.hpp"

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "weft/blocks.hpp"

namespace darts {

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride,
                     bool affine = true) {
  const std::int64_t channels = graph.shape(input).channels;
  if (operation == "none") return graph.add("zero", {{"stride", stride}}, {input});
  if (operation == "max_pool_3x3") return blocks::pool(graph, input, "max_pool", 3, stride);
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3, stride);
  if (operation == "skip_connect") return blocks::factorized_reduction(graph, input, channels, affine);
  if (operation == "conv_7x1_1x7") return blocks::factorized_conv(graph, input, channels, 7, stride, affine);
  const std::int64_t kernel = blocks::square_kernel(operation);
  if (operation.starts_with("dil_conv")) return blocks::dilated_conv(graph, input, channels, kernel, stride, affine);
  return blocks::separable_conv(graph, input, channels, kernel, stride, affine);
}

// An edge: the operation, and drop-path unless it is the identity.
NodeId add_edge(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  if (operation == "skip_connect" && stride == 1) return graph.add("identity", {}, {input});
  return graph.add("drop_path", {}, {add_operation(graph, input, operation, stride)});
}

// An operation as a candidate of the supernet.
NodeId add_candidate(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  if (operation == "skip_connect" && stride == 1) return graph.add("identity", {}, {input});
  if (!operation.ends_with("pool_3x3")) return add_operation(graph, input, operation, stride, false);
  const auto group = graph.group(operation);
  return blocks::batch_norm(graph, add_operation(graph, input, operation, stride), false);
}

// The two outputs a cell reads: s0 of the cell before the previous one, s1 of the previous one.
struct Inputs {
  NodeId s0;
  NodeId s1;
  bool previous_reduced;  // s0 is twice as large as s1
};

// The states that a cell begins with.
std::vector<NodeId> add_preprocessing(ArchitectureBuilder& graph, const Inputs& inputs, std::int64_t channels,
                                      bool affine = true) {
  const auto group = graph.group("preprocess");
  const Convolution pointwise = Convolution::square(channels, 1);
  const NodeId s0 = inputs.previous_reduced ? blocks::factorized_reduction(graph, inputs.s0, channels, affine)
                                            : blocks::relu_conv_bn(graph, inputs.s0, pointwise, affine);
  return {s0, blocks::relu_conv_bn(graph, inputs.s1, pointwise, affine)};
}

NodeId add_cell(ArchitectureBuilder& graph, const Cell& cell, const Inputs& inputs, std::int64_t channels,
                bool reduces) {
  std::vector<NodeId> states = add_preprocessing(graph, inputs, channels);
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

// Every node is the sum of one choice for each state before it.
NodeId add_supernet_cell(ArchitectureBuilder& graph, const Inputs& inputs, std::int64_t channels, bool reduces) {
  std::vector<NodeId> states = add_preprocessing(graph, inputs, channels, false);
  for (int node = 2; node < 2 + nodes; ++node) {
    const auto group = graph.group("node " + std::to_string(node));
    std::vector<NodeId> terms;
    for (int from = 0; from < node; ++from) {
      const auto edge = graph.group("edge " + std::to_string(from) + "-" + std::to_string(node));
      std::vector<NodeId> candidates;
      for (const std::string& operation : supernet_operations) {
        candidates.push_back(
            add_candidate(graph, states[static_cast<std::size_t>(from)], operation, reduces && from < 2 ? 2 : 1));
      }
      terms.push_back(graph.add(
          "choice",
          {{"decision", edge_decision(reduces ? "reduce" : "normal", from, node)}, {"options", supernet_operations}},
          candidates));
    }
    states.push_back(graph.add("add", {}, terms));
  }
  return graph.add("concat", {}, std::span(states).subspan(2));
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

// The cells between stem and classifier; `add_cell` adds one to the graph.
weft::Architecture stack(
    const Network& network, const weft::Task& task,
    const std::function<NodeId(ArchitectureBuilder&, const Inputs&, std::int64_t channels, bool reduces)>& add_cell) {
  ArchitectureBuilder graph;
  Inputs inputs = add_stem(graph, graph.input(task.input), network);
  std::int64_t channels = network.channels;
  std::optional<NodeId> auxiliary;
  for (int layer = 0; layer < network.layers; ++layer) {
    const bool reduces = darts::reduces(network, layer);
    if (reduces) channels *= 2;
    NodeId output{};
    {
      const auto group = graph.group((reduces ? "reduction " : "normal ") + std::to_string(layer + 1));
      output = add_cell(graph, inputs, channels, reduces);
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

}  // namespace

weft::Architecture build(const Network& network, const Cells& cells, const weft::Task& task) {
  return stack(network, task,
               [&](ArchitectureBuilder& graph, const Inputs& inputs, std::int64_t channels, bool reduces) {
                 return add_cell(graph, reduces ? cells.reduce : cells.normal, inputs, channels, reduces);
               });
}

weft::Architecture build_supernet(const Network& network, const weft::Task& task) {
  Network searched = network;
  searched.auxiliary = false;
  return stack(searched, task, add_supernet_cell);
}

}  // namespace darts
