#include "network.hpp"

#include <functional>
#include <utility>

#include "weft/blocks.hpp"

namespace one_shot {
namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, std::int64_t stride) {
  const std::int64_t filters = graph.shape(input).channels;
  if (operation == "identity") {
    return stride == 1 ? graph.add("identity", {}, {input}) : blocks::factorized_reduction(graph, input, filters);
  }
  if (operation == "max_pool_3x3") return blocks::pool(graph, input, "max_pool", 3, stride);
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3, stride);
  if (operation == "conv_1x7_7x1") return blocks::factorized_conv(graph, input, filters, 7, stride);
  return blocks::separable_conv(graph, input, filters, blocks::square_kernel(operation), stride);
}

NodeId halved(ArchitectureBuilder& graph, NodeId input) {
  return graph.add("avg_pool", {{"kernel", 2}, {"stride", 2}, {"ceil", true}}, {input});
}

// A cell where it stands.
struct Place {
  std::size_t type;
  std::int64_t filters;
  bool strided;  // its operations on states 0 and 1 halve the extent

  std::int64_t stride(std::size_t state) const { return strided && state < 2 ? 2 : 1; }
};

// What a block adds up.
using AddTerms = std::function<std::vector<NodeId>(ArchitectureBuilder& graph, const std::vector<NodeId>& states,
                                                   std::size_t block, const Place& place)>;

// The states 0 and 1, of one extent and the place's filters.
std::vector<NodeId> cell_inputs(ArchitectureBuilder& graph, NodeId before, NodeId previous, std::int64_t filters) {
  const auto group = graph.group("inputs");
  const Convolution pointwise = Convolution::square(filters, 1);
  const weft::Shape larger = graph.shape(before), reference = graph.shape(previous);
  const bool same = larger.height == reference.height && larger.width == reference.width;
  const NodeId first =
      same ? blocks::relu_conv_bn(graph, before, pointwise) : blocks::factorized_reduction(graph, before, filters);
  return {first, blocks::relu_conv_bn(graph, previous, pointwise)};
}

NodeId add_cell(ArchitectureBuilder& graph, NodeId before, NodeId previous, std::size_t block_count, const Place& place,
                const AddTerms& add_terms) {
  std::vector<NodeId> states = cell_inputs(graph, before, previous, place.filters);
  for (std::size_t block = 0; block < block_count; ++block) {
    const auto group = graph.group("block " + std::to_string(block + 1));
    const std::vector<NodeId> terms = add_terms(graph, states, block, place);
    states.push_back(terms.size() == 1 ? terms.front() : graph.add("add", {}, terms));
  }
  return graph.add("concat", {}, std::span(states).subspan(2));
}

// Stem, cells, classifier.
weft::Architecture stack(const Network& network, const weft::Task& task, const AddTerms& add_terms) {
  ArchitectureBuilder graph;
  NodeId previous = graph.input(task.input);
  {
    const auto group = graph.group("stem");
    previous = blocks::conv_bn(graph, previous, Convolution::square(network.filters, 3));
  }
  NodeId before = previous;
  Place place{0, network.filters, false};
  for (std::int64_t cell = 0; cell < network.cells; ++cell) {
    const bool reduces = cell == network.cells / 3 || cell == 2 * network.cells / 3;
    if (reduces) place.filters *= 2;
    if (reduces && network.reduction == Reduction::pool) {
      const auto group = graph.group("pooling before cell " + std::to_string(cell + 1));
      before = halved(graph, before);
      previous = halved(graph, previous);
    }
    place.strided = reduces && network.reduction == Reduction::cell;
    place.type = place.strided ? 1 : 0;
    const auto group = graph.group(network.types()[place.type] + " " + std::to_string(cell + 1));
    before = std::exchange(previous, add_cell(graph, before, previous, network.blocks, place, add_terms));
  }
  return std::move(graph).build(blocks::classifier(graph, blocks::relu(graph, previous), task.classes));
}

}  // namespace

weft::Architecture build(const Network& network, const std::vector<Cell>& cells, const weft::Task& task) {
  return stack(
      network, task,
      [&](ArchitectureBuilder& graph, const std::vector<NodeId>& states, std::size_t block, const Place& place) {
        std::vector<NodeId> terms;
        for (const Pair& pair : cells[place.type][block]) {
          terms.push_back(
              add_operation(graph, states[pair.state], network.operations[pair.operation], place.stride(pair.state)));
        }
        return terms;
      });
}

weft::Architecture build_supernet(const Network& network, const weft::Task& task) {
  std::vector<std::string> options = {"none"};
  options.insert(options.end(), network.operations.begin(), network.operations.end());
  return stack(
      network, task,
      [&](ArchitectureBuilder& graph, const std::vector<NodeId>& states, std::size_t block, const Place& place) {
        const std::string type = network.types()[place.type];
        std::vector<NodeId> terms;
        for (std::size_t state = 0; state < states.size(); ++state) {
          const auto group = graph.group("input " + std::to_string(state));
          const std::int64_t stride = place.stride(state);
          std::vector<NodeId> candidates = {graph.add("zero", {{"stride", stride}}, {states[state]})};
          for (const std::string& operation : network.operations)
            candidates.push_back(add_operation(graph, states[state], operation, stride));
          terms.push_back(
              graph.add("choice", {{"decision", decision_of(type, block, state)}, {"options", options}}, candidates));
        }
        return terms;
      });
}

}  // namespace one_shot
