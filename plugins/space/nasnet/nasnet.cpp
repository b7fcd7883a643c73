// The NASNet search space: a normal and a reduction cell of B blocks, each combining two operations on earlier states.
//
// Zoph, Vasudevan, Shlens, Le 2018, "Learning Transferable Architectures for Scalable Image Recognition", section 3.
// Mutation is that of Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search",
// section 3: hidden state or operation, one of them at a time. Deviation: where blocks may be concatenated as well as
// added, which that paper's space has not, changing the combination is a third, equally likely mutation.

#include <algorithm>
#include <string>
#include <vector>

#include "network.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

using nasnet::Block;
using nasnet::Cell;

class Nasnet final : public weft::DecisionSpace {
 public:
  explicit Nasnet(const weft::Context& context)
      : blocks_(context.get<std::size_t>("blocks")),
        operations_(context.get<std::vector<std::string>>("operations")),
        combinations_(context.get<std::vector<std::string>>("combine")),
        identity_probability_(context.get<double>("identity_probability")),
        network_{.stem = context.get<std::string>("template") == "cifar" ? nasnet::Template::cifar
                                                                         : nasnet::Template::imagenet,
                 .cells = context.get<std::int64_t>("cells"),
                 .filters = context.get<std::int64_t>("filters"),
                 .stem_multiplier = context.get<std::int64_t>("stem_multiplier"),
                 .concatenation = context.get<std::string>("concatenation") == "unused"
                                      ? nasnet::Concatenation::unused
                                      : nasnet::Concatenation::released,
                 .dropout = context.get<double>("dropout"),
                 .auxiliary = context.get<bool>("auxiliary"),
                 .skip_reduction = context.get<bool>("skip_reduction"),
                 .bottleneck = context.get<bool>("bottleneck"),
                 .padding = context.get<std::string>("padding") == "same" ? weft::blocks::Padding::same
                                                                          : weft::blocks::Padding::symmetric},
        task_(context.task()) {
    const bool imagenet = network_.stem == nasnet::Template::imagenet;
    if (!task_.input.is_image() || (imagenet && std::min(task_.input.height, task_.input.width) < 3)) {
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() +
                               "; nasnet needs an image, of at least 3 x 3 for the template imagenet");
    }
    if (imagenet && network_.filters % 4 != 0) {
      throw weft::InvalidInput(
          "/filters is " + std::to_string(network_.filters) +
          "; must be a multiple of 4 for the template imagenet, whose stem works with a half of it and "
          "reduces by halves of that");
    }
    const std::int64_t least = imagenet ? 16 : 4;
    if (network_.bottleneck && network_.filters < least) {
      throw weft::InvalidInput("/filters is " + std::to_string(network_.filters) + "; must be at least " +
                               std::to_string(least) + " with /bottleneck, which works on a quarter of a cell's");
    }
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= 2 * blocks_ * parts()) return {};
    const std::size_t step = taken.size() / parts();
    const std::size_t block = step % blocks_;
    const std::size_t part = taken.size() % parts();
    weft::Decision decision{
        .name = std::string(step < blocks_ ? "normal" : "reduction") + "/block " + std::to_string(block + 1),
        .step = static_cast<int>(step)};
    if (part < 2) {
      decision.name += "/input " + std::to_string(part + 1);
      decision.group = "input";
      decision.kind = weft::Decision::Kind::reference;
      for (std::size_t state = 0; state < 2 + block; ++state) {
        decision.options.push_back(std::to_string(state));
        decision.named_steps.push_back(state < 2 ? weft::Decision::no_step
                                                 : static_cast<int>(step - block + state - 2));
      }
    } else if (part < 4) {
      decision.name += "/operation " + std::to_string(part - 1);
      decision.group = "operation";
      decision.options = operations_;
    } else {
      decision.name += "/combine";
      decision.group = "combine";
      decision.options = combinations_;
    }
    return decision;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const auto [normal, reduction] = to_cells(genotype);
    return {nasnet::build(network_, normal, reduction, task_)};
  }

  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    walk(parent);
    weft::Genotype child = parent;
    if (rng.bernoulli(identity_probability_)) return child;
    const std::size_t step = rng.below(2 * blocks_);
    const std::size_t kind = rng.below(combinations_.size() > 1 ? 3 : 2);  // hidden state, operation, combination
    const std::size_t at = step * parts() + 2 * kind + (kind < 2 ? rng.below(2) : 0);
    const std::size_t options = kind == 0 ? 2 + step % blocks_ : kind == 1 ? operations_.size() : combinations_.size();
    if (options < 2) return child;
    auto drawn = static_cast<std::int32_t>(rng.below(options - 1));
    if (drawn >= parent.decisions[at]) ++drawn;
    child.decisions[at] = drawn;
    return child;
  }

  // normal[sep_conv_5x5@0 + sep_conv_3x3@1; ..] reduction[..]: operation@state, "+" adds, "|" concatenates.
  std::string notation(const weft::Genotype& genotype) const override {
    const auto [normal, reduction] = to_cells(genotype);
    const auto text = [](const Cell& cell) {
      std::string blocks;
      for (const Block& block : cell) {
        blocks += (blocks.empty() ? "" : "; ") + block.first.operation + "@" + std::to_string(block.first.state) +
                  (block.concat ? " | " : " + ") + block.second.operation + "@" + std::to_string(block.second.state);
      }
      return blocks;
    };
    return "normal[" + text(normal) + "] reduction[" + text(reduction) + "]";
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(
        notation,
        "normal[sep_conv_5x5@0 + sep_conv_3x3@1; ..] reduction[..], blocks in each cell: " + std::to_string(blocks_));
    weft::Genotype genotype;
    for (const char* cell : {"normal[", "reduction["}) {
      reader.expect(cell);
      for (std::size_t block = 0; block < blocks_; ++block) {
        if (block > 0) reader.expect(";");
        read_block(reader, block, genotype.decisions);
      }
      reader.expect("]");
    }
    reader.expect_end();
    return genotype;
  }

 private:
  // Decisions of a block: input 1, input 2, operation 1, operation 2 and, where there is a choice, the combination.
  std::size_t parts() const { return combinations_.size() > 1 ? 5 : 4; }

  Cell to_cell(std::span<const std::int32_t> taken) const {
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(taken[i]); };
    Cell cell;
    for (std::size_t b = 0; b < blocks_ * parts(); b += parts()) {
      const std::string& combination = combinations_[parts() == 5 ? at(b + 4) : 0];
      cell.push_back({{operations_[at(b + 2)], at(b)}, {operations_[at(b + 3)], at(b + 1)}, combination == "concat"});
    }
    return cell;
  }

  std::pair<Cell, Cell> to_cells(const weft::Genotype& genotype) const {
    walk(genotype);
    const std::span<const std::int32_t> taken = genotype.decisions;
    return {to_cell(taken.first(taken.size() / 2)), to_cell(taken.subspan(taken.size() / 2))};
  }

  void read_block(weft::NotationReader& reader, std::size_t block, std::vector<std::int32_t>& taken) const {
    std::int32_t inputs[2];
    std::int32_t operations[2];
    std::string combination;
    for (int side = 0; side < 2; ++side) {
      if (side == 1) {
        combination = reader.accept("|") ? "concat" : "add";
        if (combination == "add") reader.expect("+");
      }
      operations[side] = static_cast<std::int32_t>(reader.option(operations_, "an operation"));
      reader.expect("@");
      const std::int64_t state = reader.integer("the number of a state");
      if (state < 0 || state >= static_cast<std::int64_t>(2 + block)) {
        reader.fail("a state from 0 to " + std::to_string(block + 1) + " before this");
      }
      inputs[side] = static_cast<std::int32_t>(state);
    }
    const auto found = std::find(combinations_.begin(), combinations_.end(), combination);
    if (found == combinations_.end()) reader.fail("blocks that are combined by " + combinations_.front());
    taken.insert(taken.end(), {inputs[0], inputs[1], operations[0], operations[1]});
    if (parts() == 5) taken.push_back(static_cast<std::int32_t>(found - combinations_.begin()));
  }

  std::size_t blocks_;
  std::vector<std::string> operations_;
  std::vector<std::string> combinations_;
  double identity_probability_;
  nasnet::Network network_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Nasnet>("nasnet"))
