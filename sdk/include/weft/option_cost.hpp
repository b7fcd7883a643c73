// What the options of a supernet cost, each by itself: that of the nodes that no other needs.
//
// Called by one-shot strategies whose structure is to be cheap, once: the answers are numbers by choice and option.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <set>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/error.hpp"
#include "weft/shape.hpp"
#include "weft/supernet.hpp"

namespace weft {

// One option at one of the places where its decision is taken.
struct OptionAtPlace {
  Cost cost;     // zeros cost nothing, as they are not computed where they are added
  bool is_zero;  // the option is a `zero`
  Shape input;   // of the first node that it reads and others may read, too
  Shape output;
};

// By choice, in the order of choices_of(), by option, by place, in the order of the choice's nodes. A node belongs to
// the option without which nobody would read it, as far as the choices before it: those cost what their own options do.
// Throws InvalidInput where a choice lies in the cell of a recurrent node.
std::vector<std::vector<std::vector<OptionAtPlace>>> options_at_places(const Architecture& supernet);

// Of an option: its places together.
inline Cost total_cost(const std::vector<OptionAtPlace>& option) {
  Cost total;
  for (const OptionAtPlace& place : option) total += place.cost;
  return total;
}

// ---- implementation ---------------------------------------------------------------------------------------------

namespace detail {

// By node: who reads it, once for every time; -1 is the graph's caller.
inline std::vector<std::vector<NodeId>> readers_of(const Architecture& graph) {
  const auto nodes = graph.nodes();
  std::vector<std::vector<NodeId>> readers(nodes.size());
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    for (const NodeId input : nodes[id].inputs)
      readers[static_cast<std::size_t>(input)].push_back(static_cast<NodeId>(id));
  }
  readers[static_cast<std::size_t>(graph.output())].push_back(-1);
  if (graph.auxiliary()) readers[static_cast<std::size_t>(*graph.auxiliary())].push_back(-1);
  return readers;
}

// Of the option that is a choice's input.
inline OptionAtPlace option_at(const Architecture& graph, const std::vector<std::vector<NodeId>>& readers,
                               NodeId input) {
  OptionAtPlace option{{}, graph.node(input).operation == "zero", graph.shape(input), graph.shape(input)};
  std::set<NodeId> own;
  std::set<NodeId, std::greater<>> left = {input};  // the last first: all its readers are known then
  while (!left.empty()) {
    const NodeId id = *left.begin();
    left.erase(left.begin());
    const Node& node = graph.node(id);
    const std::vector<NodeId>& of_node = readers[static_cast<std::size_t>(id)];
    const auto is_own = [&](NodeId reader) { return own.contains(reader); };
    const bool alone = id == input ? of_node.size() == 1 : std::all_of(of_node.begin(), of_node.end(), is_own);
    if (node.operation == "choice" || node.operation == "input" || !alone) {
      option.input = node.shape;
      continue;
    }
    own.insert(id);
    left.insert(node.inputs.begin(), node.inputs.end());
    if (node.operation != "zero") option.cost += node.cost;
  }
  return option;
}

}  // namespace detail

inline std::vector<std::vector<std::vector<OptionAtPlace>>> options_at_places(const Architecture& supernet) {
  const auto readers = detail::readers_of(supernet);
  std::vector<std::vector<std::vector<OptionAtPlace>>> all;
  for (const SupernetChoice& choice : choices_of(supernet)) {
    auto& of_choice = all.emplace_back(choice.options.size());
    for (const NodeId id : choice.nodes) {
      if (static_cast<std::size_t>(id) >= supernet.nodes().size())
        throw InvalidInput("decision \"" + choice.decision +
                           "\" lies in a recurrent cell, whose options have no cost of "
                           "their own");
      const std::vector<NodeId>& inputs = supernet.node(id).inputs;
      for (std::size_t option = 0; option < inputs.size(); ++option)
        of_choice[option].push_back(detail::option_at(supernet, readers, inputs[option]));
    }
  }
  return all;
}

}  // namespace weft
