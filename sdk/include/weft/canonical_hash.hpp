// Canonical hash of an architecture: colour refinement over parents and readers, then one level of individualisation.
//
// Guaranteed: isomorphic graphs (same operations, attributes, wiring; any order, names and groups) hash equally.
// Sensitive to everything else as far as refinement with one individualised node can tell graphs apart, which is
// strictly more than plain colour refinement: cycles of equal nodes of different lengths, for example, differ.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/rng.hpp"

namespace weft::detail {

class CanonicalHash {
 public:
  explicit CanonicalHash(const Architecture& architecture) : nodes_(architecture.nodes()), readers_(nodes_.size()) {
    for (std::size_t id = 0; id < nodes_.size(); ++id) {
      const bool ordered = !commutative(nodes_[id]);
      for (std::size_t at = 0; at < nodes_[id].inputs.size(); ++at) {
        readers_[static_cast<std::size_t>(nodes_[id].inputs[at])].push_back({id, ordered ? at + 1 : 0});
      }
      const Node& node = nodes_[id];
      std::uint64_t colour = mix(hash_text(node.operation), hash_text(node.attributes.dump()));
      if (static_cast<NodeId>(id) == architecture.output()) colour = mix(colour, 1);
      if (static_cast<NodeId>(id) == architecture.auxiliary()) colour = mix(colour, 2);
      initial_.push_back(colour);
    }
  }

  std::uint64_t operator()() const {
    const std::vector<std::uint64_t> colours = refine(initial_);
    std::vector<std::uint64_t> ties;
    for (std::size_t id = 0; id < colours.size(); ++id) {
      if (std::count(colours.begin(), colours.end(), colours[id]) < 2) continue;
      std::vector<std::uint64_t> individual = colours;
      individual[id] = mix(individual[id], 3);
      ties.push_back(fold(refine(std::move(individual))));
    }
    return mix(fold(colours), fold(std::move(ties)));
  }

 private:
  struct Reader {
    std::size_t node;
    std::size_t position;  // 0 where the order of inputs does not matter
  };

  static bool commutative(const Node& node) {
    const auto& rules = Operations::built_in().rules();
    const auto found = rules.find(node.operation);
    return found != rules.end() && found->second.commutative;
  }

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

  // Each pass carries information along all paths, once downwards and once upwards; repeated until it separates no more.
  std::vector<std::uint64_t> refine(std::vector<std::uint64_t> colours) const {
    std::size_t classes = count_classes(colours);
    for (;;) {
      for (std::size_t id = 0; id < nodes_.size(); ++id) {
        std::vector<std::uint64_t> parents;
        for (const NodeId input : nodes_[id].inputs) parents.push_back(colours[static_cast<std::size_t>(input)]);
        if (commutative(nodes_[id])) std::sort(parents.begin(), parents.end());
        std::uint64_t hash = parents.size();
        for (const std::uint64_t parent : parents) hash = mix(hash, parent);
        colours[id] = mix(colours[id], hash);
      }
      for (std::size_t id = nodes_.size(); id-- > 0;) {
        std::vector<std::uint64_t> above;
        for (const Reader& reader : readers_[id]) above.push_back(mix(colours[reader.node], reader.position));
        colours[id] = mix(colours[id], fold(std::move(above)));
      }
      const std::size_t refined = count_classes(colours);
      if (refined == classes) return colours;
      classes = refined;
    }
  }

  static std::size_t count_classes(const std::vector<std::uint64_t>& colours) {
    return std::set<std::uint64_t>(colours.begin(), colours.end()).size();
  }

  std::span<const Node> nodes_;
  std::vector<std::vector<Reader>> readers_;
  std::vector<std::uint64_t> initial_;
};

}  // namespace weft::detail

namespace weft {

inline std::uint64_t Architecture::canonical_hash() const { return detail::CanonicalHash(*this)(); }

}  // namespace weft
