// The parts of recurrent cells whose state flows from node to node, each of which lets some of it through and replaces
// the rest:
//
//   s_i = s_j + sigmoid(c) (f(y) - s_j),  (c, y) = W s_j
//
// Zilly, Srivastava, Koutnik, Schmidhuber 2017, "Recurrent Highway Networks"; with a choice of s_j and f the cells of
// Pham et al. 2018 ("Efficient Neural Architecture Search via Parameter Sharing") and Liu et al. 2019 ("DARTS").
//
// Called by spaces of such cells, which derive from CellSpace and build their supernets of the parts before it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/language_model.hpp"
#include "weft/notation_reader.hpp"
#include "weft/space.hpp"

namespace weft::highway {

// c and y of a node for one state that it may read.
struct Layer {
  NodeId gate;   // c
  NodeId value;  // y, before the activation
};

// With weights of its own, without biases: [2 features, features of `from`].
inline Layer layer(ArchitectureBuilder& graph, NodeId from, std::int64_t features) {
  const Attributes attributes = {{"features", features}, {"bias", false}};
  return {graph.add("linear", attributes, {from}), graph.add("linear", attributes, {from})};
}

// With those of another layer.
inline Layer layer(ArchitectureBuilder& graph, NodeId from, const Layer& weights) {
  const auto tied = [&](NodeId source) {
    return graph.add("tied_linear", {{"features", graph.shape(source).channels}, {"bias", false}}, {from, source});
  };
  return {tied(weights.gate), tied(weights.value)};
}

inline NodeId activated(ArchitectureBuilder& graph, NodeId value, const std::string& function) {
  if (function == "identity") return graph.add("identity", {}, {value});
  return graph.add("activation", {{"function", function}}, {value});
}

// The gate of a layer, sigmoid(c): of all functions the same.
inline NodeId gate(ArchitectureBuilder& graph, const Layer& layer) { return activated(graph, layer.gate, "sigmoid"); }

// s + gate (f(y) - s)
inline NodeId node(ArchitectureBuilder& graph, NodeId state, NodeId gate, NodeId value, const std::string& function) {
  return graph.add("highway", {}, {state, gate, activated(graph, value, function)});
}

// What layers read of a state: `dropout` drops the same elements of all states at all positions.
inline NodeId read(ArchitectureBuilder& graph, NodeId state, double dropout) {
  if (dropout == 0.0) return state;
  return graph.add("locked_dropout", {{"probability", dropout}}, {state});
}

// The first state of the cell, of the sequence's present position x and its own last output h:
// h + sigmoid(c) (tanh(y) - h), (c, y) = W [x, h].
inline NodeId start(ArchitectureBuilder& graph, std::int64_t inputs, std::int64_t features, double dropout) {
  const NodeId x = graph.add("input", {{"shape", Shape::features(inputs).to_json()}}, {}, "x");
  const NodeId h = graph.add("input", {{"shape", Shape::features(features).to_json()}}, {}, "h");
  const auto group = graph.group("start");
  const Layer of_x = layer(graph, x, features), of_h = layer(graph, read(graph, h, dropout), features);
  const Layer both = {graph.add("add", {}, {of_x.gate, of_h.gate}), graph.add("add", {}, {of_x.value, of_h.value})};
  return node(graph, h, gate(graph, both), both.value, "tanh");
}

// What the states of a cell make up: the mean of all but the first.
inline NodeId output(ArchitectureBuilder& graph, std::span<const NodeId> states) {
  return states.size() == 2 ? states[1] : graph.add("mean", {}, states.subspan(1));
}

// A finished cell as attributes of the operation `recurrent`. The dropout of its state lies in the cell.
inline Attributes finished(ArchitectureBuilder graph, NodeId output) {
  return {{"cell", std::move(graph).build(output).to_json()}, {"state_dropout", 0.0}};
}

// A node as it is decided.
struct Node {
  int state;     // that it reads: 0 is the first, i that of node i
  int function;  // number of its activation

