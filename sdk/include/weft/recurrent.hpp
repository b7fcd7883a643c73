// The operation `recurrent`: a cell, itself an architecture, that is repeated at every position of a sequence.
//
//   {"cell": <architecture>, "states": {"c": <name of a node>}, "state_dropout": 0.0}
//
// The cell's inputs are told by their names: "x" is the sequence's present position, "h" the cell's own output at the
// position before; any other is a state, whose next value is the output of the node that `states` names. All are
// vectors, begin as zeros, and may be left out. `state_dropout` drops elements of h, the same at all positions (Gal &
// Ghahramani 2016). Attributes are kept in a normal form, so that cells that differ in names and order alone are equal;
// but for cells that hold choices, those of a supernet (weft/supernet.hpp), which keep their names.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"

namespace weft {

class RecurrentCell {
 public:
  struct State {
    NodeId input;
    NodeId next;  // whose output is the state at the next position
  };

  // Throws InvalidInput naming what is wrong.
  static RecurrentCell from_json(const Json& cell, const Json& states);

  const Architecture& architecture() const { return architecture_; }
  std::optional<NodeId> x() const { return x_; }
  // h, if the cell has it, and then the others by name.
  const std::vector<State>& states() const { return states_; }
  bool has_h() const { return has_h_; }
  std::int64_t features() const { return architecture_.shape(architecture_.output()).channels; }

  // {"cell", "states"}: equal for equal cells, with nodes renamed and in an order of their own. Where two nodes cannot
  // be told apart by colour refinement, either order is the same but for graphs that refinement fails on.
  Json normal_form() const;

 private:
  explicit RecurrentCell(Architecture architecture) : architecture_(std::move(architecture)) {}

  static std::size_t index(NodeId id) { return static_cast<std::size_t>(id); }

  void find_inputs(const Json& states);

  Architecture architecture_;
  std::optional<NodeId> x_;
  std::vector<State> states_;
  bool has_h_ = false;
};

#ifndef WEFT_DECLARED_ONLY
namespace detail {

WEFT_INLINE OperationRule recurrent_rule() {
  OperationRule rule{.name = "recurrent",
                     .defaults = {{"cell", nullptr}, {"states", Json::object()}, {"state_dropout", 0.0}}};
  rule.infer = [](Json& attributes, OperationRule::Shapes inputs) {
    if (inputs[0].kind != Shape::Kind::sequence) throw InvalidInput("recurrent needs a sequence");
    const RecurrentCell cell = RecurrentCell::from_json(attributes.at("cell"), attributes.at("states"));
    if (cell.x() && cell.architecture().shape(*cell.x()).channels != inputs[0].channels) {
      throw InvalidInput("the cell's x has " + cell.architecture().shape(*cell.x()).to_string() + " features");
    }
    if (probability(attributes, "state_dropout") > 0.0 && !cell.has_h()) {
      throw InvalidInput("state_dropout is of h, which the cell does not read");
    }
    if (cell.architecture().has_choices()) {
      attributes["cell"] = cell.architecture().to_json();
    } else {
      attributes.update(cell.normal_form());
    }
    return Shape::sequence(inputs[0].height, cell.features());
  };
  rule.cost = [](const Json& attributes, OperationRule::Shapes, const Shape& output) {
    Cost cost = RecurrentCell::from_json(attributes.at("cell"), attributes.at("states")).architecture().cost();
    cost.multiply_adds *= output.height;
    cost.activation_bytes *= output.height;
    return cost;
  };
  return rule;
}

}  // namespace detail

WEFT_INLINE RecurrentCell RecurrentCell::from_json(const Json& cell, const Json& states) {
  RecurrentCell read(Architecture::from_json(cell));
  read.find_inputs(states);
  return read;
}

WEFT_INLINE Json RecurrentCell::normal_form() const {
  const auto nodes = architecture_.nodes();
  std::vector<std::uint64_t> marks(nodes.size());
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    if (nodes[id].operation == "input") marks[id] = hash_text(nodes[id].name);
  }
  for (const State& state : states_) {
    marks[index(state.next)] += hash_text("next " + nodes[index(state.input)].name);
  }
  const std::vector<std::uint64_t> colours = detail::CanonicalHash(architecture_, marks).colours();

