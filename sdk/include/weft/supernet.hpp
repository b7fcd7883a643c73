// A supernet: the graph that holds every architecture of a space, with a `choice` node wherever a decision is taken.
//
// A choice reads one input per option. Choices of one decision, such as those of all cells of a kind, are decided
// together. Several options of a choice may be active at once: they are added up. Choices may also lie in the cell of a
// recurrent node (weft/recurrent.hpp), and are then taken the same at all positions.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"

namespace weft {

// For each decision of a supernet the options that are active, ascending; at least one.
using SupernetPath = std::map<std::string, std::vector<int>>;
// For each decision of a supernet one weight per option.
using OptionWeights = std::map<std::string, std::vector<double>>;

// A decision of a supernet. The ids of its nodes are those of nodes_with_cells().
struct SupernetChoice {
  std::string decision;
  std::vector<std::string> options;
  std::vector<NodeId> nodes;  // where it is taken
  // The first node that adds up what its first node chose, or that node itself: decisions of one target are the edges
  // into one node of a cell.
  NodeId target = 0;
};

// The nodes of the graph by their ids; behind them, cell after cell, those of cells that hold choices, whose ids go on
// from there: their inputs are renumbered alike.
std::vector<Node> nodes_with_cells(const Architecture& supernet, const Operations& operations = Operations::built_in());

// In the order of the nodes. Throws InvalidInput where the choices of one decision differ in their options.
std::vector<SupernetChoice> choices_of(const Architecture& supernet);

// Throws InvalidInput, naming the decision, unless the path has just those of the supernet, each with options that
// exist.
void check_path(const std::vector<SupernetChoice>& choices, const SupernetPath& path);

// Those of one decision, of so many options. Throws InvalidInput, naming it, where they are missing or of another
// number.
const std::vector<double>& weights_of(const OptionWeights& weights, const std::string& decision, std::size_t options);

// What is left of the supernet when every decision is taken. Nodes keep their names, so that weights may follow; but
// for those of cells, which get their normal form. Throws InvalidInput as check_path does.
Architecture restricted(const Architecture& supernet, const SupernetPath& path,
                        const Operations& operations = Operations::built_in());

// ---- implementation ---------------------------------------------------------------------------------------------

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::vector<Node> nodes_with_cells(const Architecture& supernet, const Operations& operations) {
  const auto own = supernet.nodes();
  std::vector<Node> nodes(own.begin(), own.end());
  for (const Node& node : own) {
    if (!detail::cell_has_choices(node)) continue;
    const Architecture cell = Architecture::from_json(node.attributes.at("cell"), operations);
    const auto first = static_cast<NodeId>(nodes.size());
    for (Node inner : cell.nodes()) {
      for (NodeId& input : inner.inputs) input += first;
      nodes.push_back(std::move(inner));
    }
  }
  return nodes;
}

WEFT_INLINE std::vector<SupernetChoice> choices_of(const Architecture& supernet) {
  if (!supernet.has_choices()) return {};
  std::vector<SupernetChoice> choices;
  std::map<std::string, std::size_t> index;
  const std::vector<Node> nodes = nodes_with_cells(supernet);
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
                         "\", by which " + nodes[static_cast<std::size_t>(choice.nodes.front())].name +
                         " chooses among " + Json(choice.options).dump());
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

namespace detail {

struct Restriction {
  Architecture architecture;
  std::map<std::string, std::string> names;  // of the nodes that are kept, those that stand for them
};

// Of a path that has been checked; decisions of other graphs may be among it.
inline Restriction restriction(const Architecture& supernet, const SupernetPath& path, const Operations& operations);

// The attributes of a recurrent node, with the decisions of its cell taken.
inline Attributes with_restricted_cell(Attributes recurrent, const SupernetPath& path, const Operations& operations) {
  const Restriction cell = restriction(Architecture::from_json(recurrent.at("cell"), operations), path, operations);
  recurrent["cell"] = cell.architecture.to_json();
  Json states = Json::object();
  for (const auto& [state, next] : recurrent.at("states").items()) {
    const auto kept = cell.names.find(next.get<std::string>());
    if (cell.names.contains(state)) states[state] = kept == cell.names.end() ? next : Json(kept->second);
  }
  recurrent["states"] = std::move(states);
  return recurrent;
}

inline Restriction restriction(const Architecture& supernet, const SupernetPath& path, const Operations& operations) {
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
  std::map<std::string, std::string> names;
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = nodes[id];
    const std::vector<NodeId> read = read_by(node);
    std::vector<NodeId> inputs;
    for (const NodeId input : read) inputs.push_back(kept[static_cast<std::size_t>(input)]);
    const bool chooses = node.operation == "choice";
    if (chooses && inputs.size() == 1) {
      kept[id] = inputs.front();
      names[node.name] = names.at(nodes[static_cast<std::size_t>(read.front())].name);
      continue;
    }
    names[node.name] = node.name;
    const auto group = builder.group(node.group);
    if (chooses) {
      kept[id] = builder.add("add", {}, inputs, node.name);
    } else if (cell_has_choices(node)) {
      kept[id] =
          builder.add(node.operation, with_restricted_cell(node.attributes, path, operations), inputs, node.name);
    } else {
      kept[id] = builder.add(node.operation, node.attributes, inputs, node.name);
    }
  }
  const auto mapped = [&](NodeId id) { return kept[static_cast<std::size_t>(id)]; };
  return {std::move(builder).build(mapped(supernet.output()),
                                   supernet.auxiliary() ? std::optional(mapped(*supernet.auxiliary())) : std::nullopt),
          std::move(names)};
}

}  // namespace detail

WEFT_INLINE Architecture restricted(const Architecture& supernet, const SupernetPath& path,
                                    const Operations& operations) {
  check_path(choices_of(supernet), path);
  return detail::restriction(supernet, path, operations).architecture;
}
#endif

}  // namespace weft
