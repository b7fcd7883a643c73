// A space of one: a language model around a classical recurrent cell, to measure found cells against.
//
// W has biases, U has none; one bias is all that a sum of two needs.
//
// tanh (Elman 1990, "Finding Structure in Time"):  h' = tanh(W x + U h)
//
// lstm (Hochreiter, Schmidhuber 1997, "Long Short-Term Memory"; with the forget gate of Gers, Schmidhuber, Cummins
// 2000, "Learning to Forget"):
//   i = sigmoid(W_i x + U_i h)   f = sigmoid(W_f x + U_f h)   o = sigmoid(W_o x + U_o h)   g = tanh(W_g x + U_g h)
//   c' = f c + i g   h' = o tanh(c')

#include <optional>
#include <string>

#include "weft/language_model.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::ArchitectureBuilder;
using weft::Attributes;
using weft::NodeId;

NodeId add_input(ArchitectureBuilder& graph, const char* name, std::int64_t features) {
  return graph.add("input", {{"shape", weft::Shape::features(features).to_json()}}, {}, name);
}

// function(W x + U h).
NodeId add_gate(ArchitectureBuilder& graph, const char* function, NodeId x, NodeId h, std::int64_t features) {
  const NodeId from_x = graph.add("linear", {{"features", features}}, {x});
  const NodeId from_h = graph.add("linear", {{"features", features}, {"bias", false}}, {h});
  return graph.add("activation", {{"function", function}}, {graph.add("add", {}, {from_x, from_h})});
}

Attributes tanh_cell(std::int64_t inputs, std::int64_t features) {
  ArchitectureBuilder graph;
  const NodeId x = add_input(graph, "x", inputs);
  const NodeId h = add_input(graph, "h", features);
  const NodeId next_h = add_gate(graph, "tanh", x, h, features);
  return {{"cell", std::move(graph).build(next_h).to_json()}};
}

Attributes lstm_cell(std::int64_t inputs, std::int64_t features) {
  ArchitectureBuilder graph;
  const NodeId x = add_input(graph, "x", inputs);
  const NodeId h = add_input(graph, "h", features);
  const NodeId c = add_input(graph, "c", features);
  const NodeId i = add_gate(graph, "sigmoid", x, h, features);
  const NodeId f = add_gate(graph, "sigmoid", x, h, features);
  const NodeId o = add_gate(graph, "sigmoid", x, h, features);
  const NodeId g = add_gate(graph, "tanh", x, h, features);
  const NodeId kept = graph.add("multiply", {}, {f, c});
  const NodeId next_c = graph.add("add", {}, {kept, graph.add("multiply", {}, {i, g})}, "next_c");
  const NodeId squashed = graph.add("activation", {{"function", "tanh"}}, {next_c});
  const NodeId next_h = graph.add("multiply", {}, {o, squashed});
  return {{"cell", std::move(graph).build(next_h).to_json()}, {"states", {{"c", "next_c"}}}};
}

weft::Architecture network_of(const std::string& name, const weft::Context& context) {
  const weft::LanguageModel::Cell cell = name == "lstm" ? lstm_cell : tanh_cell;
  return weft::LanguageModel(context, cell).build(cell);
}

class RecurrentBaseline final : public weft::Space, public weft::Decisions {
 public:
  explicit RecurrentBaseline(const weft::Context& context)
      : cell_(context.get<std::string>("cell")), network_(network_of(cell_, context)) {}

  weft::Genotype sample(weft::Rng&) const override { return {}; }
  std::optional<weft::Decision> next(std::span<const std::int32_t>) const override { return {}; }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    check(genotype);
    return {network_};
  }
  std::string notation(const weft::Genotype& genotype) const override {
    check(genotype);
    return cell_;
  }
  weft::Genotype parse(std::string_view notation) const override {
    if (notation == cell_) return {};
    throw weft::InvalidInput("\"" + std::string(notation) + "\" is not \"" + cell_ + "\", the only genotype there is");
  }

 private:
  static void check(const weft::Genotype& genotype) {
    if (genotype == weft::Genotype()) return;
    throw weft::InvalidInput("the only genotype is the empty one, not " + genotype.key());
  }

  std::string cell_;
  weft::Architecture network_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RecurrentBaseline>("recurrent_baseline"))
