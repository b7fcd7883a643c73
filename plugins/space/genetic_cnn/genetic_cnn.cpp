// The space of Genetic CNN: stages of ordered nodes, each a convolution, and one bit for every pair of nodes of a stage
// that says whether the earlier one feeds the later one.
//
// Xie, Yuille 2017, "Genetic CNN", section 3.1; bits ordered by the node they lead to, as written in the paper's Figure
// 1. The stages are the decisions' steps, since crossover exchanges them whole (section 3.2.4). Where the paper leaves
// room (kernel of a stage's input, kernel of the pooling, what precedes the classifier) there are options.

#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::NodeId;

// A stage's nodes are 1 .. K; its bits are those into node 2, into node 3, and so on.
constexpr std::size_t bit_of(std::size_t from, std::size_t to) { return (to - 1) * (to - 2) / 2 + from - 1; }
constexpr std::size_t bits_of_stage(std::size_t nodes) { return nodes * (nodes - 1) / 2; }

struct Stage {
  std::size_t nodes;
  std::int64_t filters;
  std::span<const std::int32_t> bits;

  bool connected(std::size_t from, std::size_t to) const { return bits[bit_of(from, to)] == 1; }

  std::vector<std::size_t> predecessors(std::size_t node) const {
    std::vector<std::size_t> found;
    for (std::size_t from = 1; from < node; ++from) {
      if (connected(from, node)) found.push_back(from);
    }
    return found;
  }
  bool has_successor(std::size_t node) const {
    for (std::size_t to = node + 1; to <= nodes; ++to) {
      if (connected(node, to)) return true;
    }
    return false;
  }
};

NodeId sum(ArchitectureBuilder& graph, const std::vector<NodeId>& terms) {
  return terms.size() == 1 ? terms.front() : graph.add("add", {}, terms);
}

// Node 0 is the stage's default input and node K + 1 its default output, as in the paper's Figure 1. An isolated node
// is none; without any other the default output is none either, and the stage is a single convolution (section 3.1.2).
NodeId add_stage(ArchitectureBuilder& graph, NodeId input, const Stage& stage, std::int64_t input_kernel) {
  const auto add_node = [&](std::size_t number, const std::vector<NodeId>& terms) {
    const auto group = graph.group("node " + std::to_string(number));
    const std::int64_t kernel = number == 0 ? input_kernel : 3;
    return blocks::conv_bn_relu(graph, sum(graph, terms), blocks::Convolution::square(stage.filters, kernel));
  };
  std::vector<NodeId> values = {add_node(0, {input})};
  std::vector<NodeId> unread;
  for (std::size_t node = 1; node <= stage.nodes; ++node) {
    const std::vector<std::size_t> predecessors = stage.predecessors(node);
    const bool read = stage.has_successor(node);
    if (predecessors.empty() && !read) {
      values.push_back(-1);
      continue;
    }
    std::vector<NodeId> terms;
    terms.reserve(predecessors.size());
    for (const std::size_t from : predecessors) terms.push_back(values[from]);
    if (terms.empty()) terms.push_back(values[0]);
    values.push_back(add_node(node, terms));
    if (!read) unread.push_back(values.back());
  }
  return unread.empty() ? values[0] : add_node(stage.nodes + 1, unread);
}

