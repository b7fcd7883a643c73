// The CondenseNet space of MONAS: for each stage its number of layers and its growth rate.
//
// Hsu, Chang, Liang, Chou, Liu, Chang, Pan, Chen, Wei, Juan 2018, "MONAS: Multi-Objective Neural Architecture Search
// using Reinforcement Learning", target networks. The network is that of Huang, Liu, van der Maaten, Weinberger 2018,
// "CondenseNet: An Efficient DenseNet using Learned Group Convolutions", sections 3 and 4, as in the authors' code
// (ShichenLiu/CondenseNet). What is counted is the condensed network, which `weft::Network::condense` makes of the
// trained one as the authors' conversion does with its convolutions. Missing are group lasso, which pulls a group's
// filters to the same inputs while they train, and what their conversion does besides: half of the classifier's inputs
// go, those of the smallest weights.

#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/dense_network.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::NodeId;
using Stage = weft::DenseNetwork::Stage;

class CondenseNet final : public weft::DecisionSpace {
 public:
  explicit CondenseNet(const weft::Context& context)
      : stages_(context.get<std::size_t>("stages")),
        depths_(weft::ordinal_options(context.get<std::vector<std::int64_t>>("depths"))),
        growths_(weft::ordinal_options(context.get<std::vector<std::int64_t>>("growths"))),
        bottleneck_(context.get<std::int64_t>("bottleneck")),
        groups_(context.get<std::int64_t>("groups")),
        condensation_(context.get<std::int64_t>("condensation")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    const auto growths = context.get<std::vector<std::int64_t>>("growths");
    weft::require::multiples(growths, "growths", groups_, "groups");
    weft::require::multiples(growths, "growths", condensation_, "condensation");
    weft::require::image(task_.input, "condensenet", weft::DenseNetwork::smallest_extent(stages_, stem_stride_),
                         "give fewer /stages, /stem_stride 1");
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
    const weft::DenseNetwork network{.stages = to_stages(genotype), .stem_stride = stem_stride_};
    return {network.build(task_.input, task_.classes,
                          [this](ArchitectureBuilder& graph, NodeId input, std::int64_t growth) {
                            return add_layer(graph, input, growth);
                          })};
  }

  // stages 14-14-14 growth 8-16-32, the options of the authors' program.
  std::string notation(const weft::Genotype& genotype) const override {
    std::string depths;
    std::string growths;
    for (const Stage& stage : to_stages(genotype)) {
      depths += (depths.empty() ? "" : "-") + std::to_string(stage.layers);
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
  // Batch norm, ReLU, 1x1 learned group convolution; batch norm, ReLU, 3x3 group convolution.
  NodeId add_layer(ArchitectureBuilder& graph, NodeId input, std::int64_t growth) const {
    NodeId x = blocks::bn_relu(graph, input);
    if (dropout_ > 0.0) x = graph.add("dropout", {{"probability", dropout_}}, {x});
    x = graph.add("learned_group_conv",
                  {{"channels", bottleneck_ * growth}, {"groups", groups_}, {"condensation", condensation_}}, {x});
    auto convolution = blocks::Convolution::square(growth, 3);
    convolution.groups = groups_;
    return blocks::convolution(graph, blocks::bn_relu(graph, x), convolution);
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
  std::int64_t bottleneck_;  // times the growth
  std::int64_t groups_;
  std::int64_t condensation_;
  std::int64_t stem_stride_;
  double dropout_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<CondenseNet>("condensenet"))
