// The one-shot search space: cells of choice blocks, each the sum of one or two operations on earlier states.
//
// Bender, Kindermans, Zoph, Vasudevan, Le 2018, "Understanding and Simplifying One-Shot Architecture Search". All cells
// are alike; a cell's output is the concatenation of its blocks, which read the outputs of the two cells before, each
// through ReLU, 1 x 1 convolution and batch norm. Not known of the paper, and so decided here: the stem is a 3 x 3
// convolution; the extent is halved by average pooling before the cells at 1/3 and 2/3, or by cells of a second kind
// (`reduction`); the filters are doubled there.
//
// In the supernet a block chooses on each state among all operations and `none`, in all cells alike; two operations on
// one state are two active options of a choice.

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "network.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

using one_shot::Block;
using one_shot::Cell;
using one_shot::decision_of;
using one_shot::Pair;

constexpr std::int32_t none = 0;  // among the options of a second input, and of the supernet's choices

class OneShotSpace final : public weft::DecisionSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit OneShotSpace(const weft::Context& context)
      : network_{.cells = context.get<std::int64_t>("cells"),
                 .blocks = context.get<std::size_t>("blocks"),
                 .filters = context.get<std::int64_t>("filters"),
                 .operations = context.get<std::vector<std::string>>("operations"),
                 .reduction = context.get<std::string>("reduction") == "pool" ? one_shot::Reduction::pool
                                                                              : one_shot::Reduction::cell},
        types_(network_.types()),
        task_(context.task()) {
    weft::require::image(task_.input, "one_shot");
  }

  // Of a block: input 1, operation 1, input 2 and, unless that is none, operation 2, which differs from the first where
  // the inputs do not.
  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    std::size_t step = 0;
    for (; step < types_.size() * network_.blocks; ++step) {
      const std::size_t length = decisions_of_block(taken);
      if (taken.size() < length) break;
      taken = taken.subspan(length);
    }
    if (step == types_.size() * network_.blocks) return {};
    const std::size_t block = step % network_.blocks;
    weft::Decision decision{.name = types_[step / network_.blocks] + "/block " + std::to_string(block + 1),
                            .step = static_cast<int>(step)};
    const std::string side = taken.size() < 2 ? " 1" : " 2";
    if (taken.size() % 2 == 0) {
      decision.name += "/input" + side;
      decision.group = "input";
      decision.kind = weft::Decision::Kind::reference;
      if (taken.size() == 2) {
        decision.options.push_back("none");
        decision.named_steps.push_back(weft::Decision::no_step);
      }
      for (std::size_t state = 0; state < network_.states(block); ++state) {
        decision.options.push_back(std::to_string(state));
        decision.named_steps.push_back(state < 2 ? weft::Decision::no_step
                                                 : static_cast<int>(step - block + state - 2));
      }
    } else {
      decision.name += "/operation" + side;
      decision.group = "operation";
      for (std::size_t operation = 0; operation < network_.operations.size(); ++operation) {
        if (taken.size() == 3 && reads_one_state(taken) && static_cast<std::int64_t>(operation) == taken[1]) continue;
        decision.options.push_back(network_.operations[operation]);
      }
    }
    return decision;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    return {one_shot::build(network_, to_cells(genotype), task_)};
  }

  // cell[sep_conv_3x3@0 + identity@1; max_pool_3x3@2; ..]: operation@state.
  std::string notation(const weft::Genotype& genotype) const override {
    const std::vector<Cell> cells = to_cells(genotype);
    std::string text;
    for (std::size_t type = 0; type < types_.size(); ++type) {
      text += (type > 0 ? " " : "") + types_[type] + "[";
      for (std::size_t block = 0; block < network_.blocks; ++block) {
        if (block > 0) text += "; ";
        for (std::size_t side = 0; side < cells[type][block].size(); ++side) {
          const Pair& pair = cells[type][block][side];
          text += (side > 0 ? " + " : "") + network_.operations[pair.operation] + "@" + std::to_string(pair.state);
        }
      }
      text += "]";
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    std::string form;
    for (const std::string& type : types_) form += type + "[sep_conv_3x3@0 + identity@1; max_pool_3x3@1; ..] ";
    weft::NotationReader reader(notation, form + "with " + std::to_string(network_.blocks) + " blocks in a cell");
    std::vector<Cell> cells(types_.size());
    for (std::size_t type = 0; type < types_.size(); ++type) {
      reader.expect(types_[type] + "[");
      for (std::size_t block = 0; block < network_.blocks; ++block) {
        if (block > 0) reader.expect(";");
        Block& pairs = cells[type].emplace_back(Block{read_pair(reader, block)});
        if (!reader.accept("+")) continue;
        pairs.push_back(read_pair(reader, block));
        if (pairs[0] == pairs[1]) reader.fail("two different pairs of operation and state before this");
      }
      reader.expect("]");
    }
    reader.expect_end();
    return to_genotype(cells);
  }

  weft::Architecture supernet() const override { return one_shot::build_supernet(network_, task_); }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    const std::vector<Cell> cells = to_cells(genotype);
    weft::SupernetPath path;
    for_each_choice([&](std::size_t type, std::size_t block, std::size_t state) {
      std::vector<int>& active = path[decision_of(types_[type], block, state)];
      for (const Pair& pair : cells[type][block]) {
        if (pair.state == state) active.push_back(1 + static_cast<int>(pair.operation));
      }
      if (active.empty()) active.push_back(none);
      std::sort(active.begin(), active.end());
    });
    return path;
  }

  // Of each block the strongest pair; and of the others the strongest that is stronger than the `none` of its state, if
  // there is one. Equals are taken in the order of states and operations.
  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    struct Weighed {
      Pair pair;
      double weight;
      bool beats_none;
    };
    std::vector<std::vector<Weighed>> weighed(types_.size() * network_.blocks);
    for_each_choice([&](std::size_t type, std::size_t block, std::size_t state) {
      const std::vector<double>& of_state =
          weft::weights_of(weights, decision_of(types_[type], block, state), 1 + network_.operations.size());
      for (std::size_t operation = 0; operation < network_.operations.size(); ++operation) {
        const double weight = of_state[1 + operation];
        weighed[type * network_.blocks + block].push_back({{state, operation}, weight, weight > of_state[none]});
      }
    });
    std::vector<Cell> cells(types_.size());
    for (std::size_t step = 0; step < weighed.size(); ++step) {
      std::vector<Weighed>& of_block = weighed[step];
      std::ranges::stable_sort(of_block, std::greater<>(), &Weighed::weight);
      Block& block = cells[step / network_.blocks].emplace_back(Block{of_block.front().pair});
      const auto second =
          std::find_if(of_block.begin() + 1, of_block.end(), [](const Weighed& w) { return w.beats_none; });
      if (second != of_block.end()) block.push_back(second->pair);
    }
    return to_genotype(cells);
  }

  // Every operation on every state of a block: 1 where the genotype has it. The two pairs of a block have no order
  // here.
  std::size_t encoding_length() const override {
    std::size_t length = 0;
    for_each_choice([&](std::size_t, std::size_t, std::size_t) { length += network_.operations.size(); });
    return length;
  }
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    const std::vector<Cell> cells = to_cells(genotype);
    std::vector<double> code;
    for_each_choice([&](std::size_t type, std::size_t block, std::size_t state) {
      for (std::size_t operation = 0; operation < network_.operations.size(); ++operation)
        code.push_back(std::ranges::count(cells[type][block], Pair{state, operation}));
    });
    return code;
  }

 private:
  // Calls visit(type, block, state) for all states that a block of a cell may read.
  template <typename Visit>
  void for_each_choice(Visit&& visit) const {
    for (std::size_t type = 0; type < types_.size(); ++type) {
      for (std::size_t block = 0; block < network_.blocks; ++block) {
        for (std::size_t state = 0; state < network_.states(block); ++state) visit(type, block, state);
      }
    }
  }

  // Of the block that `taken` begins with, as far as it is known.
  static std::size_t decisions_of_block(std::span<const std::int32_t> taken) {
    return taken.size() > 2 && taken[2] == none ? 3 : 4;
  }
  // Whether both inputs of a block are the same; those of the second are numbered from 1.
  static bool reads_one_state(std::span<const std::int32_t> block) {
    return std::int64_t{block[2]} == std::int64_t{block[0]} + 1;
  }

  std::vector<Cell> to_cells(const weft::Genotype& genotype) const {
    walk(genotype);
    std::span<const std::int32_t> taken = genotype.decisions;
    const auto number = [](std::int32_t option) { return static_cast<std::size_t>(option); };
    std::vector<Cell> cells(types_.size());
    for (Cell& cell : cells) {
      while (cell.size() < network_.blocks) {
        Block& block = cell.emplace_back(Block{{number(taken[0]), number(taken[1])}});
        const std::size_t length = decisions_of_block(taken);
        if (length == 4) {
          const bool skips_first = reads_one_state(taken) && taken[3] >= taken[1];
          block.push_back({number(taken[2]) - 1, number(taken[3]) + (skips_first ? 1 : 0)});
        }
        taken = taken.subspan(length);
      }
    }
    return cells;
  }

  static weft::Genotype to_genotype(const std::vector<Cell>& cells) {
    weft::Genotype genotype;
    const auto take = [&](std::size_t option) { genotype.decisions.push_back(static_cast<std::int32_t>(option)); };
    for (const Cell& cell : cells) {
      for (const Block& block : cell) {
        take(block[0].state);
        take(block[0].operation);
        take(block.size() == 1 ? none : 1 + block[1].state);
        if (block.size() == 1) continue;
        const bool skips_first = block[0].state == block[1].state && block[1].operation > block[0].operation;
        take(block[1].operation - (skips_first ? 1 : 0));
      }
    }
    return genotype;
  }

  Pair read_pair(weft::NotationReader& reader, std::size_t block) const {
    const std::size_t operation = reader.option(network_.operations, "an operation");
    reader.expect("@");
    const std::int64_t state = reader.integer("the number of a state");
    if (state < 0 || state >= static_cast<std::int64_t>(network_.states(block)))
      reader.fail("a state from 0 to " + std::to_string(network_.states(block) - 1) + " before this");
    return {static_cast<std::size_t>(state), operation};
  }

  one_shot::Network network_;
  std::vector<std::string> types_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<OneShotSpace>("one_shot"))
