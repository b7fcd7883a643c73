// Randomly wired networks: each stage is a random graph, made acyclic, whose nodes are all the same: weighted sum,
// ReLU, separable convolution, batch norm.
//
// Xie, Kirillov, Girshick, He 2019, "Exploring Randomly Wired Neural Networks for Image Recognition", sections 3.2 to
// 3.4 and Table 1. The genotype is the graphs themselves. The paper compares generators and does not select graphs; for
// optimizers that do, a mutation draws one stage's graph anew, and a crossover takes each stage from either parent.
// Whatever reads a stage or a node begins with ReLU, convolution and batch norm, which undo a positive factor: so a
// stage's output is written as the sum of its last nodes instead of their mean, and an only input has no weight. The
// regular regime's edges are dropped for single examples, with the probability of the recipe's drop_path.

#include <cmath>
#include <string>
#include <vector>

#include "generators.hpp"
#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using random_graph::Edges;
using weft::ArchitectureBuilder;
using weft::NodeId;

class RandomGraph final : public weft::Space, public weft::Mutation, public weft::Crossover, public weft::Encoding {
 public:
  explicit RandomGraph(const weft::Context& context)
      : generator_(context.get<std::string>("generator")),
        probability_(context.get<double>("probability")),
        attachments_(context.get<std::size_t>("attachments")),
        neighbors_(context.get<std::size_t>("neighbors")),
        regular_(context.get<std::string>("regime") == "regular"),
        channels_(context.get<std::int64_t>("channels")),
        head_channels_(context.get<std::int64_t>("head_channels")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        task_(context.task()) {
    const auto nodes = context.get<std::size_t>("nodes");
    nodes_.assign(regular_ ? 4 : 3, nodes);
    if (regular_) nodes_.front() = nodes / 2;
    for (const std::size_t count : nodes_) check_generator(count);
    weft::require::image(task_.input, "random_graph");
  }

  weft::Genotype sample(weft::Rng& rng) const override {
    std::vector<Edges> stages;
    for (const std::size_t nodes : nodes_) stages.push_back(generate(nodes, rng));
    return to_genotype(stages);
  }

  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    std::vector<Edges> stages = to_stages(parent);
    const std::size_t stage = rng.below(stages.size());
    stages[stage] = generate(nodes_[stage], rng);
    return to_genotype(stages);
  }

