// Hierarchical representations: a motif is a small graph whose edges carry operations; the operations of one level are
// the motifs of the level below, and those of the lowest are primitives. The one motif of the highest level is the
// cell.
//
// Liu, Simonyan, Vinyals, Fernando, Kavukcuoglu 2018, "Hierarchical Representations for Efficient Architecture Search",
// sections 2 and 3, and section 4.1 for the networks. A node concatenates what enters it, and a 1x1 convolution
// restores the number of channels; another follows every motif that is an edge of a higher one. A node that nothing
// enters passes nothing on; if that goes for the end of the cell, the cell's output is zeros, as such a genotype must
// have a network too. What the paper leaves open is as in an independent implementation (negrinho/deep_architect),
// except that a node with a single input has nothing to merge and no convolution.

#include <algorithm>
#include <optional>
#include <string>
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

// Option 0 of every edge is that there is none; then come the operations of the level below.
const std::vector<std::string> primitives = {
    "none", "conv_1x1", "depthwise_conv_3x3", "sep_conv_3x3", "max_pool_3x3", "avg_pool_3x3", "identity"};
constexpr std::int32_t none = 0;
constexpr std::int32_t identity = 6;

struct Level {
  std::size_t motifs;
  std::size_t nodes;
  std::vector<std::string> operations;  // that an edge of its motifs may carry
  std::size_t first_decision;

  std::size_t edges() const { return nodes * (nodes - 1) / 2; }
};

// Edges in the order of their decisions: into node 1, into node 2, ..
constexpr std::size_t edge(std::size_t from, std::size_t to) { return to * (to - 1) / 2 + from; }

NodeId separable_conv(ArchitectureBuilder& graph, NodeId input, std::int64_t channels, std::int64_t stride) {
  const NodeId spatial =
      blocks::convolution(graph, input, Convolution::depthwise(graph.shape(input).channels, 3, stride));
  return blocks::conv_bn_relu(graph, spatial, Convolution::square(channels, 1));
}

NodeId add_primitive(ArchitectureBuilder& graph, NodeId input, const std::string& operation) {
  const auto group = graph.own_group(operation);
  const std::int64_t channels = graph.shape(input).channels;
  if (operation == "conv_1x1") return blocks::conv_bn_relu(graph, input, Convolution::square(channels, 1));
  if (operation == "depthwise_conv_3x3") return blocks::conv_bn_relu(graph, input, Convolution::depthwise(channels, 3));
  if (operation == "sep_conv_3x3") return separable_conv(graph, input, channels, 1);
  if (operation == "max_pool_3x3") return blocks::pool(graph, input, "max_pool", 3);
  if (operation == "avg_pool_3x3") return blocks::pool(graph, input, "avg_pool", 3);
  return graph.add("identity", {}, {input});
}

NodeId merge(ArchitectureBuilder& graph, const std::vector<NodeId>& inputs) {
  if (inputs.size() == 1) return inputs.front();
  const std::int64_t channels = graph.shape(inputs.front()).channels;
  return blocks::conv_bn_relu(graph, graph.add("concat", {}, inputs), Convolution::square(channels, 1));
}

