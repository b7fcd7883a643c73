// NAS-Bench-201: a cell of four nodes, one of five operations on each of its six edges, in a fixed macro skeleton.
//
// Dong, Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", section 2 and
// Fig. 1. The benchmark counts the parameters of all edges, also of those that do not reach the cell's output. So they
// stay in the graph: a node that nobody reads enters the cell's output through its `none` edge, as zeros.
//
// The supernet has all five operations on every edge, `none` as zeros, as the benchmark's authors search
// (D-X-Y/AutoDL-Projects, NAS201SearchCell). Batch norms of its candidates have no scale and shift, as theirs; those of
// the skeleton have.

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::NodeId;

const std::vector<std::string> operations = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};
constexpr int none = 0;
constexpr std::size_t nodes = 4;  // node 0 is the cell's input, node 3 its output
constexpr std::size_t edges = nodes * (nodes - 1) / 2;

// The edges in the order of the notation: those into node 1, into node 2, into node 3.
constexpr std::size_t edge(std::size_t from, std::size_t to) { return to * (to - 1) / 2 + from; }
std::string edge_name(std::size_t from, std::size_t to) {
  return "edge " + std::to_string(from) + "-" + std::to_string(to);
}

NodeId add_operation(ArchitectureBuilder& graph, NodeId input, const std::string& operation, bool affine = true) {
  const auto group = graph.own_group(operation);
  const std::int64_t channels = graph.shape(input).channels;
  if (operation == "none") return graph.add("zero", {}, {input});
  if (operation == "skip_connect") return graph.add("identity", {}, {input});
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3);
  return blocks::relu_conv_bn(graph, input, blocks::Convolution::square(channels, operation == "nor_conv_1x1" ? 1 : 3),
                              affine);
}

NodeId add_cell(ArchitectureBuilder& graph, NodeId input, const std::vector<std::int32_t>& taken) {
  std::array<NodeId, nodes> value = {input};
  std::array<bool, nodes> read = {true};
  for (std::size_t to = 1; to < nodes; ++to) {
    const auto group = graph.group("node " + std::to_string(to));
    std::vector<NodeId> sum;
    for (std::size_t from = 0; from < to; ++from) {
      const std::int32_t operation = taken[edge(from, to)];
      if (operation != none) {
        sum.push_back(add_operation(graph, value[from], operations[static_cast<std::size_t>(operation)]));
        read[from] = true;
      } else if (to + 1 == nodes && !read[from]) {
        sum.push_back(graph.add("zero", {}, {value[from]}));
      }
    }
    if (sum.empty()) sum.push_back(graph.add("zero", {}, {input}));
    value[to] = sum.size() == 1 ? sum.front() : graph.add("add", {}, sum);
  }
  return value.back();
}

// The cell with all operations on every edge.
NodeId add_supernet_cell(ArchitectureBuilder& graph, NodeId input, bool affine) {
  std::array<NodeId, nodes> value = {input};
  for (std::size_t to = 1; to < nodes; ++to) {
    const auto group = graph.group("node " + std::to_string(to));
    std::vector<NodeId> sum;
    for (std::size_t from = 0; from < to; ++from) {
      const std::string decision = edge_name(from, to);
      const auto edge_group = graph.group(decision);
      std::vector<NodeId> candidates;
      for (const std::string& operation : operations)
        candidates.push_back(add_operation(graph, value[from], operation, affine));
      sum.push_back(graph.add("choice", {{"decision", decision}, {"options", operations}}, candidates));
    }
    value[to] = sum.size() == 1 ? sum.front() : graph.add("add", {}, sum);
  }
  return value.back();
}

// The residual block between stages: half the extent, twice the channels.
NodeId add_residual_block(ArchitectureBuilder& graph, NodeId input) {
  const std::int64_t channels = 2 * graph.shape(input).channels;
  const NodeId first = blocks::relu_conv_bn(graph, input, blocks::Convolution::square(channels, 3, 2));
  const NodeId second = blocks::relu_conv_bn(graph, first, blocks::Convolution::square(channels, 3));
  // Rounding up matters for odd extents alone, where the shortcut would come out smaller than the convolutions.
  const NodeId pooled = graph.add("avg_pool", {{"kernel", 2}, {"stride", 2}, {"ceil", true}}, {input});
  const NodeId shortcut = blocks::convolution(graph, pooled, blocks::Convolution::square(channels, 1));
  return graph.add("add", {}, {shortcut, second});
}

