#include "bench/training/networks.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "weft/blocks.hpp"

namespace weft::bench {
namespace {

using blocks::Convolution;

constexpr std::int64_t classes = 10;
const Shape grey = Shape::image(1, 28, 28);
const Shape colour = Shape::image(3, 32, 32);

// Three stages of convolution, batch norm, ReLU and pooling, each twice as wide.
Architecture plain(const Shape& input, std::int64_t channels) {
  ArchitectureBuilder graph;
  NodeId x = graph.input(input);
  for (int stage = 0; stage < 3; ++stage, channels *= 2) {
    x = blocks::conv_bn_relu(graph, x, Convolution::square(channels, 3));
    x = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {x});
  }
  return std::move(graph).build(blocks::classifier(graph, x, classes));
}

// Depthwise and pointwise convolutions in turns, as in MobileNet (Howard et al. 2017, Table 1), scaled to small images.
Architecture depthwise_separable() {
  ArchitectureBuilder graph;
  NodeId x = blocks::conv_bn_relu(graph, graph.input(colour), Convolution::square(32, 3));
  struct Layer {
    std::int64_t channels, stride;
  };
  for (const auto [channels, stride] : std::array<Layer, 5>{{{64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}}}) {
    Convolution depthwise = Convolution::square(graph.shape(x).channels, 3, stride);
    depthwise.groups = depthwise.channels;
    x = blocks::conv_bn_relu(graph, x, depthwise);
    x = blocks::conv_bn_relu(graph, x, Convolution::square(channels, 1));
  }
  return std::move(graph).build(blocks::classifier(graph, x, classes));
}

// Two operations on two of the states before, added. State 0 is the output of the cell before, state 1 that of the one
// before it, block i makes state i + 2.
struct Block {
  int left;
  const char* left_operation;
  int right;
  const char* right_operation;
};
// The cell's output are its blocks' states side by side: those that no block reads, or all.
struct Cell {
  std::vector<Block> blocks;
  bool all;
};
struct Cells {
  Cell normal, reduction;
};

// NASNet-A (Zoph et al. 2018, Fig. 4).
const Cells nasnet = {{{{0, "sep_conv_3x3", 0, "identity"},
                        {1, "sep_conv_3x3", 0, "sep_conv_5x5"},
                        {0, "average", 1, "identity"},
                        {1, "average", 1, "average"},
                        {1, "sep_conv_5x5", 1, "sep_conv_3x3"}},
                       false},
                      {{{0, "sep_conv_5x5", 1, "sep_conv_7x7"},
                        {0, "maximum", 1, "sep_conv_7x7"},
                        {0, "average", 1, "sep_conv_5x5"},
                        {0, "maximum", 2, "sep_conv_3x3"},
                        {2, "average", 3, "identity"}},
                       false}};

// DARTS, first order (Liu et al. 2019; quark0/darts, DARTS_V1).
const Cells darts = {{{{0, "sep_conv_3x3", 1, "sep_conv_3x3"},
                       {1, "identity", 0, "sep_conv_3x3"},
                       {1, "identity", 0, "sep_conv_3x3"},
                       {1, "sep_conv_3x3", 2, "identity"}},
                      true},
                     {{{1, "maximum", 0, "maximum"},
                       {2, "identity", 1, "maximum"},
                       {1, "maximum", 2, "identity"},
                       {2, "identity", 1, "average"}},
                      true}};

// Cells as the pipeline `quickstart` finds them.
const Cells quickstart = {
    {{{0, "conv_3x3", 1, "identity"}, {0, "sep_conv_3x3", 0, "maximum"}, {1, "average", 2, "conv_3x3"}}, false},
    {{{0, "conv_3x3", 1, "maximum"}, {1, "sep_conv_3x3", 0, "identity"}, {2, "conv_3x3", 0, "average"}}, false}};

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, std::string_view operation, std::int64_t stride) {
  const std::int64_t channels = graph.shape(input).channels;
  if (operation == "identity" && stride > 1) return blocks::factorized_reduction(graph, input, channels);
  if (operation == "identity") return graph.add("identity", {}, {input});
  if (operation == "conv_3x3") return blocks::relu_conv_bn(graph, input, Convolution::square(channels, 3, stride));
  if (operation == "average") return blocks::pool(graph, input, "avg_pool", 3, stride);
  if (operation == "maximum") return blocks::pool(graph, input, "max_pool", 3, stride);
  return blocks::separable_conv(graph, input, channels, blocks::square_kernel(operation), stride);
}

NodeId add_cell(ArchitectureBuilder& graph, const Cells& cells, NodeId before, NodeId previous, std::int64_t channels,
                bool reduction) {
  const Cell& cell = reduction ? cells.reduction : cells.normal;
  std::vector<NodeId> states;
  states.push_back(blocks::relu_conv_bn(graph, previous, Convolution::square(channels, 1)));
  states.push_back(graph.shape(before).height == graph.shape(previous).height
                       ? blocks::relu_conv_bn(graph, before, Convolution::square(channels, 1))
                       : blocks::factorized_reduction(graph, before, channels));
  std::vector<bool> read(2 + cell.blocks.size());
  int number = 0;
  for (const Block& block : cell.blocks) {
    const auto group = graph.group("block " + std::to_string(++number));
    const auto operand = [&](int state, std::string_view operation) {
      read[static_cast<std::size_t>(state)] = true;
      return add_operation(graph, states[static_cast<std::size_t>(state)], operation, reduction && state < 2 ? 2 : 1);
    };
    const NodeId left = operand(block.left, block.left_operation);
    states.push_back(graph.add("add", {}, {left, operand(block.right, block.right_operation)}));
  }
  std::vector<NodeId> loose;
  for (std::size_t state = 2; state < states.size(); ++state) {
    if (cell.all || !read[state]) loose.push_back(states[state]);
  }
  return graph.add("concat", {}, loose);
}

struct Size {
  Shape input = colour;
  std::int64_t channels = 16;  // of the first cells; each reduction doubles them
  std::int64_t stem = 48;
};

Architecture of_cells(const Cells& cells, const std::vector<bool>& reductions, bool last_relu, const Size& size = {}) {
  ArchitectureBuilder graph;
  NodeId previous = graph.input(size.input);
  std::int64_t channels = size.channels;
  {
    const auto group = graph.group("stem");
    previous = blocks::batch_norm(graph, blocks::convolution(graph, previous, Convolution::square(size.stem, 3)));
  }
  NodeId before = previous;
  int number = 0;
  for (const bool reduction : reductions) {
    const auto group = graph.group((reduction ? "reduction " : "normal ") + std::to_string(++number));
    if (reduction) channels *= 2;
    before = std::exchange(previous, add_cell(graph, cells, before, previous, channels, reduction));
  }
  if (last_relu) previous = blocks::relu(graph, previous);
  return std::move(graph).build(blocks::classifier(graph, previous, classes));
}

}  // namespace

std::vector<NamedNetwork> networks() {
  return {{"plain", plain(grey, 32)},
          {"tiny", plain(grey, 8)},
          {"cells", of_cells(nasnet, {false, true, false, true, false}, true)},
          {"darts", of_cells(darts, {false, false, true, false, false, true, false, false}, false)},
          {"quickstart", of_cells(quickstart, {false, true, false, true, false}, true, {grey, 8, 8})},
          {"separable", depthwise_separable()}};
}

}  // namespace weft::bench
