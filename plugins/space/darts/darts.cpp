// The search space of DARTS: a normal and a reduction cell of four nodes, each the sum of two operations on earlier
// states.
//
// Liu, Simonyan, Yang 2019b, "DARTS: Differentiable Architecture Search", section 3.1.1. Decisions are those of a
// discrete genotype, so `none` is not among the operations. Genotypes in DARTS notation that lie outside of them (other
// operations, numbers of nodes or concatenations, such as DARTS's own transcriptions of NASNet and AmoebaNet) are read
// as opaque ones.

#include <algorithm>
#include <string>
#include <vector>

#include "cells.hpp"
#include "network.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

using darts::Cell;
using darts::Cells;
using darts::search_operations;

constexpr int nodes = 4;
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

class Darts final : public weft::DecisionSpace {
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

  weft::Genotype parse(std::string_view notation) const override {
    const Cells cells = Cells::from_text(notation);
    weft::Genotype genotype;
    if (append_decisions(cells.normal, genotype.decisions) && append_decisions(cells.reduce, genotype.decisions)) {
      return genotype;
    }
    genotype.decisions.clear();
    genotype.opaque = cells.to_json();
    return genotype;
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
