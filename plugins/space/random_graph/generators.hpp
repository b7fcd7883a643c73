// Random graphs and their conversion to directed acyclic ones.
#pragma once

#include <cstddef>
#include <set>
#include <utility>

#include "weft/rng.hpp"

namespace random_graph {

// From the node with the lower number to that with the higher one, so that the graph is acyclic.
using Edge = std::pair<std::size_t, std::size_t>;
using Edges = std::set<Edge>;

// Erdos-Renyi: every pair of nodes with a probability; drawn anew until all hang together. The probability must be
// above ln N / N, from where on that is likely.
Edges erdos_renyi(std::size_t nodes, double probability, weft::Rng& rng);

// Barabasi-Albert: beginning with `attachments` lone nodes, each further one gets as many edges to different nodes,
// with probabilities proportional to their degrees. attachments < nodes. Nodes are numbered as they come.
Edges barabasi_albert(std::size_t nodes, std::size_t attachments, weft::Rng& rng);

// Watts-Strogatz: a ring with edges to neighbors/2 nodes on either side, each rewired with a probability. `neighbors`
// is even and less than nodes. Nodes are numbered clockwise.
Edges watts_strogatz(std::size_t nodes, std::size_t neighbors, double probability, weft::Rng& rng);

}  // namespace random_graph
