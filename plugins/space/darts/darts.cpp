// The search space of DARTS: a normal and a reduction cell of four nodes, each the sum of two operations on earlier
// states.
//
// Liu, Simonyan, Yang 2019b, "DARTS: Differentiable Architecture Search", section 3.1.1. Decisions are those of a
// discrete genotype, so `none` is not among the operations. Genotypes in DARTS notation that lie outside of them (other
// operations, numbers of nodes or concatenations, such as DARTS's own transcriptions of NASNet and AmoebaNet) are read
// as opaque ones.
//
// The supernet is that of section 2.2 and of the authors' code (quark0/darts, cnn/model_search.py): every edge of a
// cell has every operation and `none`, and all cells of a type decide alike.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "cells.hpp"
#include "network.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

using darts::Cell;
using darts::Cells;
using darts::edge_decision;
using darts::nodes;
using darts::search_operations;
using darts::supernet_operations;

constexpr int decisions_per_node = 4;  // input 1, input 2, operation 1, operation 2
constexpr int decisions_per_cell = nodes * decisions_per_node;
constexpr int edges = 14;  // 2 + 3 + 4 + 5, into the nodes of one cell
const std::vector<int> all_nodes = {2, 3, 4, 5};

// The states that may be the second input of a node: all before it but the first input.
std::vector<int> second_inputs(int node, int first) {
  std::vector<int> states;
  for (int state = 0; state < node; ++state) {
    if (state != first) states.push_back(state);
  }
  return states;
}

Cell to_cell(std::span<const std::int32_t> taken) {
  Cell cell{{}, all_nodes};
  for (int node = 2; node < 2 + nodes; ++node, taken = taken.subspan(decisions_per_node)) {
    const int second = second_inputs(node, taken[0])[static_cast<std::size_t>(taken[1])];
    cell.edges.push_back({search_operations[static_cast<std::size_t>(taken[2])], taken[0]});
    cell.edges.push_back({search_operations[static_cast<std::size_t>(taken[3])], second});
  }
  return cell;
}

// Appends the decisions that lead to `cell`; false if none do.
bool append_decisions(const Cell& cell, std::vector<std::int32_t>& taken) {
  if (cell.edges.size() != 2 * nodes || cell.concat != all_nodes) return false;
  for (int node = 2; node < 2 + nodes; ++node) {
    const darts::Edge* edge = &cell.edges[static_cast<std::size_t>(2 * (node - 2))];
    const auto index = [](const auto& options, const auto& value) {
      return static_cast<std::int32_t>(std::find(options.begin(), options.end(), value) - options.begin());
    };
    const auto known = static_cast<std::int32_t>(search_operations.size());
    const std::int32_t first = index(search_operations, edge[0].operation);
    const std::int32_t second = index(search_operations, edge[1].operation);
    if (edge[0].input == edge[1].input || first == known || second == known) return false;
    taken.insert(taken.end(), {edge[0].input, index(second_inputs(node, edge[0].input), edge[1].input), first, second});
  }
  return true;
}

// Of an edge of the supernet, by its weights: the best operation that is not `none`, and how good that is.
struct BestOperation {
  std::size_t option;
  double strength;
};

BestOperation best_operation(const std::vector<double>& weights) {
  const auto best = std::max_element(weights.begin() + 1, weights.end());  // `none` is the first
  return {static_cast<std::size_t>(best - weights.begin()), *best};
}

// Section 2.4: of each node the two edges are kept whose best operation is strongest, that one first. Equals are
// taken in the order of the states and operations, as in the authors' code.
Cell derived_cell(const weft::OptionWeights& weights, const std::string& type) {
  Cell cell{{}, all_nodes};
  for (int node = 2; node < 2 + nodes; ++node) {
    std::vector<BestOperation> best;
    std::vector<int> sources;
    for (int from = 0; from < node; ++from) {
      best.push_back(best_operation(weights.at(edge_decision(type, from, node))));
      sources.push_back(from);
    }
    const auto strength = [&](int from) { return best[static_cast<std::size_t>(from)].strength; };
    std::ranges::stable_sort(sources, std::greater<>(), strength);
    for (const int from : {sources[0], sources[1]})
      cell.edges.push_back({supernet_operations[best[static_cast<std::size_t>(from)].option], from});
  }
  return cell;
}