  weft::Genotype cross(const weft::Genotype& first, const weft::Genotype& second, weft::Rng& rng) const override {
    std::vector<Edges> stages = to_stages(first);
    const std::vector<Edges> others = to_stages(second);
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      if (rng.bernoulli(0.5)) stages[stage] = others[stage];
    }
    return to_genotype(stages);
  }

  // The adjacency matrices, above their diagonals.
  std::size_t encoding_length() const override {
    std::size_t length = 0;
    for (const std::size_t nodes : nodes_) length += nodes * (nodes - 1) / 2;
    return length;
  }
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    const std::vector<Edges> stages = to_stages(genotype);
    std::vector<double> code(encoding_length());
    std::size_t begin = 0;
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      for (const auto& [from, to] : stages[stage]) code[begin + to * (to - 1) / 2 + from] = 1.0;
      begin += nodes_[stage] * (nodes_[stage] - 1) / 2;
    }
    return code;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Edges> stages = to_stages(genotype);
    ArchitectureBuilder graph;
    NodeId x = add_stem(graph, graph.input(task_.input));
    std::int64_t channels = channels_;
    for (std::size_t stage = 0; stage < stages.size(); ++stage, channels *= 2) {
      const auto group = graph.group("stage " + std::to_string(stage + 1));
      x = add_stage(graph, x, nodes_[stage], stages[stage], channels);
    }
    {
      const auto group = graph.group("head");
      x = blocks::relu_conv_bn(graph, x, Convolution::square(head_channels_, 1));
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  // The edges of each stage: 0-1 0-2 1-3; 0-2 ..
  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    bool first = true;
    for (const Edges& edges : to_stages(genotype)) {
      if (!first) text += ";";
      for (const auto& [from, to] : edges) {
        text += (text.empty() ? "" : " ") + std::to_string(from) + "-" + std::to_string(to);
      }
      first = false;
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "0-1 0-2 1-3; .., the edges of " + std::to_string(nodes_.size()) + " stages");
    std::vector<Edges> stages;
    for (const std::size_t nodes : nodes_) {
      if (!stages.empty()) reader.expect(";");
      Edges& edges = stages.emplace_back();
      while (!reader.at_end() && !next_is(reader, ";")) {
        const std::int64_t from = reader.integer("the number of a node");
        reader.expect("-");
        const std::int64_t to = reader.integer("the number of a node");
        if (!is_edge(from, to, nodes)) reader.fail("an edge " + rule_of_edges(nodes) + " before this");
        edges.emplace(from, to);
      }
    }
    reader.expect_end();
    return to_genotype(stages);
  }

 private:
  void check_generator(std::size_t nodes) const {
    const std::string stage = "; a stage of " + std::to_string(nodes) + " nodes needs ";
    if (generator_ == "er") {
      const double threshold = std::log(static_cast<double>(nodes)) / static_cast<double>(nodes);
      if (probability_ <= threshold) {
        throw weft::InvalidInput("/probability is " + std::to_string(probability_) + stage + "more than ln N / N, " +
                                 std::to_string(threshold) + ", or it hardly ever hangs together; raise it");
      }
    } else if (generator_ == "ba" && attachments_ >= nodes) {
      throw weft::InvalidInput("/attachments is " + std::to_string(attachments_) + stage +
                               "fewer than it has nodes; lower it");
    } else if (generator_ == "ws" && (neighbors_ % 2 != 0 || neighbors_ >= nodes)) {
      throw weft::InvalidInput("/neighbors is " + std::to_string(neighbors_) + stage +
                               "an even number that is less than its nodes");
    }
  }

  Edges generate(std::size_t nodes, weft::Rng& rng) const {
    if (generator_ == "er") return random_graph::erdos_renyi(nodes, probability_, rng);
    if (generator_ == "ba") return random_graph::barabasi_albert(nodes, attachments_, rng);
    return random_graph::watts_strogatz(nodes, neighbors_, probability_, rng);
  }

  static bool is_edge(std::int64_t from, std::int64_t to, std::size_t nodes) {
    return from >= 0 && from < to && to < static_cast<std::int64_t>(nodes);
  }
  static std::string rule_of_edges(std::size_t nodes) {
    return "from a lower to a higher number, both from 0 to " + std::to_string(nodes - 1) + ",";
  }

  static bool next_is(const weft::NotationReader& reader, std::string_view token) {
    weft::NotationReader ahead = reader;
    return ahead.accept(token);
  }

  // {"stages": [[[0, 1], [0, 2], ..], ..]}.
  static weft::Genotype to_genotype(const std::vector<Edges>& stages) {
    weft::Genotype genotype;
    genotype.opaque = {{"stages", stages}};
    return genotype;
  }

  std::vector<Edges> to_stages(const weft::Genotype& genotype) const {
    const auto refuse = [](const std::string& reason) {
      throw weft::InvalidInput("a genotype of this space is {\"stages\": [[[0, 1], ..], ..]}; this one " + reason);
    };
    const weft::Json& json = genotype.opaque;
    if (!json.is_object() || json.size() != 1 || !json.contains("stages") || !json.at("stages").is_array()) {
      refuse("is " + genotype.key());
    }
    const weft::Json& stages = json.at("stages");
    if (stages.size() != nodes_.size()) {
      refuse("has " + std::to_string(stages.size()) + " stages, not " + std::to_string(nodes_.size()));
    }
    std::vector<Edges> read(stages.size());
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      const std::string place = " in stage " + std::to_string(stage + 1);
      if (!stages[stage].is_array()) refuse("has " + stages[stage].dump() + place + "; must be a list of edges");
      for (const weft::Json& edge : stages[stage]) {
        const bool pair =
            edge.is_array() && edge.size() == 2 && edge[0].is_number_integer() && edge[1].is_number_integer();
        if (!pair || !is_edge(edge[0].get<std::int64_t>(), edge[1].get<std::int64_t>(), nodes_[stage])) {
          refuse("has the edge " + edge.dump() + place + "; must be " + rule_of_edges(nodes_[stage]) + " there");
        }
        read[stage].emplace(edge[0].get<std::size_t>(), edge[1].get<std::size_t>());
      }
    }
    return read;
  }

  NodeId add_stem(ArchitectureBuilder& graph, NodeId input) const {
    const auto group = graph.group("stem");
    const NodeId first = blocks::conv_bn(graph, input, Convolution::square(channels_ / 2, 3, stem_stride_));
    return regular_ ? first : blocks::relu_conv_bn(graph, first, Convolution::square(channels_, 3, stem_stride_));
  }

  NodeId add_stage(ArchitectureBuilder& graph, NodeId input, std::size_t nodes, const Edges& edges,
                   std::int64_t channels) const {
    std::vector<std::vector<std::size_t>> sources(nodes);
    std::vector<bool> is_read(nodes);
    for (const auto& [from, to] : edges) {
      sources[to].push_back(from);
      is_read[from] = true;
    }
    std::vector<NodeId> outputs;
    std::vector<NodeId> last;
    for (std::size_t node = 0; node < nodes; ++node) {
      std::vector<NodeId> inputs;
      for (const std::size_t source : sources[node]) inputs.push_back(outputs[source]);
      outputs.push_back(add_node(graph, input, inputs, channels));
      if (!is_read[node]) last.push_back(outputs.back());
    }
    return last.size() == 1 ? last.front() : graph.add("add", {}, last);
  }

  // A node that reads no other reads the stage's input, with stride 2.
  NodeId add_node(ArchitectureBuilder& graph, NodeId stage_input, std::vector<NodeId> inputs,
                  std::int64_t channels) const {
    const auto group = graph.own_group("node");
    if (inputs.empty()) return blocks::relu_depthwise_pointwise_bn(graph, stage_input, channels, 3, 2, 1);
    if (regular_) {
      for (NodeId& input : inputs) input = graph.add("drop_path", {}, {input});
    }
    const NodeId sum = inputs.size() == 1 ? inputs.front() : graph.add("weighted_sum", {}, inputs);
    return blocks::relu_depthwise_pointwise_bn(graph, sum, channels, 3, 1, 1);
  }

  std::string generator_;
  double probability_;
  std::size_t attachments_;
  std::size_t neighbors_;
  bool regular_;
  std::vector<std::size_t> nodes_;  // of each stage
  std::int64_t channels_;
  std::int64_t head_channels_;
  std::int64_t stem_stride_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandomGraph>("random_graph"))
