// ENAS's micro search space: a normal and a reduction cell of B blocks, each the sum of two operations on earlier
// states.
//
// Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing", section 2.4; details
// as in the authors' published code (melodyguan/enas, micro_child.py), which builds two networks from one architecture:
// one with shared weights, one to be trained from scratch. Deviation: the auxiliary classifier is NASNet's, whose last
// convolution has no padding.
//
// The supernet is the first of the two for all architectures at once. Weights belong to an operation on one side of a
// block and to the state that it reads; those of the 1x1 convolution behind a cell belong to the states that it
// concatenates, and are written as a sum of 1x1 convolutions, one of each state that no block reads. A path computes
// what the architecture's own network does, whose 1x1 convolution is one.

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

// In the order of their numbers in the notation.
const std::vector<std::string> operations = {"sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3",
                                             "identity"};

struct Operand {
  std::size_t state;  // 0: output of the cell before the previous one, 1: of the previous one, 2: the first block
  std::string operation;
};

using Block = std::array<Operand, 2>;
using Cell = std::vector<Block>;

struct Cells {
  Cell normal, reduction;
};

constexpr std::size_t parts = 4;  // decisions of a block: state 1, operation 1, state 2, operation 2

enum class Form { search, final };

// A cell where it stands.
struct Place {
  std::int64_t filters;
  std::int64_t stride;     // of operations that read the cell's inputs
  double drop_path_scale;  // (c + 1) / C for cell c of C; 0 in the network with shared weights, which drops no paths
};

// Of decisions: "normal/block 1/input 2". Blocks and sides are counted from 1 there.
std::string kind_of(bool reduces) { return reduces ? "reduction" : "normal"; }
std::string place_of(const std::string& kind, std::size_t block) {
  return kind + "/block " + std::to_string(block + 1);
}
std::string input_decision(const std::string& place, std::size_t side) {
  return place + "/input " + std::to_string(side + 1);
}
std::string operation_decision(const std::string& place, std::size_t side) {
  return place + "/operation " + std::to_string(side + 1);
}
// Of the supernet alone: whether a state is part of the cell's output, as no block reads it.
std::string output_decision(const std::string& kind, std::size_t state) {
  return kind + "/output of " + std::to_string(state);
}
const std::vector<std::string> output_options = {"loose", "used"};

std::vector<bool> used_states(const Cell& cell) {
  std::vector<bool> used(2 + cell.size());
  for (const Block& block : cell) {
    for (const Operand& read : block) used[read.state] = true;
  }
  return used;
}

NodeId factorized_reduction(ArchitectureBuilder& graph, NodeId input, std::int64_t channels) {
  return blocks::factorized_reduction(graph, input, channels, /*affine=*/true, /*leading_relu=*/false);
}

bool same_extent(const weft::Shape& one, const weft::Shape& other) {
  return one.height == other.height && one.width == other.width;
}

// The states 0 and 1, of one extent and `filters` channels.
std::vector<NodeId> calibrated(ArchitectureBuilder& graph, NodeId before, NodeId previous, std::int64_t filters) {
  const auto group = graph.group("inputs");
  const auto project = [&](NodeId input) {
    if (graph.shape(input).channels == filters) return input;
    return blocks::relu_conv_bn(graph, input, Convolution::square(filters, 1));
  };
  const bool larger = !same_extent(graph.shape(before), graph.shape(previous));
  const NodeId first = larger ? blocks::factorized_reduction(graph, before, filters) : project(before);
  return {first, project(previous)};
}

// Its input has the place's channels already.
NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  const std::int64_t filters = graph.shape(input).channels;
  if (operation == "identity") {
    return stride == 1 ? graph.add("identity", {}, {input}) : factorized_reduction(graph, input, filters);
  }
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3, stride);
  if (operation == "max_pool_3x3") return blocks::pool(graph, input, "max_pool", 3, stride);
  return blocks::separable_conv(graph, input, filters, blocks::square_kernel(operation), stride);
}

NodeId add_block(ArchitectureBuilder& graph, const Block& block, const std::vector<NodeId>& states,
                 const Place& place) {
  std::array<NodeId, 2> terms{};
  for (std::size_t side = 0; side < 2; ++side) {
    const Operand& read = block[side];
    terms[side] = add_operation(graph, states[read.state], read.operation, read.state < 2 ? place.stride : 1);
    if (read.operation == "identity" || place.drop_path_scale == 0.0) continue;
    terms[side] = graph.add("drop_path", {{"scale", place.drop_path_scale}}, {terms[side]});
  }
  return graph.add("add", {}, terms);
}

// The states that no block reads, the cell's inputs among them; an input that is larger than the blocks is reduced.
NodeId concatenate_unused(ArchitectureBuilder& graph, const Cell& cell, const std::vector<NodeId>& states,
                          const Place& place) {
  const std::vector<bool> used = used_states(cell);
  std::vector<NodeId> output;
  for (std::size_t state = 0; state < states.size(); ++state) {
    if (used[state]) continue;
    const bool fits = same_extent(graph.shape(states[state]), graph.shape(states.back()));
    output.push_back(fits ? states[state] : factorized_reduction(graph, states[state], place.filters));
  }
  return graph.add("concat", {}, output);
}

