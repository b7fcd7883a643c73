// A morphed network under the names of another graph.
//
// Called by spaces whose genotypes are not graphs: a morph (weft/morphs.hpp) works on what the parent's genotype
// decodes to and names new nodes as it likes, while decoding the child's genotype names them after their places.
// renamed() finds out which node is which, and has the transfer end with the names of the latter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/canonical_hash.hpp"
#include "weft/morphs.hpp"
#include "weft/tensors.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {
namespace detail {

// For each node of one graph the node of the other that does the same in the same place.
//
// From the outputs upwards, readers before what they read: inputs correspond by position, those of commutative nodes by
// what is computed in them, and where that leaves a choice by name. Whatever is still alike then, symmetry makes
// exchangeable (as far as colour refinement tells, weft/canonical_hash.hpp).
class Correspondence {
 public:
  Correspondence(const Architecture& from, const Architecture& to)
      : graphs_{&from, &to}, partners_{Partners(from.nodes().size(), -1), Partners(to.nodes().size(), -1)} {
    for (const std::size_t side : {0, 1}) {
      for (const Node& node : graphs_[side]->nodes())
        operations_[side].push_back(hash_text(node.attributes.dump(), hash_text(node.operation)));
      colours_[side] = CanonicalHash(*graphs_[side]).colours();
    }
    // Where the graphs differ, all colours do, and tell nothing about where.
    if (sorted(colours_[0]) != sorted(colours_[1])) colours_[0].clear(), colours_[1].clear();
    pair(from.output(), to.output());
    if (from.auxiliary().has_value() != to.auxiliary().has_value())
      throw InvalidInput("one of the networks has an auxiliary classifier, the other has none");
    if (from.auxiliary()) pair(*from.auxiliary(), *to.auxiliary());
    for (auto id = static_cast<NodeId>(from.nodes().size()); id-- > 0;) pair_inputs(id, partners_[0][at(id)]);
  }

  NodeId operator[](NodeId from) const { return partners_[0][at(from)]; }

 private:
  using Partners = std::vector<NodeId>;
  static std::size_t at(NodeId id) { return static_cast<std::size_t>(id); }
  static std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> values) {
    std::sort(values.begin(), values.end());
    return values;
  }

  [[noreturn]] void fail(NodeId one, NodeId other) const {
    const Node &node = graphs_[0]->node(one), &found = graphs_[1]->node(other);
    throw InvalidInput("node " + node.name + " (" + node.operation + " " + node.attributes.dump() + ", " +
                       std::to_string(node.inputs.size()) +
                       " inputs) of the morphed network has no counterpart; in its place the child has " + found.name +
                       " (" + found.operation + " " + found.attributes.dump() + ", " +
                       std::to_string(found.inputs.size()) + " inputs)");
  }

  void pair(NodeId one, NodeId other) {
    NodeId &partner = partners_[0][at(one)], &back = partners_[1][at(other)];
    if (partner == other) return;
    if (partner >= 0 || back >= 0) fail(one, other);
    const Node &node = graphs_[0]->node(one), &found = graphs_[1]->node(other);
    if (operations_[0][at(one)] != operations_[1][at(other)] || node.inputs.size() != found.inputs.size() ||
        node.shape != found.shape)
      fail(one, other);
    partner = other;
    back = one;
  }

  void pair_inputs(NodeId one, NodeId other) {
    const Node& node = graphs_[0]->node(one);
    const std::vector<NodeId>& others = graphs_[1]->node(other).inputs;
    if (!node.commutative || others.size() == 1) {
      for (std::size_t i = 0; i < others.size(); ++i) pair(node.inputs[i], others[i]);
      return;
    }
    for (const auto& [input, its_partner] : in_any_order(node.inputs, others)) pair(input, its_partner);
  }

