// Xie, Kirillov, Girshick, He 2019, section 3.3. For Erdos-Renyi the paper numbers the nodes at random; as all pairs
// are alike there, that changes nothing and is left out.

#include "generators.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace random_graph {

namespace {

Edge ordered(std::size_t one, std::size_t other) { return std::minmax(one, other); }

bool connected(std::size_t nodes, const Edges& edges) {
  std::vector<std::size_t> root(nodes);
  std::iota(root.begin(), root.end(), std::size_t{0});
  const auto find = [&](std::size_t node) {
    while (root[node] != node) node = root[node] = root[root[node]];
    return node;
  };
  std::size_t components = nodes;
  for (const auto& [from, to] : edges) {
    const std::size_t one = find(from);
    const std::size_t other = find(to);
    if (one == other) continue;
    root[one] = other;
    --components;
  }
  return components == 1;
}

}  // namespace

Edges erdos_renyi(std::size_t nodes, double probability, weft::Rng& rng) {
  Edges edges;
  do {
    edges.clear();
    for (std::size_t to = 1; to < nodes; ++to) {
      for (std::size_t from = 0; from < to; ++from) {
        if (rng.bernoulli(probability)) edges.emplace(from, to);
      }
    }
  } while (!connected(nodes, edges));
  return edges;
}

Edges barabasi_albert(std::size_t nodes, std::size_t attachments, weft::Rng& rng) {
  Edges edges;
  std::vector<double> degree(nodes);
  for (std::size_t node = attachments; node < nodes; ++node) {
    // The first has only lone nodes to choose from, and takes all of them.
    std::vector<double> weights(degree.begin(), degree.begin() + static_cast<std::ptrdiff_t>(node));
    if (node == attachments) std::fill(weights.begin(), weights.end(), 1.0);
    for (std::size_t i = 0; i < attachments; ++i) {
      const std::size_t chosen = rng.weighted(weights);
      weights[chosen] = 0.0;  // the edges go to different nodes
      edges.emplace(chosen, node);
      degree[chosen] += 1.0;
    }
    degree[node] = static_cast<double>(attachments);
  }
  return edges;
}

Edges watts_strogatz(std::size_t nodes, std::size_t neighbors, double probability, weft::Rng& rng) {
  Edges edges;
  for (std::size_t node = 0; node < nodes; ++node) {
    for (std::size_t i = 1; i <= neighbors / 2; ++i) edges.insert(ordered(node, (node + i) % nodes));
  }
  // Round by round: first the edges to the next nodes, then those to the ones after them.
  for (std::size_t i = 1; i <= neighbors / 2; ++i) {
    for (std::size_t node = 0; node < nodes; ++node) {
      if (!rng.bernoulli(probability)) continue;
      std::vector<std::size_t> strangers;
      for (std::size_t other = 0; other < nodes; ++other) {
        if (other != node && !edges.contains(ordered(node, other))) strangers.push_back(other);
      }
      if (strangers.empty()) continue;
      edges.erase(ordered(node, (node + i) % nodes));
      edges.insert(ordered(node, rng.choice(strangers)));
    }
  }
  return edges;
}

}  // namespace random_graph
