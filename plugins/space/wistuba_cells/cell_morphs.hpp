// Morphs of Wistuba 2018 that no other space has (yet): a layer in two branches, and a convolution made separable.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "weft/morphs.hpp"

namespace wistuba_cells {

using weft::Architecture;
using weft::Morphed;
using weft::Node;
using weft::NodeId;
using weft::NotApplicable;
using weft::WeightTransfer;

// The layer, and what treats its channels one by one behind it and reads nothing else: batch norm, ReLU.
inline std::vector<NodeId> block_of(const Architecture& graph, NodeId layer) {
  std::vector<NodeId> block = {layer};
  for (;;) {
    std::vector<NodeId> readers;
    for (NodeId id = 0; const Node& node : graph.nodes()) {
      for (const NodeId input : node.inputs) {
        if (input == block.back()) readers.push_back(id);
      }
      ++id;
    }
    if (readers.size() != 1) return block;
    const std::string& operation = graph.node(readers[0]).operation;
    if (operation != "batch_norm" && operation != "activation") return block;
    block.push_back(readers[0]);
  }
}

// A convolution, and batch norm and ReLU behind it, twice: one has the first `first` of its channels, the other the
// rest, side by side. Preserves the function.
inline Morphed branch(const Architecture& graph, NodeId layer, std::int64_t first) {
  const std::int64_t channels = weft::morphs::detail::dense_layer(graph, layer, "branched").shape.channels;
  if (first < 1 || first >= channels)
    throw NotApplicable("node " + graph.node(layer).name + " has " + std::to_string(channels) + " channels; " +
                        std::to_string(first) + " of them leave nothing for one of two branches");
  const weft::morphs::Indices all = weft::morphs::detail::range(channels);
  const WeightTransfer::Map one{.dimension = 0, .indices = {all.begin(), all.begin() + first}};
  const WeightTransfer::Map other{.dimension = 0, .indices = {all.begin() + first, all.end()}};
  weft::morphs::detail::Draft draft(graph, weft::Operations::built_in());
  WeightTransfer::Step step;
  const std::vector<NodeId> block = block_of(graph, layer);
  const std::string end = graph.node(block.back()).name;
  std::string before = graph.node(graph.node(layer).inputs[0]).name, behind = end;
  for (const NodeId id : block) {
    const Node& node = graph.node(id);
    weft::Attributes attributes = node.attributes;
    if (id == layer) {
      attributes["channels"] = channels - first;
      draft.attribute(node.name, "channels") = first;
    }
    const std::string twin = draft.insert(behind, node.operation, std::move(attributes), {before});
    for (const std::string& name : weft::tensor_names(node)) {
      step.tensors[name] = WeightTransfer::Gather{name, {one}};
      step.tensors[twin + name.substr(node.name.size())] = WeightTransfer::Gather{name, {other}};
    }
    before = behind = twin;
  }
  const std::string both = draft.insert(behind, "concat", weft::Json::object(), {end, behind});
  draft.redirect(end, both, {both});
  return draft.finish(std::move(step));
}

// A convolution by a depthwise and a pointwise one. Approximate: the former begins as the identity, the latter with
// what the kernels have at their centre, as what a kernel does beside it no product of two such is equal to.
inline Morphed separate(const Architecture& graph, NodeId layer) {
  const Node& node = weft::morphs::detail::dense_layer(graph, layer, "made separable");
  const std::int64_t channels = graph.shape(node.inputs[0]).channels;
  const auto kernel = node.attributes.at("kernel").get<weft::morphs::Indices>();
  if (kernel == weft::morphs::Indices{1, 1} || kernel[0] % 2 == 0 || kernel[1] % 2 == 0 || channels < 2)
    throw NotApplicable("node " + node.name + " has a kernel of " + weft::Json(kernel).dump() + " and reads " +
                        std::to_string(channels) + " channels; it must have a larger one, odd, and read two or more");
  weft::morphs::detail::Draft draft(graph, weft::Operations::built_in());
  weft::Attributes depthwise = node.attributes;
  depthwise.update({{"channels", channels}, {"groups", channels}, {"bias", false}});
  const std::string before = graph.node(node.inputs[0]).name;
  const std::string spatial = draft.insert(before, "conv2d", std::move(depthwise), {before});
  draft.node(node.name)["inputs"] = {spatial};
  for (const auto& [attribute, value] :
       {std::pair("kernel", 1), std::pair("stride", 1), std::pair("padding", 0), std::pair("dilation", 1)})
    draft.attribute(node.name, attribute) = value;
  WeightTransfer::Step step;
  step.tensors[spatial + ".weight"] = WeightTransfer::Identity{{channels, 1, kernel[0], kernel[1]}};
  step.tensors[node.name + ".weight"] = WeightTransfer::Gather{
      node.name + ".weight",
      {{.dimension = 2, .indices = {kernel[0] / 2}}, {.dimension = 3, .indices = {kernel[1] / 2}}}};
  return draft.finish(std::move(step));
}

}  // namespace wistuba_cells