  // The inputs of one that go with those of the other: that are paired already; of equal computation and name; of equal
  // computation; of equal name; and whatever is left, in order.
  std::vector<std::pair<NodeId, NodeId>> in_any_order(std::vector<NodeId> ones, std::vector<NodeId> others) const {
    const std::vector<std::uint64_t> computed[2] = {computations(0), computations(1)};
    const auto equal_name = [&](NodeId one, NodeId other) {
      return graphs_[0]->node(one).name == graphs_[1]->node(other).name;
    };
    const auto equal_computation = [&](NodeId one, NodeId other) {
      return computed[0][at(one)] == computed[1][at(other)];
    };
    std::vector<std::pair<NodeId, NodeId>> pairs;
    const auto take = [&](auto&& go_together) {
      for (auto one = ones.begin(); one != ones.end();) {
        const auto other = std::find_if(others.begin(), others.end(), [&](NodeId id) { return go_together(*one, id); });
        if (other == others.end()) {
          ++one;
          continue;
        }
        pairs.emplace_back(*one, *other);
        one = ones.erase(one);
        others.erase(other);
      }
    };
    take([&](NodeId one, NodeId other) { return partners_[0][at(one)] == other; });
    take([&](NodeId one, NodeId other) { return equal_computation(one, other) && equal_name(one, other); });
    take(equal_computation);
    take(equal_name);
    take([](NodeId, NodeId) { return true; });
    return pairs;
  }

  // What is computed in each node: a hash of its operation and of what is computed in its inputs. Nodes that are paired
  // count as what is computed in the one of the first graph.
  std::vector<std::uint64_t> computations(std::size_t side) const {
    std::vector<std::uint64_t> hashes;
    const std::span<const Node> nodes = graphs_[side]->nodes();
    for (std::size_t id = 0; id < nodes.size(); ++id) {
      const NodeId partner = partners_[side][id];
      std::vector<std::uint64_t> parts;
      for (const NodeId input : nodes[id].inputs) parts.push_back(hashes[at(input)]);
      if (nodes[id].commutative) std::sort(parts.begin(), parts.end());
      if (partner >= 0) parts = {side == 0 ? id : at(partner)};
      parts.push_back(partner >= 0 ? 1 : 0);
      if (!colours_[side].empty()) parts.push_back(colours_[side][id]);
      std::uint64_t hash = operations_[side][id];
      for (const std::uint64_t part : parts) hash = hash_text(std::to_string(part) + ",", hash);
      hashes.push_back(hash);
    }
    return hashes;
  }

  const Architecture* graphs_[2];
  Partners partners_[2];                      // -1: none yet
  std::vector<std::uint64_t> operations_[2];  // and attributes, hashed
  std::vector<std::uint64_t> colours_[2];     // none where the graphs differ
};

}  // namespace detail

// The child, which is the morphed network but for the names and the order of its nodes, and the morph's transfer with
// one more step, if any names differ: it renames the tensors, and has the words of the step before it. Throws
// InvalidInput naming the node nearest to the output that has no counterpart, and NotApplicable as tensor_names() of
// one that is called otherwise.
inline Morphed renamed(Morphed morphed, const Architecture& child) {
  const Architecture& from = morphed.child;
  const detail::Correspondence correspondence(from, child);
  WeightTransfer::Step step;
  std::set<std::string> old_names;
  for (NodeId id = 0; id < static_cast<NodeId>(from.nodes().size()); ++id) {
    const Node &old = from.node(id), &node = child.node(correspondence[id]);
    if (old.name == node.name) continue;
    for (const std::string& name : tensor_names(old)) {
      step.tensors[node.name + name.substr(old.name.size())] = WeightTransfer::Gather{name};
      old_names.insert(name);
    }
  }
  for (const std::string& name : old_names) {
    if (!step.tensors.contains(name)) step.removed.push_back(name);
  }
  if (!step.tensors.empty()) {
    if (!morphed.transfer.steps.empty()) step.morph = morphed.transfer.steps.back().morph;
    morphed.transfer.steps.push_back(std::move(step));
  }
  return {child, std::move(morphed.transfer)};
}

}  // namespace weft
