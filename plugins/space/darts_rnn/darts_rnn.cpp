// DARTS's space of recurrent cells: nodes that each read one state before them through a highway and one of four
// activations, in a language model.
//
// Liu, Simonyan, Yang 2019b, "DARTS: Differentiable Architecture Search", sections 2.1 and 3.1.2; details as in the
// authors' published code (quark0/darts, rnn/model.py and model_search.py). Weights are initialised as everywhere here,
// where the code draws all from U(-0.04, 0.04).
//
// In the supernet every node is the sum of all states before it, each through all activations and `none`; it has one
// matrix for all of them, and its value is normalised by a batch norm without scale and shift, as that of the first
// state is. The code has one batch norm for all of them, of which only running statistics are another. An
// architecture's own network has none.

#include <algorithm>
#include <string>
#include <vector>

#include "weft/highway_cell.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace highway = weft::highway;
using highway::Node;
using weft::ArchitectureBuilder;
using weft::NodeId;

// In the order of the authors' code (rnn/genotypes.py); in the supernet behind `none`.
const std::vector<std::string> activations = {"tanh", "relu", "sigmoid", "identity"};
const std::vector<std::string> supernet_options = {"none", "tanh", "relu", "sigmoid", "identity"};

std::string edge_decision(int from, int node) { return "edge " + std::to_string(from) + "-" + std::to_string(node); }

NodeId normalised(ArchitectureBuilder& graph, NodeId state) {
  return graph.add("batch_norm", {{"affine", false}}, {state});
}

// The strongest state and activation of a node, by the weights of its edges; `none`, the first option, is no
// activation. Of equals the first, as in the authors' code.
Node strongest(const weft::OptionWeights& weights, int node) {
  Node best{0, 0};
  double most = 0.0;
  for (int from = 0; from < node; ++from) {
    const std::vector<double>& of_edge = weft::weights_of(weights, edge_decision(from, node), supernet_options.size());
    const auto largest = std::max_element(of_edge.begin() + 1, of_edge.end());
    if (from > 0 && *largest <= most) continue;
    most = *largest;
    best = {from, static_cast<int>(largest - of_edge.begin()) - 1};
  }
  return best;
}

class DartsRnn final : public highway::CellSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit DartsRnn(const weft::Context& context) : CellSpace(context, activations) {}

  // Genotype(recurrent=[('relu', 0), ..], concat=range(1, 9)), as the code prints it.
  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    for (const Node& node : nodes_of(genotype)) {
      text += (text.empty() ? "" : ", ") + ("('" + activations[static_cast<std::size_t>(node.function)]) + "', " +
              std::to_string(node.state) + ")";
    }
    return "Genotype(recurrent=[" + text + "], concat=range(1, " + std::to_string(nodes() + 1) + "))";
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "Genotype(recurrent=[('relu', 0), ..], concat=range(1, 9))");
    std::vector<Node> cell;
    for (const char* token : {"Genotype", "(", "recurrent", "=", "["}) reader.expect(token);
    do {
      reader.expect("(");
      const char* quote = reader.accept("\"") ? "\"" : "'";
      if (*quote == '\'') reader.expect(quote);
      const auto function = static_cast<int>(reader.option(activations, "an activation"));
      reader.expect(quote);
      reader.expect(",");
      cell.push_back({read_state(reader), function});
      reader.expect(")");
    } while (reader.accept(","));
    for (const char* token : {"]", ",", "concat", "=", "range", "(", "1", ","}) reader.expect(token);
    if (reader.integer("the number behind the last node's") != static_cast<std::int64_t>(cell.size()) + 1)
      reader.fail("range(1, " + std::to_string(cell.size() + 1) + "), the mean of all nodes, before this");
    reader.expect(")");
    reader.expect(")");
    reader.expect_end();
    return genotype_of(cell);
  }

  weft::Architecture supernet() const override {
    return model().build(
        [this](std::int64_t inputs, std::int64_t features) { return supernet_cell(inputs, features); });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    const std::vector<Node> cell = nodes_of(genotype);
    weft::SupernetPath path;
    for (int node = 1; node <= nodes(); ++node) {
      const Node& of = cell[static_cast<std::size_t>(node - 1)];
      for (int from = 0; from < node; ++from)
        path[edge_decision(from, node)] = {from == of.state ? of.function + 1 : 0};
    }
    return path;
  }

  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    std::vector<Node> cell;
    for (int node = 1; node <= nodes(); ++node) cell.push_back(strongest(weights, node));
    return genotype_of(cell);
  }

 private:
  weft::Attributes supernet_cell(std::int64_t inputs, std::int64_t features) const {
    ArchitectureBuilder graph;
    std::vector<NodeId> states = {normalised(graph, highway::start(graph, inputs, features, dropout()))};
    std::vector<NodeId> read = {highway::read(graph, states[0], dropout())};
    for (int node = 1; node <= nodes(); ++node) {
      const auto group = graph.group("node " + std::to_string(node));
      const highway::Layer weights = highway::layer(graph, read[0], features);
      std::vector<NodeId> edges;
      for (int from = 0; from < node; ++from) {
        const auto edge = graph.group("edge from " + std::to_string(from));
        const auto at = static_cast<std::size_t>(from);
        const highway::Layer layer = from == 0 ? weights : highway::layer(graph, read[at], weights);
        const NodeId gate = highway::gate(graph, layer);
        std::vector<NodeId> candidates = {graph.add("zero", {}, {states[at]})};
        for (const std::string& function : activations)
          candidates.push_back(highway::node(graph, states[at], gate, layer.value, function));
        edges.push_back(
            graph.add("choice", {{"decision", edge_decision(from, node)}, {"options", supernet_options}}, candidates));
      }
      states.push_back(normalised(graph, graph.add("add", {}, edges)));
      read.push_back(highway::read(graph, states.back(), dropout()));
    }
    const NodeId output = highway::output(graph, states);
    return highway::finished(std::move(graph), output);
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<DartsRnn>("darts_rnn"))