  friend bool operator==(const Node&, const Node&) = default;
};

// Spaces whose architectures are a language model around one such cell: every node reads one state before it. Decisions
// are, node by node, "node i/input", but for the first, which has no choice, and "node i/function".
class CellSpace : public DecisionSpace {
 public:
  // Takes the parameters of a LanguageModel, and `nodes`.
  CellSpace(const Context& context, std::vector<std::string> functions)
      : functions_(std::move(functions)),
        nodes_(context.get<int>("nodes")),
        dropout_(context.get<double>("state_dropout")),
        // All cells have as many weights.
        model_(context, cell(std::vector<Node>(static_cast<std::size_t>(nodes_)))) {}

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const int at = static_cast<int>(taken.size()) + 1;  // as if the first node had an input to choose
    const int node = 1 + at / 2;
    if (node > nodes_) return {};
    const std::string place = "node " + std::to_string(node);
    if (at % 2 == 1)
      return Decision{.name = place + "/function", .group = "function", .options = functions_, .step = node - 1};
    Decision decision{.name = place + "/input", .group = "input", .kind = Decision::Kind::reference, .step = node - 1};
    for (int state = 0; state < node; ++state) {
      decision.options.push_back(std::to_string(state));
      decision.named_steps.push_back(state == 0 ? Decision::no_step : state - 1);
    }
    return decision;
  }

  Candidate decode(const Genotype& genotype) const override { return {model_.build(cell(nodes_of(genotype)))}; }

 protected:
  int nodes() const { return nodes_; }
  double dropout() const { return dropout_; }
  const LanguageModel& model() const { return model_; }

  // Throws InvalidInput where the genotype is not of this space.
  std::vector<Node> nodes_of(const Genotype& genotype) const {
    walk(genotype);
    std::vector<Node> nodes = {{0, genotype.decisions.front()}};
    for (std::size_t i = 1; i < genotype.decisions.size(); i += 2)
      nodes.push_back({genotype.decisions[i], genotype.decisions[i + 1]});
    return nodes;
  }
  static int read_state(NotationReader& reader) {
    const std::int64_t state = reader.integer("the number of a state");
    if (state < 0 || state > 1000) reader.fail("a state from 0 to 1000 before this");
    return static_cast<int>(state);
  }
  // The same of nodes that are not as many, or read what is not there.
  Genotype genotype_of(const std::vector<Node>& nodes) const {
    if (nodes.size() != static_cast<std::size_t>(nodes_))
      throw InvalidInput("the cell has " + std::to_string(nodes.size()) + " nodes; must be " + std::to_string(nodes_) +
                         ", /nodes");
    Genotype genotype;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const int state = nodes[i].state;
      if (state < 0 || state > static_cast<int>(i))
        throw InvalidInput("node " + std::to_string(i + 1) + " reads state " + std::to_string(state) +
                           "; must be one before it, 0 to " + std::to_string(i));
      if (i > 0) genotype.decisions.push_back(state);
      genotype.decisions.push_back(nodes[i].function);
    }
    return genotype;
  }

 private:
  LanguageModel::Cell cell(std::vector<Node> nodes) const {
    return [this, nodes = std::move(nodes)](std::int64_t inputs, std::int64_t features) {
      ArchitectureBuilder graph;
      std::vector<NodeId> states = {start(graph, inputs, features, dropout_)};
      std::vector<NodeId> read = {highway::read(graph, states[0], dropout_)};
      for (const Node& each : nodes) {
        const auto at = static_cast<std::size_t>(each.state);
        const Layer of_state = layer(graph, read[at], features);
        states.push_back(node(graph, states[at], gate(graph, of_state), of_state.value,
                              functions_[static_cast<std::size_t>(each.function)]));
        read.push_back(highway::read(graph, states.back(), dropout_));
      }
      const NodeId mean = output(graph, states);
      return finished(std::move(graph), mean);
    };
  }

  std::vector<std::string> functions_;
  int nodes_;
  double dropout_;
  LanguageModel model_;
};

}  // namespace weft::highway