  // Ready nodes in the order of their colours, ties in that of their inputs.
  std::vector<std::size_t> place(nodes.size(), nodes.size());
  std::vector<std::string> names(nodes.size());
  Json cell = {{"architecture", 1}, {"nodes", Json::array()}};
  for (std::size_t placed = 0; placed < nodes.size(); ++placed) {
    std::optional<std::tuple<std::uint64_t, std::vector<std::size_t>, std::size_t>> first;
    for (std::size_t id = 0; id < nodes.size(); ++id) {
      if (place[id] < nodes.size()) continue;
      std::vector<std::size_t> inputs;
      for (const NodeId input : nodes[id].inputs) inputs.push_back(place[index(input)]);
      if (nodes[id].commutative) std::sort(inputs.begin(), inputs.end());
      const bool ready = inputs.empty() || *std::max_element(inputs.begin(), inputs.end()) < nodes.size();
      std::tuple candidate(colours[id], std::move(inputs), id);
      if (ready && (!first || candidate < *first)) first = std::move(candidate);
    }
    const auto& [colour, inputs, id] = *first;
    const Node& node = nodes[id];
    place[id] = placed;
    names[placed] = node.operation == "input" ? node.name : node.operation + "_" + std::to_string(placed);
    Json entry = {{"name", names[placed]}, {"operation", node.operation}, {"inputs", Json::array()}};
    for (const std::size_t input : inputs) entry["inputs"].push_back(names[input]);
    if (!node.attributes.empty()) entry["attributes"] = node.attributes;
    cell["nodes"].push_back(std::move(entry));
  }
  cell["output"] = names[place[index(architecture_.output())]];
  Json states = Json::object();
  for (const State& state : states_) {
    const std::string& name = nodes[index(state.input)].name;
    if (name != "h") states[name] = names[place[index(state.next)]];
  }
  return {{"cell", std::move(cell)}, {"states", std::move(states)}};
}

WEFT_INLINE void RecurrentCell::find_inputs(const Json& states) {
  if (!states.is_object()) throw InvalidInput("states must be an object, not " + states.dump());
  std::map<std::string, NodeId> ids;
  for (NodeId id = 0; const Node& node : architecture_.nodes()) {
    if (node.shape.kind != Shape::Kind::features) {
      throw InvalidInput("node " + node.name + " of the cell is " + node.shape.to_string() + "; must be a vector");
    }
    ids[node.name] = id++;
  }
  const auto is_state = [&](const std::string& name) {
    return name != "x" && name != "h" && ids.contains(name) && architecture_.node(ids.at(name)).operation == "input";
  };
  for (const auto& [name, next] : states.items()) {
    if (!is_state(name)) {
      throw InvalidInput("states names " + name + "; must be an input of the cell that its output needs, not x or h");
    }
    if (!next.is_string() || !ids.contains(next.get<std::string>())) {
      throw InvalidInput("state " + name + " becomes " + next.dump() +
                         ", which is no node that the cell's output needs");
    }
  }
  if (ids.contains("x")) x_ = ids.at("x");
  has_h_ = ids.contains("h");
  if (has_h_) states_.push_back({ids.at("h"), architecture_.output()});
  for (const auto& [name, id] : ids) {
    if (!is_state(name)) continue;
    if (!states.contains(name)) {
      throw InvalidInput("the cell's input " + name + " is neither x nor h; states must name its next value");
    }
    states_.push_back({id, ids.at(states.at(name).get<std::string>())});
  }
  for (const State& state : states_) {
    const Node& node = architecture_.node(state.input);
    if (node.shape == architecture_.shape(state.next)) continue;
    throw InvalidInput("state " + node.name + " has " + node.shape.to_string() + " features and its next value " +
                       architecture_.shape(state.next).to_string() + "; must be equal");
  }
}
#endif

}  // namespace weft