class GeneticCnn final : public weft::DecisionSpace {
 public:
  explicit GeneticCnn(const weft::Context& context)
      : nodes_(context.get<std::vector<std::size_t>>("nodes")),
        filters_(context.get<std::vector<std::int64_t>>("filters")),
        input_kernel_(context.get<std::int64_t>("input_kernel")),
        pool_kernel_(context.get<std::int64_t>("pool_kernel")),
        neurons_(context.get<std::vector<std::int64_t>>("neurons")),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    if (nodes_.size() != filters_.size()) {
      throw weft::InvalidInput("/filters has " + std::to_string(filters_.size()) +
                               " entries; must have one for each of the " + std::to_string(nodes_.size()) +
                               " stages in /nodes");
    }
    weft::require::image(task_.input, "genetic_cnn", weft::require::before_halvings(nodes_.size()),
                         "give fewer stages in /nodes and /filters");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    std::size_t at = taken.size();
    std::size_t stage = 0;
    while (stage < nodes_.size() && at >= bits_of_stage(nodes_[stage])) at -= bits_of_stage(nodes_[stage++]);
    if (stage == nodes_.size()) return {};
    std::size_t to = 2;
    while (bit_of(1, to + 1) <= at) ++to;
    const std::size_t from = at - bit_of(1, to) + 1;
    return weft::Decision{
        .name = "stage " + std::to_string(stage + 1) + "/" + std::to_string(from) + "-" + std::to_string(to),
        .group = "connection",
        .options = {"0", "1"},
        .step = static_cast<int>(stage)};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    const std::vector<Stage> stages = to_stages(genotype);
    for (std::size_t s = 0; s < stages.size(); ++s) {
      const auto group = graph.group("stage " + std::to_string(s + 1));
      x = blocks::pool(graph, add_stage(graph, x, stages[s], input_kernel_), "max_pool", pool_kernel_, 2);
    }
    return {std::move(graph).build(add_classifier(graph, x))};
  }

  // 1-01|1-01-111|..: the bits into node 2, into node 3, .. of each stage.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    for (const Stage& stage : to_stages(genotype)) {
      if (!text.empty()) text += '|';
      for (std::size_t to = 2; to <= stage.nodes; ++to) {
        if (to > 2) text += '-';
        for (std::size_t from = 1; from < to; ++from) text += stage.connected(from, to) ? '1' : '0';
      }
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "1-01|.., nodes in the stages: " + weft::Json(nodes_).dump());
    weft::Genotype genotype;
    for (std::size_t stage = 0; stage < nodes_.size(); ++stage) {
      if (stage > 0) reader.expect("|");
      for (std::size_t to = 2; to <= nodes_[stage]; ++to) {
        if (to > 2) reader.expect("-");
        for (std::size_t from = 1; from < to; ++from) genotype.decisions.push_back(read_bit(reader, from, to));
      }
    }
    reader.expect_end();
    return genotype;
  }

 private:
  static std::int32_t read_bit(weft::NotationReader& reader, std::size_t from, std::size_t to) {
    if (reader.accept("1")) return 1;
    if (reader.accept("0")) return 0;
    reader.fail("0 or 1, whether node " + std::to_string(from) + " feeds node " + std::to_string(to));
  }

  std::vector<Stage> to_stages(const weft::Genotype& genotype) const {
    std::span<const std::int32_t> rest = genotype.decisions;
    std::vector<Stage> stages;
    for (std::size_t s = 0; s < nodes_.size(); ++s) {
      const std::size_t bits = bits_of_stage(nodes_[s]);
      stages.push_back({nodes_[s], filters_[s], rest.first(bits)});
      rest = rest.subspan(bits);
    }
    return stages;
  }

  NodeId add_classifier(ArchitectureBuilder& graph, NodeId x) const {
    if (neurons_.empty()) return blocks::classifier(graph, x, task_.classes);
    const auto group = graph.group("classifier");
    x = graph.add("flatten", {}, {x});
    for (const std::int64_t neurons : neurons_) {
      x = blocks::relu(graph, graph.add("linear", {{"features", neurons}}, {x}));
      if (dropout_ > 0.0) x = graph.add("dropout", {{"probability", dropout_}}, {x});
    }
    return graph.add("linear", {{"features", task_.classes}}, {x});
  }

  std::vector<std::size_t> nodes_;     // K_s
  std::vector<std::int64_t> filters_;  // of each stage
  std::int64_t input_kernel_;
  std::int64_t pool_kernel_;
  std::vector<std::int64_t> neurons_;
  double dropout_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<GeneticCnn>("genetic_cnn"))
