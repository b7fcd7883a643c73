// A supernet: the graph that holds every architecture of a space, with a `choice` node wherever a decision is taken.
//
// A choice reads one input per option. Choices of one decision, such as those of all cells of a kind, are decided
// together. Several options of a choice may be active at once: they are added up.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "weft/architecture.hpp"

namespace weft {

// For each decision of a supernet the options that are active, ascending; at least one.
using SupernetPath = std::map<std::string, std::vector<int>>;
// For each decision of a supernet one weight per option.
using OptionWeights = std::map<std::string, std::vector<double>>;

// A decision of a supernet.
struct SupernetChoice {
  std::string decision;
  std::vector<std::string> options;
  std::vector<NodeId> nodes;  // where it is taken
  // The first node that adds up what its first node chose, or that node itself: decisions of one target are the edges
  // into one node of a cell.
  NodeId target = 0;
};

// In the order of the graph. Throws InvalidInput where the choices of one decision differ in their options.
std::vector<SupernetChoice> choices_of(const Architecture& supernet);

// Throws InvalidInput, naming the decision, unless the path has just those of the supernet, each with options that
// exist.
void check_path(const std::vector<SupernetChoice>& choices, const SupernetPath& path);

// Those of one decision, of so many options. Throws InvalidInput, naming it, where they are missing or of another
// number.
const std::vector<double>& weights_of(const OptionWeights& weights, const std::string& decision, std::size_t options);

// What is left of the supernet when every decision is taken. Nodes keep their names, so that weights may follow. Throws
// InvalidInput as check_path does.
Architecture restricted(const Architecture& supernet, const SupernetPath& path,
                        const Operations& operations = Operations::built_in());

// ---- implementation ---------------------------------------------------------------------------------------------

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::vector<SupernetChoice> choices_of(const Architecture& supernet) {
  std::vector<SupernetChoice> choices;
  std::map<std::string, std::size_t> index;
  const auto nodes = supernet.nodes();
  std::vector<NodeId> sums(nodes.size(), -1);  // by node: the first `add` that reads it
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    for (const NodeId input : nodes[id].inputs) {
      NodeId& sum = sums[static_cast<std::size_t>(input)];
      if (sum < 0 && nodes[id].operation == "add") sum = static_cast<NodeId>(id);
    }
  }
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    const Node& node = nodes[id];
    if (node.operation != "choice") continue;
    const std::string decision = node.attributes.at("decision");
    const auto options = node.attributes.at("options").get<std::vector<std::string>>();
    const auto [known, is_new] = index.try_emplace(decision, choices.size());
    if (is_new) choices.push_back({decision, options, {}, sums[id] < 0 ? static_cast<NodeId>(id) : sums[id]});
    SupernetChoice& choice = choices[known->second];
    if (choice.options != options) {
      throw InvalidInput("node " + node.name + " chooses among " + Json(options).dump() + " by decision \"" + decision +
                         "\", by which " + supernet.node(choice.nodes.front()).name + " chooses among " +
                         Json(choice.options).dump());
    }
    choice.nodes.push_back(static_cast<NodeId>(id));
  }
  return choices;
}

WEFT_INLINE void check_path(const std::vector<SupernetChoice>& choices, const SupernetPath& path) {
  std::set<std::string> known;
  for (const SupernetChoice& choice : choices) {
    known.insert(choice.decision);
    const auto taken = path.find(choice.decision);
    if (taken == path.end()) throw InvalidInput("the path leaves decision \"" + choice.decision + "\" open");
    const std::vector<int>& active = taken->second;
    const bool ascending = std::adjacent_find(active.begin(), active.end(), std::greater_equal<>()) == active.end();
    if (active.empty() || !ascending || active.front() < 0 ||
        active.back() >= static_cast<int>(choice.options.size())) {
      throw InvalidInput("decision \"" + choice.decision + "\" takes " + Json(active).dump() +
                         "; must be options from 0 to " + std::to_string(choice.options.size() - 1) +
                         ", at least one, ascending");
    }
  }
  for (const auto& [decision, active] : path) {
    if (!known.contains(decision)) throw InvalidInput("the supernet has no decision \"" + decision + "\"");
  }
}

WEFT_INLINE const std::vector<double>& weights_of(const OptionWeights& weights, const std::string& decision,
                                                  std::size_t options) {
  const auto found = weights.find(decision);
  if (found != weights.end() && found->second.size() == options) return found->second;
  throw InvalidInput("the weights of decision \"" + decision + "\" must be " + std::to_string(options) +
                     ", one for each option, not " +
                     (found == weights.end() ? "missing" : std::to_string(found->second.size())));
}

WEFT_INLINE Architecture restricted(const Architecture& supernet, const SupernetPath& path,
                                    const Operations& operations) {
  check_path(choices_of(supernet), path);
  const auto nodes = supernet.nodes();
  const auto read_by = [&](const Node& node) {
    if (node.operation != "choice") return node.inputs;
    std::vector<NodeId> read;
    for (const int option : path.at(node.attributes.at("decision")))
      read.push_back(node.inputs[static_cast<std::size_t>(option)]);
    return read;
  };
  std::vector<bool> needed(nodes.size());
  for (const std::optional<NodeId> output : {std::optional(supernet.output()), supernet.auxiliary()}) {
    if (output) needed[static_cast<std::size_t>(*output)] = true;
  }
  for (std::size_t id = nodes.size(); id-- > 0;) {
    if (!needed[id]) continue;
    for (const NodeId input : read_by(nodes[id])) needed[static_cast<std::size_t>(input)] = true;
  }
  ArchitectureBuilder builder(operations);
  std::vector<NodeId> kept(nodes.size());  // by node of the supernet
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = nodes[id];
    std::vector<NodeId> inputs = read_by(node);
    for (NodeId& input : inputs) input = kept[static_cast<std::size_t>(input)];
    const bool chooses = node.operation == "choice";
    if (chooses && inputs.size() == 1) {
      kept[id] = inputs.front();
      continue;
    }
    const auto group = builder.group(node.group);
    kept[id] =
        builder.add(chooses ? "add" : node.operation, chooses ? Attributes() : node.attributes, inputs, node.name);
  }
  const auto mapped = [&](NodeId id) { return kept[static_cast<std::size_t>(id)]; };
  return std::move(builder).build(mapped(supernet.output()),
                                  supernet.auxiliary() ? std::optional(mapped(*supernet.auxiliary())) : std::nullopt);
}
#endif

}  // namespace weft