class Hierarchical final : public weft::DecisionSpace {
 public:
  explicit Hierarchical(const weft::Context& context)
      : channels_(context.get<std::int64_t>("channels")),
        resolutions_(context.get<int>("resolutions")),
        cells_(context.get<int>("cells")),
        initial_mutations_(context.get<int>("initial_mutations")),
        task_(context.task()) {
    std::vector<std::string> operations = primitives;
    for (const weft::Json& level : context.configuration().at("levels")) {
      levels_.push_back({level.at("motifs"), level.at("nodes"), operations, decision_count()});
      operations = {primitives[none]};
      for (std::size_t m = 1; m <= levels_.back().motifs; ++m) operations.push_back("motif_" + std::to_string(m));
    }
    check_levels();
    check_task();
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= decision_count()) return {};
    std::size_t l = levels_.size() - 1;
    while (levels_[l].first_decision > taken.size()) --l;
    const Level& level = levels_[l];
    const std::size_t motif = (taken.size() - level.first_decision) / level.edges();
    const std::size_t at = (taken.size() - level.first_decision) % level.edges();
    std::size_t to = 1;
    while (edge(0, to + 1) <= at) ++to;
    const std::string number = std::to_string(l + 2);  // the primitives are level 1
    return weft::Decision{.name = "level " + number + "/motif " + std::to_string(motif + 1) + "/edge " +
                                  std::to_string(at - edge(0, to)) + "-" + std::to_string(to),
                          .group = "level " + number,
                          .options = level.operations,
                          .step = static_cast<int>(first_motif(l) + motif)};
  }

  // Chains of identities, mutated many times (section 3.1).
  weft::Genotype sample(weft::Rng& rng) const override {
    weft::Genotype genotype = identity_chains();
    for (int i = 0; i < initial_mutations_; ++i) mutate_once(genotype, rng);
    return genotype;
  }

  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    walk(parent);
    weft::Genotype child = parent;
    mutate_once(child, rng);
    return child;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::int64_t channels = channels_;
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = blocks::conv_bn_relu(graph, x, Convolution::square(channels, 3));
    }
    const int count = resolutions_ * cells_;
    for (int cell = 1; cell <= count; ++cell) {
      {
        const auto group = graph.group("cell " + std::to_string(cell));
        x = add_cell(graph, x, genotype);
      }
      const bool reduces = cell % cells_ == 0;
      if (reduces) channels *= 2;
      const auto group = graph.group((reduces ? "reduction " : "between ") + std::to_string(cell));
      const auto convolution = graph.own_group("sep_conv_3x3");
      x = separable_conv(graph, x, channels, reduces ? 2 : 1);
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  // Level by level, from the lowest: motifs in brackets, in them the edges into node 1 | into node 2 | ..
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    auto taken = genotype.decisions.begin();
    for (const Level& level : levels_) {
      if (!text.empty()) text += " /";
      for (std::size_t motif = 0; motif < level.motifs; ++motif) {
        text += text.empty() ? "[" : " [";
        for (std::size_t to = 1; to < level.nodes; ++to) {
          for (std::size_t from = 0; from < to; ++from) {
            text += (from > 0 ? " " : to > 1 ? " | " : "") + level.operations[static_cast<std::size_t>(*taken++)];
          }
        }
        text += "]";
      }
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                "[conv_1x1 | none identity] .. / [motif_1 | none motif_2], for each level its motifs, "
                                "for each motif the operations on the edges into its nodes");
    weft::Genotype genotype;
    for (const Level& level : levels_) {
      if (&level != &levels_.front()) reader.expect("/");
      for (std::size_t motif = 0; motif < level.motifs; ++motif) {
        reader.expect("[");
        for (std::size_t to = 1; to < level.nodes; ++to) {
          if (to > 1) reader.expect("|");
          for (std::size_t from = 0; from < to; ++from) {
            genotype.decisions.push_back(static_cast<std::int32_t>(reader.option(level.operations, "an operation")));
          }
        }
        reader.expect("]");
      }
    }
    reader.expect_end();
    return genotype;
  }

 private:
  void check_task() const {
    std::int64_t smallest = 2;
    for (int reduction = 1; reduction < resolutions_; ++reduction) smallest = weft::require::before_stride(smallest, 2);
    weft::require::image(task_.input, "hierarchical", smallest,
                         "lower /resolutions, " + std::to_string(resolutions_) + ", each of which halves it");
  }

  void check_levels() const {
    if (levels_.back().motifs != 1) {
      throw weft::InvalidInput("/levels: the last level has " + std::to_string(levels_.back().motifs) +
                               " motifs; must have 1, the cell");
    }
    constexpr std::size_t limit = 10000;  // the paper's cells: 60 and 55
    std::size_t operations = 1;
    for (const Level& level : levels_) operations *= level.edges();
    if (operations > limit) {
      throw weft::InvalidInput("/levels: a cell may have " + std::to_string(operations) +
                               " operations; must be at most " + std::to_string(limit) +
                               "; take fewer levels or nodes");
    }
  }

  std::size_t decision_count() const {
    return levels_.empty() ? 0 : levels_.back().first_decision + levels_.back().motifs * levels_.back().edges();
  }

  std::size_t first_motif(std::size_t level) const {
    std::size_t motifs = 0;
    for (std::size_t l = 0; l < level; ++l) motifs += levels_[l].motifs;
    return motifs;
  }

  // Each node reads the one before it alone, through the identity, and through the first motif in higher levels.
  weft::Genotype identity_chains() const {
    weft::Genotype genotype;
    genotype.decisions.resize(decision_count(), none);
    for (const Level& level : levels_) {
      for (std::size_t motif = 0; motif < level.motifs; ++motif) {
        for (std::size_t to = 1; to < level.nodes; ++to) {
          genotype.decisions[level.first_decision + motif * level.edges() + edge(to - 1, to)] =
              &level == &levels_.front() ? identity : 1;
        }
      }
    }
    return genotype;
  }

  // A level, a motif of it, a node and one before it, and the operation between them: each uniform (section 3.1). The
  // operation may be the one that was there.
  void mutate_once(weft::Genotype& genotype, weft::Rng& rng) const {
    const Level& level = rng.choice(levels_);
    const std::size_t motif = rng.below(level.motifs);
    const std::size_t to = 1 + rng.below(level.nodes - 1);
    const std::size_t from = rng.below(to);
    genotype.decisions[level.first_decision + motif * level.edges() + edge(from, to)] =
        static_cast<std::int32_t>(rng.below(level.operations.size()));
  }

  NodeId add_cell(ArchitectureBuilder& graph, NodeId input, const weft::Genotype& genotype) const {
    const std::optional<NodeId> output = add_motif(graph, input, genotype, levels_.size() - 1, 0);
    return output ? *output : graph.add("zero", {}, {input});
  }

  // Nothing where the motif's last node is not reached from its first.
  std::optional<NodeId> add_motif(ArchitectureBuilder& graph, NodeId input, const weft::Genotype& genotype,
                                  std::size_t l, std::size_t motif) const {
    const Level& level = levels_[l];
    std::vector<std::optional<NodeId>> values = {input};
    for (std::size_t to = 1; to < level.nodes; ++to) {
      std::vector<NodeId> inputs;
      for (std::size_t from = 0; from < to; ++from) {
        const std::int32_t operation =
            genotype.decisions[level.first_decision + motif * level.edges() + edge(from, to)];
        if (operation == none || !values[from]) continue;
        const std::optional<NodeId> result = add_edge(graph, *values[from], genotype, l, operation);
        if (result) inputs.push_back(*result);
      }
      values.push_back(inputs.empty() ? std::optional<NodeId>() : merge(graph, inputs));
    }
    return values.back();
  }

  std::optional<NodeId> add_edge(ArchitectureBuilder& graph, NodeId input, const weft::Genotype& genotype,
                                 std::size_t l, std::int32_t operation) const {
    const std::string& name = levels_[l].operations[static_cast<std::size_t>(operation)];
    if (l == 0) return add_primitive(graph, input, name);
    const auto group = graph.own_group(name);
    const std::optional<NodeId> output =
        add_motif(graph, input, genotype, l - 1, static_cast<std::size_t>(operation - 1));
    if (!output) return {};
    return blocks::conv_bn_relu(graph, *output, Convolution::square(graph.shape(*output).channels, 1));
  }

  std::vector<Level> levels_;  // from the lowest above the primitives
  std::int64_t channels_;
  int resolutions_;
  int cells_;
  int initial_mutations_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Hierarchical>("hierarchical"))
