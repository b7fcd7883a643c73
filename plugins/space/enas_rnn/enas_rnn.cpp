// ENAS's space of recurrent cells: behind a first state of input and last output, nodes that each read one state before
// them through a highway and one of four activations, in a language model.
//
// Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing", sections 2.1 and 3.1;
// details as in the authors' published code (google-research, enas_lm): the output is the mean of all nodes, of which
// there are nine behind the first state, where the paper has 12 in all and averages those that no other reads.
//
// In the supernet weights belong to a node, its activation and the state that it reads. A path computes what the
// architecture's own network does.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "weft/highway_cell.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace highway = weft::highway;
using highway::Node;
using weft::ArchitectureBuilder;
using weft::NodeId;

// In the order of their numbers in the notation.
const std::vector<std::string> activations = {"tanh", "relu", "sigmoid", "identity"};

std::string place_of(int node) { return "node " + std::to_string(node); }

int best_of(const weft::OptionWeights& weights, const std::string& decision, std::size_t options) {
  const std::vector<double>& of_options = weft::weights_of(weights, decision, options);
  return static_cast<int>(std::max_element(of_options.begin(), of_options.end()) - of_options.begin());
}

class EnasRnn final : public highway::CellSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit EnasRnn(const weft::Context& context) : CellSpace(context, activations) {}

  // Of each node the state that it reads and the number of its activation, as the code writes its arcs: "0 0 0 1 2 3".
  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    for (const Node& node : nodes_of(genotype))
      text += (text.empty() ? "" : " ") + std::to_string(node.state) + " " + std::to_string(node.function);
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(
        notation, "0 0 0 1 2 3: of each node a state before it, and 0 to 3 for " + weft::Json(activations).dump());
    std::vector<Node> cell;
    while (!reader.at_end()) {
      const int state = read_state(reader);
      const std::int64_t function = reader.integer("the number of an activation");
      if (function < 0 || function >= static_cast<std::int64_t>(activations.size()))
        reader.fail("an activation from 0 to 3 before this");
      cell.push_back({state, static_cast<int>(function)});
    }
    return genotype_of(cell);
  }

  weft::Architecture supernet() const override {
    return model().build(
        [this](std::int64_t inputs, std::int64_t features) { return supernet_cell(inputs, features); });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    weft::SupernetPath path;
    int node = 0;
    for (const Node& of : nodes_of(genotype)) {
      const std::string place = place_of(++node);
      if (node > 1) path[place + "/input"] = {of.state};
      path[place + "/function"] = {of.function};
    }
    return path;
  }

  // Each decision by itself.
  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    std::vector<Node> cell;
    for (int node = 1; node <= nodes(); ++node) {
      const int state = node == 1 ? 0 : best_of(weights, place_of(node) + "/input", static_cast<std::size_t>(node));
      cell.push_back({state, best_of(weights, place_of(node) + "/function", activations.size())});
    }
    return genotype_of(cell);
  }

 private:
  weft::Attributes supernet_cell(std::int64_t inputs, std::int64_t features) const {
    ArchitectureBuilder graph;
    std::vector<NodeId> states = {highway::start(graph, inputs, features, dropout())};
    std::vector<NodeId> read = {highway::read(graph, states[0], dropout())};
    for (int node = 1; node <= nodes(); ++node) {
      const auto group = graph.group(place_of(node));
      std::vector<NodeId> candidates;
      for (const std::string& function : activations) {
        const auto inner = graph.group(function);
        std::vector<NodeId> sources;
        std::vector<std::string> options;
        for (int from = 0; from < node; ++from) {
          const auto source = graph.group("from " + std::to_string(from));
          const auto at = static_cast<std::size_t>(from);
          const highway::Layer layer = highway::layer(graph, read[at], features);
          sources.push_back(highway::node(graph, states[at], highway::gate(graph, layer), layer.value, function));
          options.push_back(std::to_string(from));
        }
        candidates.push_back(
            node == 1 ? sources[0]
                      : graph.add("choice", {{"decision", place_of(node) + "/input"}, {"options", options}}, sources));
      }
      states.push_back(
          graph.add("choice", {{"decision", place_of(node) + "/function"}, {"options", activations}}, candidates));
      read.push_back(highway::read(graph, states.back(), dropout()));
    }
    const NodeId output = highway::output(graph, states);
    return highway::finished(std::move(graph), output);
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<EnasRnn>("enas_rnn"))
