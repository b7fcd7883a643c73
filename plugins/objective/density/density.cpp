// Density: edges per node of a block, the more of which the slower a network is than its multiply-adds tell.
//
// Zhong, Yan, Wu, Shao, Liu 2018, "Practical Block-wise Neural Network Architecture Generation", the reward of the
// early stop. A node is what the block is decided from, a layer with all of its operations: these are the groups that
// lie directly in the block's. Whatever the block reads from outside is one node more, its input.

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "weft/plugin.hpp"

namespace {

class Density final : public weft::Objective {
 public:
  explicit Density(const weft::Context& context) : group_(context.get<std::string>("group")) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }

  std::optional<double> before(const weft::Candidate& candidate) const override {
    const std::span<const weft::Node> nodes = candidate.architecture.nodes();
    static const std::string outside;
    std::set<std::string> parts;
    std::set<std::pair<std::string, std::string>> edges;
    for (const weft::Node& node : nodes) {
      const std::optional<std::string> part = part_of(node);
      if (!part) continue;
      parts.insert(*part);
      for (const weft::NodeId input : node.inputs) {
        const std::string from = part_of(nodes[static_cast<std::size_t>(input)]).value_or(outside);
        parts.insert(from);
        if (from != *part) edges.emplace(from, *part);
      }
    }
    if (parts.empty()) {
      throw weft::Error("the network has no group \"" + group_ +
                        "\" whose density were to be had; architecture.json names the groups of its nodes");
    }
    return static_cast<double>(edges.size()) / static_cast<double>(parts.size());
  }

 private:
  // The group directly within `group` that the node lies in; the node itself where there is none; nothing outside.
  std::optional<std::string> part_of(const weft::Node& node) const {
    std::string_view rest = node.group;
    if (!group_.empty()) {
      if (!rest.starts_with(group_)) return {};
      rest.remove_prefix(group_.size());
      if (!rest.empty() && rest.front() != '/') return {};
      if (!rest.empty()) rest.remove_prefix(1);
    }
    return rest.empty() ? "/" + node.name : std::string(rest.substr(0, rest.find('/')));
  }

  std::string group_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Density>("density"))
