// Canonical hash of an architecture: colour refinement over parents and readers, then one level of individualisation.
//
// Guaranteed: isomorphic graphs (same operations, attributes, wiring; any order, names and groups) hash equally.
// Sensitive to everything else as far as refinement with one individualised node can tell graphs apart, which is
// strictly more than plain colour refinement: cycles of equal nodes of different lengths, for example, differ.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/rng.hpp"

namespace weft::detail {

class CanonicalHash {
 public:
  // `marks`: none, or one for each node, to tell nodes apart that the graph alone does not.
  explicit CanonicalHash(const Architecture& architecture, std::span<const std::uint64_t> marks = {})
      : nodes_(architecture.nodes()), readers_(nodes_.size()) {
    for (std::size_t id = 0; id < nodes_.size(); ++id) {
      const Node& node = nodes_[id];
      for (std::size_t at = 0; at < node.inputs.size(); ++at) {
        readers_[static_cast<std::size_t>(node.inputs[at])].push_back({id, node.commutative ? 0 : at + 1});
      }
      std::uint64_t colour = mix(hash_text(node.operation), hash_text(node.attributes.dump()));
      if (static_cast<NodeId>(id) == architecture.output()) colour = mix(colour, 1);
      if (static_cast<NodeId>(id) == architecture.auxiliary()) colour = mix(colour, 2);
      if (!marks.empty()) colour = mix(colour, marks[id]);
      colours_.push_back(colour);
    }
  }

  std::uint64_t operator()() && {
    const std::vector<std::size_t> all = refine_all();
    std::vector<std::uint64_t> ties;
    for (const std::vector<std::size_t>& component : tied_components()) {
      for (const std::size_t id : component) {
        std::vector<std::uint64_t> individual = colours_;
        individual[id] = mix(individual[id], 3);
        refine(individual, component);
        ties.push_back(fold(individual, component));
      }
    }
    return mix(fold(colours_, all), fold(std::move(ties)));
  }

  // A colour for each node: equal for nodes that refinement cannot tell apart.
  std::vector<std::uint64_t> colours() && {
    refine_all();
    return std::move(colours_);
  }

 private:
  struct Reader {
    std::size_t node;
    std::size_t position;  // 0 where the order of inputs does not matter
  };

  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9E3779B97F4A7C15ULL ^ (b + 0x632BE59BD9B4E019ULL + (a << 6) + (a >> 2));
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
  }

  // Of a multiset.
  static std::uint64_t fold(std::vector<std::uint64_t> values) {
    std::sort(values.begin(), values.end());
    std::uint64_t hash = values.size();
    for (const std::uint64_t value : values) hash = mix(hash, value);
    return hash;
  }
  static std::uint64_t fold(const std::vector<std::uint64_t>& colours, std::span<const std::size_t> ids) {
    std::vector<std::uint64_t> values;
    for (const std::size_t id : ids) values.push_back(colours[id]);
    return fold(std::move(values));
  }

  std::vector<std::size_t> refine_all() {
    std::vector<std::size_t> all(nodes_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    refine(colours_, all);
    return all;
  }

  // Refines the colours of `ids`, which are in topological order. Each pass carries information along all paths, once
  // downwards and once upwards; repeated until it separates no more.
  void refine(std::vector<std::uint64_t>& colours, std::span<const std::size_t> ids) const {
    std::size_t classes = count_classes(colours, ids);
    for (;;) {
      for (const std::size_t id : ids) {
        std::vector<std::uint64_t> parents;
        for (const NodeId input : nodes_[id].inputs) parents.push_back(colours[static_cast<std::size_t>(input)]);
        if (nodes_[id].commutative) std::sort(parents.begin(), parents.end());
        std::uint64_t hash = parents.size();
        for (const std::uint64_t parent : parents) hash = mix(hash, parent);
        colours[id] = mix(colours[id], hash);
      }
      for (std::size_t at = ids.size(); at-- > 0;) {
        std::vector<std::uint64_t> above;
        for (const Reader& reader : readers_[ids[at]]) above.push_back(mix(colours[reader.node], reader.position));
        colours[ids[at]] = mix(colours[ids[at]], fold(std::move(above)));
      }
      const std::size_t refined = count_classes(colours, ids);
      if (refined == classes) return;
      classes = refined;
    }
  }

  static std::size_t count_classes(const std::vector<std::uint64_t>& colours, std::span<const std::size_t> ids) {
    std::set<std::uint64_t> classes;
    for (const std::size_t id : ids) classes.insert(colours[id]);
    return classes.size();
  }

  // The nodes that share their colour with others, by connected component. Nodes of unique colour hold such components
  // apart: what happens in one of them cannot separate nodes of another, so each is individualised on its own.
  std::vector<std::vector<std::size_t>> tied_components() const {
    std::map<std::uint64_t, std::size_t> members;
    for (const std::uint64_t colour : colours_) ++members[colour];
    const auto tied = [&](std::size_t id) { return members.at(colours_[id]) > 1; };
    std::vector<bool> seen(nodes_.size());
    std::vector<std::vector<std::size_t>> components;
    for (std::size_t start = 0; start < nodes_.size(); ++start) {
      if (seen[start] || !tied(start)) continue;
      std::vector<std::size_t> component = {start};
      seen[start] = true;
      const auto visit = [&](std::size_t id) {
        if (!seen[id] && tied(id)) component.push_back(id);
        seen[id] = true;
      };
      for (std::size_t at = 0; at < component.size(); ++at) {
        const std::size_t id = component[at];
        for (const NodeId input : nodes_[id].inputs) visit(static_cast<std::size_t>(input));
        for (const Reader& reader : readers_[id]) visit(reader.node);
      }
      std::sort(component.begin(), component.end());
      components.push_back(std::move(component));
    }
    return components;
  }

  std::span<const Node> nodes_;
  std::vector<std::vector<Reader>> readers_;
  std::vector<std::uint64_t> colours_;
};

}  // namespace weft::detail

namespace weft {

inline std::uint64_t Architecture::canonical_hash() const { return detail::CanonicalHash(*this)(); }

}  // namespace weft

#include "weft/recurrent.hpp"  // IWYU pragma: export