NodeId add_cell(ArchitectureBuilder& graph, const Cell& cell, NodeId before, NodeId previous, const Place& place,
                Form form) {
  std::vector<NodeId> states = calibrated(graph, before, previous, place.filters);
  if (form == Form::final) {
    const auto group = graph.group("inputs");
    states[1] = blocks::relu_conv_bn(graph, states[1], Convolution::square(place.filters, 1));
  }
  for (std::size_t block = 0; block < cell.size(); ++block) {
    const auto group = graph.group("block " + std::to_string(block + 1));
    states.push_back(add_block(graph, cell[block], states, place));
  }
  const NodeId output = concatenate_unused(graph, cell, states, place);
  if (form == Form::final) return output;
  return blocks::relu_conv_bn(graph, output, Convolution::square(place.filters, 1));
}

NodeId add_choice(ArchitectureBuilder& graph, const std::string& decision, const std::vector<std::string>& options,
                  const std::vector<NodeId>& inputs) {
  return graph.add("choice", {{"decision", decision}, {"options", options}}, inputs);
}

// One side of a block: a choice among the states, of a choice among operations on each.
NodeId add_supernet_side(ArchitectureBuilder& graph, const std::string& place, std::size_t side,
                         const std::vector<NodeId>& states) {
  const auto group = graph.group("side " + std::to_string(side + 1));
  std::vector<NodeId> sources;
  std::vector<std::string> names;
  for (const NodeId state : states) {
    names.push_back(std::to_string(names.size()));
    const auto source = graph.group("of " + names.back());
    std::vector<NodeId> candidates;
    for (const std::string& operation : operations) candidates.push_back(add_operation(graph, state, operation, 1));
    sources.push_back(add_choice(graph, operation_decision(place, side), operations, candidates));
  }
  return add_choice(graph, input_decision(place, side), names, sources);
}

// The last state is always part of it.
NodeId add_supernet_output(ArchitectureBuilder& graph, const std::string& kind, const std::vector<NodeId>& states,
                           std::int64_t filters) {
  std::vector<NodeId> terms;
  for (std::size_t state = 0; state < states.size(); ++state) {
    const auto group = graph.group("output of " + std::to_string(state));
    terms.push_back(blocks::convolution(graph, blocks::relu(graph, states[state]), Convolution::square(filters, 1)));
    if (state + 1 == states.size()) break;
    const NodeId nothing = graph.add("zero", {}, {states[state]});
    terms.back() = add_choice(graph, output_decision(kind, state), output_options, {terms.back(), nothing});
  }
  return blocks::batch_norm(graph, graph.add("add", {}, terms));
}

NodeId add_supernet_cell(ArchitectureBuilder& graph, const std::string& kind, std::size_t blocks, NodeId before,
                         NodeId previous, std::int64_t filters) {
  std::vector<NodeId> states = calibrated(graph, before, previous, filters);
  for (std::size_t block = 0; block < blocks; ++block) {
    const auto group = graph.group("block " + std::to_string(block + 1));
    const std::string place = place_of(kind, block);
    states.push_back(
        graph.add("add", {}, {add_supernet_side(graph, place, 0, states), add_supernet_side(graph, place, 1, states)}));
  }
  return add_supernet_output(graph, kind, states, filters);
}

