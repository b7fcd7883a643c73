// An architecture as a graph neural network sees it: what each node is, and who sends to whom, in layers that are
// passed one after the other.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "weft/architecture.hpp"

namespace graph_hypernetwork {

// What a node does, as far as it is told apart: the operation, and of those with windows the kernel, the dilation and
// whether channels are convolved in groups.
inline std::string token_of(const weft::Node& node) {
  std::string token = node.operation;
  for (const char* name : {"function", "kernel", "dilation"}) {
    if (node.attributes.contains(name)) token += " " + node.attributes.at(name).dump();
  }
  if (node.attributes.contains("groups") && node.attributes.at("groups") != 1) token += " groups";
  return token;
}

// Of all nodes that parts of a supernet have, each once, in alphabetical order: sums take the place of choices of which
// several options are active.
inline std::vector<std::string> tokens_of(const weft::Architecture& supernet) {
  std::set<std::string> tokens = {"add"};
  for (const weft::Node& node : supernet.nodes()) {
    if (node.operation != "choice") tokens.insert(token_of(node));
  }
  return {tokens.begin(), tokens.end()};
}

// Who receives from whom in one direction.
struct Direction {
  // By layer, in the order in which they are passed.
  struct Step {
    std::size_t layer;
    std::vector<std::size_t> senders;  // layers
    at::Tensor adjacency;              // [nodes of the layer, nodes of the senders side by side]: how often it reads
  };
  std::vector<Step> steps;
};

struct LayeredGraph {
  // By layer its nodes: as far from the input as the longest way, so that no node receives from its own layer.
  std::vector<std::vector<weft::NodeId>> layers;
  std::vector<at::Tensor> tokens;  // by layer, int64 [nodes]
  Direction forward, backward;     // from the input to the output, and against the graph's edges
};

inline LayeredGraph layered(const weft::Architecture& graph, const std::vector<std::string>& tokens,
                            const at::TensorOptions& options) {
  const auto nodes = graph.nodes();
  std::vector<std::size_t> layer(nodes.size()), place(nodes.size());
  LayeredGraph result;
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    for (const weft::NodeId input : nodes[id].inputs)
      layer[id] = std::max(layer[id], layer[static_cast<std::size_t>(input)] + 1);
    result.layers.resize(std::max(result.layers.size(), layer[id] + 1));
    place[id] = result.layers[layer[id]].size();
    result.layers[layer[id]].push_back(static_cast<weft::NodeId>(id));
  }
  for (const std::vector<weft::NodeId>& of_layer : result.layers) {
    std::vector<std::int64_t> numbers;
    for (const weft::NodeId id : of_layer) {
      const auto found = std::lower_bound(tokens.begin(), tokens.end(), token_of(graph.node(id)));
      numbers.push_back(found - tokens.begin());
    }
    result.tokens.push_back(at::tensor(numbers, at::kLong).to(options.device()));
  }

  std::vector<std::vector<std::size_t>> reads(nodes.size()), read_by(nodes.size());
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    for (const weft::NodeId input : nodes[id].inputs) {
      reads[id].push_back(static_cast<std::size_t>(input));
      read_by[static_cast<std::size_t>(input)].push_back(id);
    }
  }
  const auto step = [&](std::size_t at, const std::vector<std::vector<std::size_t>>& sources) {
    Direction::Step step{at, {}, {}};
    std::map<std::size_t, std::int64_t> first;  // by layer, among the senders
    for (const weft::NodeId id : result.layers[at]) {
      for (const std::size_t source : sources[static_cast<std::size_t>(id)]) first[layer[source]] = 0;
    }
    std::int64_t columns = 0;
    for (auto& [sender, column] : first) {
      step.senders.push_back(sender);
      column = columns;
      columns += static_cast<std::int64_t>(result.layers[sender].size());
    }
    at::Tensor adjacency = at::zeros({static_cast<std::int64_t>(result.layers[at].size()), columns}, at::kFloat);
    auto entries = adjacency.accessor<float, 2>();
    for (std::size_t row = 0; row < result.layers[at].size(); ++row) {
      for (const std::size_t source : sources[static_cast<std::size_t>(result.layers[at][row])])
        entries[static_cast<std::int64_t>(row)][first.at(layer[source]) + static_cast<std::int64_t>(place[source])] +=
            1;
    }
    step.adjacency = adjacency.to(options);
    return step;
  };
  for (std::size_t at = 0; at < result.layers.size(); ++at) {
    result.forward.steps.push_back(step(at, reads));
    result.backward.steps.push_back(step(result.layers.size() - 1 - at, read_by));
  }
  return result;
}

}  // namespace graph_hypernetwork