class Darts final : public weft::DecisionSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit Darts(const weft::Context& context)
      : network_{.stem = context.get<std::string>("template") == "cifar" ? darts::Template::cifar
                                                                         : darts::Template::imagenet,
                 .channels = context.get<std::int64_t>("channels"),
                 .layers = context.get<int>("layers"),
                 .auxiliary = context.get<bool>("auxiliary")},
        task_(context.task()) {
    weft::require::image(task_.input, "darts");
    if (network_.channels % 2 != 0) {
      throw weft::InvalidInput("/channels is " + std::to_string(network_.channels) +
                               "; must be even, since factorized reduction halves it");
    }
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const int at = static_cast<int>(taken.size());
    if (at >= 2 * decisions_per_cell) return {};
    const int node = 2 + at % decisions_per_cell / decisions_per_node;
    const int part = at % decisions_per_node;
    weft::Decision decision{
        .name = std::string(at < decisions_per_cell ? "normal" : "reduce") + "/node " + std::to_string(node),
        .step = at / decisions_per_node};
    if (part < 2) {
      decision.name += "/input " + std::to_string(part + 1);
      decision.group = "input";
      decision.kind = weft::Decision::Kind::reference;
      for (const int state : second_inputs(node, part == 0 ? -1 : taken.back())) {
        decision.options.push_back(std::to_string(state));
        decision.named_steps.push_back(state < 2 ? weft::Decision::no_step : decision.step - node + state);
      }
    } else {
      decision.name += "/operation " + std::to_string(part - 1);
      decision.group = "operation";
      decision.options = search_operations;
    }
    return decision;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    return {darts::build(network_, to_cells(genotype), task_)};
  }

  std::string notation(const weft::Genotype& genotype) const override { return to_cells(genotype).to_text(); }

  weft::Genotype parse(std::string_view notation) const override { return to_genotype(Cells::from_text(notation)); }

  weft::Architecture supernet() const override { return darts::build_supernet(network_, task_); }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    const Cells cells = to_cells(genotype);
    weft::SupernetPath path;
    for (const std::string& type : types()) {
      const Cell& cell = type == "normal" ? cells.normal : cells.reduce;
      const auto refuse = [&](const std::string& reason) {
        throw weft::InvalidInput("the " + type + " cell is none of the supernet's: " + reason);
      };
      if (cell.edges.size() != 2 * nodes) refuse("has " + std::to_string(cell.states() - 2) + " nodes, not four");
      if (cell.concat != all_nodes) refuse("does not concatenate all nodes in order");
      for (int node = 2; node < 2 + nodes; ++node) {
        for (int from = 0; from < node; ++from) path[edge_decision(type, from, node)] = {0};
        const darts::Edge* edge = &cell.edges[static_cast<std::size_t>(2 * (node - 2))];
        if (edge[0].input == edge[1].input)
          refuse("node " + std::to_string(node) + " reads state " + std::to_string(edge[0].input) + " twice");
        for (const darts::Edge& of : {edge[0], edge[1]}) {
          const auto option = std::ranges::find(supernet_operations, of.operation);
          if (option == supernet_operations.end())
            refuse("its operations are " + weft::Json(supernet_operations).dump() + ", not " + of.operation);
          path[edge_decision(type, of.input, node)] = {static_cast<int>(option - supernet_operations.begin())};
        }
      }
    }
    return path;
  }

  // A type that no cell of the network has is derived from equal weights.
  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    weft::OptionWeights complete;
    for (const std::string type : {"normal", "reduce"}) {
      for (int node = 2; node < 2 + nodes; ++node) {
        for (int from = 0; from < node; ++from)
          complete[edge_decision(type, from, node)].resize(supernet_operations.size());
      }
    }
    for (const std::string& type : types()) {
      for (int node = 2; node < 2 + nodes; ++node) {
        for (int from = 0; from < node; ++from) {
          const std::string decision = edge_decision(type, from, node);
          complete[decision] = weft::weights_of(weights, decision, supernet_operations.size());
        }
      }
    }
    return to_genotype({derived_cell(complete, "normal"), derived_cell(complete, "reduce")});
  }

  // Every edge of the cell with every operation, as the supernet has them: 1 where the genotype has it. The two
  // operations of a node have no order here.
  std::size_t encoding_length() const override { return 2 * edges * search_operations.size(); }
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::vector<double> code(encoding_length());
    const Cells cells = to_cells(genotype);
    std::size_t first_edge = 0;
    for (const Cell* cell : {&cells.normal, &cells.reduce}) {
      for (int node = 2; node < 2 + nodes; first_edge += static_cast<std::size_t>(node++)) {
        for (int side = 0; side < 2; ++side) {
          const darts::Edge& edge = cell->edges[static_cast<std::size_t>(2 * (node - 2) + side)];
          const auto operation = std::find(search_operations.begin(), search_operations.end(), edge.operation);
          code[(first_edge + static_cast<std::size_t>(edge.input)) * search_operations.size() +
               static_cast<std::size_t>(operation - search_operations.begin())] = 1.0;
        }
      }
    }
    return code;
  }

 private:
  // Of the cells that the network has; of fewer than three all reduce.
  std::vector<std::string> types() const {
    if (darts::reduces(network_, 0)) return {"reduce"};
    return {"normal", "reduce"};
  }

  // An opaque one where no decisions lead there.
  static weft::Genotype to_genotype(const Cells& cells) {
    weft::Genotype genotype;
    if (append_decisions(cells.normal, genotype.decisions) && append_decisions(cells.reduce, genotype.decisions)) {
      return genotype;
    }
    genotype.decisions.clear();
    genotype.opaque = cells.to_json();
    return genotype;
  }

  Cells to_cells(const weft::Genotype& genotype) const {
    if (!genotype.opaque.is_null()) return Cells::from_json(genotype.opaque);
    walk(genotype);
    const std::span<const std::int32_t> taken = genotype.decisions;
    return {to_cell(taken.first(decisions_per_cell)), to_cell(taken.subspan(decisions_per_cell))};
  }

  darts::Network network_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Darts>("darts"))
