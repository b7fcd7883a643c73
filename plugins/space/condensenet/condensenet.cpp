// The CondenseNet space of MONAS: for each stage its number of layers and its growth rate.
//
// Hsu, Chang, Liang, Chou, Liu, Chang, Pan, Chen, Wei, Juan 2018, "MONAS: Multi-Objective Neural Architecture Search
// using Reinforcement Learning", target networks. The network is that of Huang, Liu, van der Maaten, Weinberger 2018,
// "CondenseNet: An Efficient DenseNet using Learned Group Convolutions", sections 3 and 4, as in the authors' code
// (ShichenLiu/CondenseNet). Deviation: a learned group convolution drops inputs while it is trained, for which there is
// no operation. It stands in the graph as the full convolution it starts from or, with /learned_groups condensed, as a
// group convolution of the size it ends with, whose inputs are fixed instead of learned.

#include <algorithm>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

struct Stage {
  std::int64_t depth;
  std::int64_t growth;
};

struct Layer {
  std::int64_t bottleneck;  // times the growth
  std::int64_t groups;
  bool condensed;
  double dropout;
};

NodeId batch_norm_relu(ArchitectureBuilder& graph, NodeId input) {
  return blocks::relu(graph, blocks::batch_norm(graph, input));
}

// What a layer adds to its input: batch norm, ReLU, 1x1 learned group convolution; batch norm, ReLU, 3x3 group
// convolution.
NodeId add_layer(ArchitectureBuilder& graph, NodeId input, std::int64_t growth, const Layer& layer) {
  NodeId x = batch_norm_relu(graph, input);
  if (layer.dropout > 0.0) x = graph.add("dropout", {{"probability", layer.dropout}}, {x});
  Convolution narrow = Convolution::square(layer.bottleneck * growth, 1);
  if (layer.condensed) narrow.groups = layer.groups;
  x = batch_norm_relu(graph, blocks::convolution(graph, x, narrow));
  Convolution wide = Convolution::square(growth, 3);
  wide.groups = layer.groups;
  return graph.add("concat", {}, {input, blocks::convolution(graph, x, wide)});
}

std::vector<std::string> texts(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> written;
  written.reserve(numbers.size());
  for (const std::int64_t number : numbers) written.push_back(std::to_string(number));
  return written;
}

class CondenseNet final : public weft::DecisionSpace {
 public:
  explicit CondenseNet(const weft::Context& context)
      : stages_(context.get<std::size_t>("stages")),
        depths_(texts(context.get<std::vector<std::int64_t>>("depths"))),
        growths_(texts(context.get<std::vector<std::int64_t>>("growths"))),
        layer_{.bottleneck = context.get<std::int64_t>("bottleneck"),
               .groups = context.get<std::int64_t>("groups"),
               .condensed = context.get<std::string>("learned_groups") == "condensed",
               .dropout = context.get<double>("dropout")},
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        task_(context.task()) {
    for (const std::int64_t growth : context.get<std::vector<std::int64_t>>("growths")) {
      if (growth % layer_.groups != 0) {
        throw weft::InvalidInput("/growths holds " + std::to_string(growth) + "; must be a multiple of /groups, " +
                                 std::to_string(layer_.groups) + ", into which convolutions divide their channels");
      }
    }
    check_extent();
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t stage = taken.size() / 2;
    if (stage >= stages_) return {};
    const bool depth = taken.size() % 2 == 0;
    return weft::Decision{.name = "stage " + std::to_string(stage + 1) + (depth ? "/depth" : "/growth"),
                          .group = depth ? "depth" : "growth",
                          .kind = weft::Decision::Kind::ordinal,
                          .options = depth ? depths_ : growths_,
                          .step = static_cast<int>(stage)};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Stage> stages = to_stages(genotype);
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = blocks::convolution(graph, x, Convolution::square(2 * stages.front().growth, 3, stem_stride_));
    }
    for (std::size_t s = 0; s < stages.size(); ++s) {
      if (s > 0) {
        const auto group = graph.group("transition " + std::to_string(s));
        x = blocks::pool(graph, x, "avg_pool", 2, 2);
      }
      const auto stage = graph.group("stage " + std::to_string(s + 1));
      for (std::int64_t layer = 1; layer <= stages[s].depth; ++layer) {
        const auto group = graph.group("layer " + std::to_string(layer));
        x = add_layer(graph, x, stages[s].growth, layer_);
      }
    }
    {
      const auto group = graph.group("classifier");
      x = batch_norm_relu(graph, x);
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  // stages 14-14-14 growth 8-16-32, the options of the authors' program.
  std::string notation(const weft::Genotype& genotype) const override {
    std::string depths;
    std::string growths;
    for (const Stage& stage : to_stages(genotype)) {
      depths += (depths.empty() ? "" : "-") + std::to_string(stage.depth);
      growths += (growths.empty() ? "" : "-") + std::to_string(stage.growth);
    }
    return "stages " + depths + " growth " + growths;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                "stages 14-14-14 growth 8-16-32, here of " + std::to_string(stages_) + " stages");
    weft::Genotype genotype;
    genotype.decisions.resize(2 * stages_);
    for (std::size_t part = 0; part < 2; ++part) {
      reader.expect(part == 0 ? "stages" : "growth");
      for (std::size_t stage = 0; stage < stages_; ++stage) {
        if (stage > 0) reader.expect("-");
        genotype.decisions[2 * stage + part] = static_cast<std::int32_t>(
            reader.option(part == 0 ? depths_ : growths_, part == 0 ? "a number of layers" : "a growth rate"));
      }
    }
    reader.expect_end();
    return genotype;
  }

 private:
  void check_extent() const {
    const std::int64_t smaller = std::min(task_.input.height, task_.input.width);
    const std::int64_t extent = (smaller + stem_stride_ - 1) / stem_stride_;
    if (!task_.input.is_image() || stages_ > 62 || extent >> (stages_ - 1) == 0) {
      throw weft::InvalidInput("/stages is " + std::to_string(stages_) + ", but the task's input is " +
                               task_.input.to_string() +
                               "; must be an image whose extent, halved between stages, stays at least 1; give fewer "
                               "stages, /stem_stride 1 or larger images");
    }
  }

  std::vector<Stage> to_stages(const weft::Genotype& genotype) const {
    walk(genotype);
    const auto number = [&](std::size_t at, const std::vector<std::string>& options) {
      return std::stoll(options[static_cast<std::size_t>(genotype.decisions[at])]);
    };
    std::vector<Stage> stages;
    for (std::size_t s = 0; s < stages_; ++s) stages.push_back({number(2 * s, depths_), number(2 * s + 1, growths_)});
    return stages;
  }

  std::size_t stages_;
  std::vector<std::string> depths_;
  std::vector<std::string> growths_;
  Layer layer_;
  std::int64_t stem_stride_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<CondenseNet>("condensenet"))
