// The networks of DARTS: cells stacked for CIFAR or for ImageNet, to be evaluated or to be searched in.
#pragma once

#include <cstdint>
#include <string>

#include "cells.hpp"
#include "weft/architecture.hpp"
#include "weft/context.hpp"

namespace darts {

enum class Template { cifar, imagenet };

struct Network {
  Template stem;
  std::int64_t channels;  // C
  int layers;             // cells
  bool auxiliary;
};

inline constexpr int nodes = 4;  // of a cell of the search space

// Of the supernet: the operation on the edge from a state to a node, in all cells of a type ("normal", "reduce").
inline std::string edge_decision(const std::string& type, int from, int node) {
  return type + "/edge " + std::to_string(from) + "-" + std::to_string(node);
}

// Whether cell `layer`, counted from 0, halves the extent.
inline bool reduces(const Network& network, int layer) {
  return layer == network.layers / 3 || layer == 2 * network.layers / 3;
}

// Throws InvalidInput if the cells do not fit together or the task.
weft::Architecture build(const Network& network, const Cells& cells, const weft::Task& task);

// Cells in which every edge is a choice among all operations; without an auxiliary classifier.
weft::Architecture build_supernet(const Network& network, const weft::Task& task);

}  // namespace darts
