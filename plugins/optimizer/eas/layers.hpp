// A network as the controller reads it: a chain of layers, each a token, in blocks that end with a pool.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/error.hpp"
#include "weft/morphs.hpp"

namespace eas {

struct Layer {
  enum class Kind { convolution, linear, pool };

  Kind kind;
  std::int64_t width;  // filters or units
  std::string token;   // "conv-64-3": filters and kernel; "fc-256": units; "pool"
  std::string node;    // the convolution, linear layer or pool itself
  std::string end;     // the last node of the layer, behind batch norm and activation
};

namespace detail {

inline bool is_one_of(std::string_view operation, std::initializer_list<std::string_view> operations) {
  return std::find(operations.begin(), operations.end(), operation) != operations.end();
}

[[noreturn]] inline void refuse(const weft::Node& node, const std::string& why) {
  throw weft::InvalidInput("node " + node.name + " (" + node.operation + ") " + why +
                           "; eas reads chains of convolutions without groups, linear layers and pools");
}

inline Layer layer(const weft::Node& node) {
  if (node.operation == "linear")
    return {Layer::Kind::linear, node.shape.channels, "fc-" + std::to_string(node.shape.channels), node.name,
            node.name};
  if (node.operation == "conv2d") {
    if (!weft::morphs::detail::is_dense(node)) refuse(node, "has groups");
    const auto kernel = node.attributes.at("kernel").get<std::vector<std::int64_t>>();
    std::string token = "conv-" + std::to_string(node.shape.channels) + "-" + std::to_string(kernel[0]);
    if (kernel[1] != kernel[0]) token += "x" + std::to_string(kernel[1]);
    return {Layer::Kind::convolution, node.shape.channels, token, node.name, node.name};
  }
  return {Layer::Kind::pool, node.shape.channels, "pool", node.name, node.name};
}

}  // namespace detail

// All layers but the classifier, which is the network's output. Throws InvalidInput naming the node that makes it no
// chain of such layers.
inline std::vector<Layer> layers(const weft::Architecture& graph) {
  std::vector<Layer> found;
  for (weft::NodeId id = 0; const weft::Node& node : graph.nodes()) {
    if (node.operation != "input" && (node.inputs.size() != 1 || node.inputs[0] != id - 1))
      detail::refuse(node, "does not read the node before it alone");
    if (id++ == graph.output()) break;
    if (detail::is_one_of(node.operation, {"conv2d", "linear", "max_pool", "avg_pool", "global_avg_pool"})) {
      found.push_back(detail::layer(node));
    } else if (!detail::is_one_of(node.operation,
                                  {"input", "batch_norm", "activation", "dropout", "identity", "flatten"})) {
      detail::refuse(node, "is no layer");
    } else if (!found.empty() && node.shape.is_image() == (found.back().kind == Layer::Kind::convolution)) {
      found.back().end = node.name;
    }
  }
  return found;
}

inline std::vector<std::string> tokens(const std::vector<Layer>& layers) {
  std::vector<std::string> tokens;
  for (const Layer& layer : layers) tokens.push_back(layer.token);
  return tokens;
}

// The numbers of the layers of each block, pools left out: the first block ends with the first pool. May be empty.
inline std::vector<std::vector<std::size_t>> blocks(const std::vector<Layer>& layers) {
  std::vector<std::vector<std::size_t>> blocks(1);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].kind == Layer::Kind::pool) {
      blocks.emplace_back();
    } else {
      blocks.back().push_back(i);
    }
  }
  return blocks;
}

}  // namespace eas