class NasBench201 final : public weft::DecisionSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit NasBench201(const weft::Context& context)
      : channels_(context.get<std::int64_t>("channels")),
        cells_(context.get<int>("cells")),
        supernet_affine_(context.get<bool>("supernet_affine")),
        task_(context.task()) {
    if (!task_.input.is_image() || std::min(task_.input.height, task_.input.width) < 3) {
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() +
                               "; nas_bench_201 halves an image twice and needs one of at least 3 x 3");
    }
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= edges) return {};
    std::size_t to = 1;
    while (edge(0, to + 1) <= taken.size()) ++to;
    const std::size_t from = taken.size() - edge(0, to);
    return weft::Decision{.name = edge_name(from, to),
                          .group = "operation",
                          .options = operations,
                          .step = static_cast<int>(taken.size())};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    return {
        skeleton([&](ArchitectureBuilder& graph, NodeId input) { return add_cell(graph, input, genotype.decisions); })};
  }

  // The benchmark's own string: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, where the number is the edge's source.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    for (std::size_t to = 1; to < nodes; ++to) {
      text += to > 1 ? "+|" : "|";
      for (std::size_t from = 0; from < to; ++from) {
        text +=
            operations[static_cast<std::size_t>(genotype.decisions[edge(from, to)])] + "~" + std::to_string(from) + "|";
      }
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|");
    weft::Genotype genotype;
    for (std::size_t to = 1; to < nodes; ++to) {
      if (to > 1) reader.expect("+");
      reader.expect("|");
      for (std::size_t from = 0; from < to; ++from) {
        genotype.decisions.push_back(static_cast<std::int32_t>(reader.option(operations, "an operation")));
        reader.expect("~");
        reader.expect(std::to_string(from));
        reader.expect("|");
      }
    }
    reader.expect_end();
    return genotype;
  }

  weft::Architecture supernet() const override {
    return skeleton(
        [&](ArchitectureBuilder& graph, NodeId input) { return add_supernet_cell(graph, input, supernet_affine_); });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    walk(genotype);
    weft::SupernetPath path;
    for (std::size_t to = 1; to < nodes; ++to) {
      for (std::size_t from = 0; from < to; ++from) path[edge_name(from, to)] = {genotype.decisions[edge(from, to)]};
    }
    return path;
  }

  // On each edge the operation of the largest weight, the first of equals.
  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    weft::Genotype genotype;
    for (std::size_t to = 1; to < nodes; ++to) {
      for (std::size_t from = 0; from < to; ++from) {
        const std::vector<double>& of_edge = weft::weights_of(weights, edge_name(from, to), operations.size());
        genotype.decisions.push_back(
            static_cast<std::int32_t>(std::max_element(of_edge.begin(), of_edge.end()) - of_edge.begin()));
      }
    }
    return genotype;
  }

 private:
  // Stem, three stages of cells, classifier; `add_cell` adds one that reads the node it is given.
  weft::Architecture skeleton(const std::function<NodeId(ArchitectureBuilder&, NodeId)>& add_cell) const {
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = blocks::batch_norm(graph, blocks::convolution(graph, x, blocks::Convolution::square(channels_, 3)));
    }
    for (int stage = 0; stage < 3; ++stage) {
      if (stage > 0) {
        const auto group = graph.group("residual " + std::to_string(stage));
        x = add_residual_block(graph, x);
      }
      for (int cell = 1; cell <= cells_; ++cell) {
        const auto group = graph.group("cell " + std::to_string(stage * cells_ + cell));
        x = add_cell(graph, x);
      }
    }
    {
      const auto group = graph.group("classifier");
      x = blocks::relu(graph, blocks::batch_norm(graph, x));
    }
    x = blocks::classifier(graph, x, task_.classes);
    return std::move(graph).build(x);
  }

  std::int64_t channels_;
  int cells_;
  bool supernet_affine_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<NasBench201>("nas_bench_201"))