class EnasMicro final : public weft::DecisionSpace, public weft::Supernet {
 public:
  explicit EnasMicro(const weft::Context& context)
      : blocks_(context.get<std::size_t>("blocks")),
        layers_(context.get<int>("layers")),
        filters_(context.get<std::int64_t>("filters")),
        form_(context.get<std::string>("network") == "search" ? Form::search : Form::final),
        dropout_(context.get<double>("dropout")),
        auxiliary_(context.get<bool>("auxiliary")),
        task_(context.task()) {
    weft::require::image(task_.input, "enas_micro");
    if (filters_ % 2 != 0) {
      throw weft::InvalidInput("/filters is " + std::to_string(filters_) +
                               "; must be even, since factorized reduction halves it");
    }
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= 2 * blocks_ * parts) return {};
    const std::size_t step = taken.size() / parts;
    const std::size_t block = step % blocks_;
    const std::size_t side = taken.size() % parts / 2;
    const std::string place = place_of(kind_of(step >= blocks_), block);
    weft::Decision decision{.step = static_cast<int>(step)};
    if (taken.size() % 2 == 0) {
      decision.name = input_decision(place, side);
      decision.group = "input";
      decision.kind = weft::Decision::Kind::reference;
      for (std::size_t state = 0; state < 2 + block; ++state) {
        decision.options.push_back(std::to_string(state));
        decision.named_steps.push_back(state < 2 ? weft::Decision::no_step
                                                 : static_cast<int>(step - block + state - 2));
      }
    } else {
      decision.name = operation_decision(place, side);
      decision.group = "operation";
      decision.options = operations;
    }
    return decision;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const Cells cells = cells_of(genotype);
    return {
        stack(form_, [&](ArchitectureBuilder& graph, bool reduces, NodeId before, NodeId previous, const Place& place) {
          return add_cell(graph, reduces ? cells.reduction : cells.normal, before, previous, place, form_);
        })};
  }

  weft::Architecture supernet() const override {
    return stack(Form::search,
                 [&](ArchitectureBuilder& graph, bool reduces, NodeId before, NodeId previous, const Place& place) {
                   return add_supernet_cell(graph, kind_of(reduces), blocks_, before, previous, place.filters);
                 });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    const std::vector<weft::Decision> decisions = walk(genotype);
    weft::SupernetPath path;
    for (std::size_t i = 0; i < decisions.size(); ++i) path[decisions[i].name] = {genotype.decisions[i]};
    const auto add_outputs = [&](const std::string& kind, const Cell& cell) {
      const std::vector<bool> used = used_states(cell);
      for (std::size_t state = 0; state + 1 < used.size(); ++state)
        path[output_decision(kind, state)] = {used[state] ? 1 : 0};
    };
    const Cells cells = cells_of(genotype);
    add_outputs(kind_of(false), cells.normal);
    add_outputs(kind_of(true), cells.reduction);
    return path;
  }

  // That of the published code: state, operation, state, operation of each block, the normal cell's first.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    for (const std::int32_t number : genotype.decisions) text += (text.empty() ? "" : " ") + std::to_string(number);
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "0 2 0 0 ..: state, operation, state and operation of each of " +
                                              std::to_string(blocks_) + " blocks, for two cells");
    weft::Genotype genotype;
    while (const std::optional<weft::Decision> decision = next(genotype.decisions)) {
      const std::int64_t number = reader.integer(decision->name);
      if (number < 0 || number >= static_cast<std::int64_t>(decision->options.size())) {
        reader.fail(decision->name + " from 0 to " + std::to_string(decision->options.size() - 1) + " before this");
      }
      genotype.decisions.push_back(static_cast<std::int32_t>(number));
    }
    reader.expect_end();
    return genotype;
  }

 private:
  // Adds a cell to the graph.
  using AddCell = std::function<NodeId(ArchitectureBuilder& graph, bool reduces, NodeId before, NodeId previous,
                                       const Place& place)>;

  // The cells between stem and classifier.
  weft::Architecture stack(Form form, const AddCell& add_cell) const {
    ArchitectureBuilder graph;
    NodeId previous = add_stem(graph);
    NodeId before = previous;
    std::optional<NodeId> auxiliary;
    std::int64_t filters = filters_;
    const int distance = layers_ / 3;
    for (int layer = 0; layer < layers_ + 2; ++layer) {
      const bool reduces = layer == distance || layer == 2 * distance + 1;
      if (reduces) filters *= 2;
      {
        const auto group = graph.group(kind_of(reduces) + " " + std::to_string(layer + 1));
        if (reduces && form == Form::search) {
          before = std::exchange(previous, factorized_reduction(graph, previous, filters));
        }
        const bool from_scratch = form == Form::final;
        const Place place{filters, reduces && from_scratch ? 2 : 1,
                          from_scratch ? static_cast<double>(layer + 1) / static_cast<double>(layers_ + 2) : 0.0};
        before = std::exchange(previous, add_cell(graph, reduces, before, previous, place));
      }
      if (auxiliary_ && layer == 2 * distance + 2) {
        auxiliary = blocks::auxiliary_classifier(graph, previous, {.classes = task_.classes});
      }
    }
    return std::move(graph).build(add_classifier(graph, previous), auxiliary);
  }

  Cells cells_of(const weft::Genotype& genotype) const {
    walk(genotype);
    const std::span<const std::int32_t> taken = genotype.decisions;
    return {to_cell(taken.first(taken.size() / 2)), to_cell(taken.subspan(taken.size() / 2))};
  }

  static Cell to_cell(std::span<const std::int32_t> taken) {
    const auto operand = [&](std::size_t at) {
      return Operand{static_cast<std::size_t>(taken[at]), operations[static_cast<std::size_t>(taken[at + 1])]};
    };
    Cell cell;
    for (std::size_t block = 0; block < taken.size(); block += parts) {
      cell.push_back({operand(block), operand(block + 2)});
    }
    return cell;
  }

  NodeId add_stem(ArchitectureBuilder& graph) const {
    const NodeId input = graph.input(task_.input);
    const auto group = graph.group("stem");
    return blocks::conv_bn(graph, input, Convolution::square(3 * filters_, 3));
  }

  NodeId add_classifier(ArchitectureBuilder& graph, NodeId input) const {
    const auto group = graph.group("classifier");
    NodeId features = graph.add("global_avg_pool", {}, {blocks::relu(graph, input)});
    if (dropout_ > 0.0) features = graph.add("dropout", {{"probability", dropout_}}, {features});
    return graph.add("linear", {{"features", task_.classes}, {"bias", false}}, {features});
  }

  std::size_t blocks_;
  int layers_;
  std::int64_t filters_;
  Form form_;
  double dropout_;
  bool auxiliary_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<EnasMicro>("enas_micro"))
