// A chain of stages, as practitioners draw their networks: each stage decides how many layers it has, how wide and how
// large its convolutions are, and whether they are separable. Every stage after the first halves height and width.
//
// Written as 1x8k3-2x16k5s: one layer of 8 channels and kernel 3, then two separable ones of 16 channels and kernel 5.

#include <algorithm>
#include <array>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::NodeId;

struct Stage {
  std::int64_t depth, channels, kernel;
  bool separable;
};

NodeId add_layer(ArchitectureBuilder& graph, NodeId input, const Stage& stage, std::int64_t stride) {
  if (!stage.separable) {
    return blocks::conv_bn_relu(graph, input, blocks::Convolution::square(stage.channels, stage.kernel, stride));
  }
  auto depthwise = blocks::Convolution::square(graph.shape(input).channels, stage.kernel, stride);
  depthwise.groups = depthwise.channels;
  const NodeId filtered = blocks::convolution(graph, input, depthwise);
  return blocks::conv_bn_relu(graph, filtered, blocks::Convolution::square(stage.channels, 1));
}

class StagedConvnet final : public weft::DecisionSpace {
 public:
  explicit StagedConvnet(const weft::Context& context)
      : stages_(context.get<std::size_t>("stages")),
        values_{context.get<std::vector<std::int64_t>>("depths"),
                context.get<std::vector<std::int64_t>>("channels"),
                context.get<std::vector<std::int64_t>>("kernels"),
                {0, 1}},
        task_(context.task()) {
    if (!task_.input.is_image()) {
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() + "; staged_convnet needs an image");
    }
  }

  // Which decision follows. Sampling, mutation, crossover, encoding come from DecisionSpace.
  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= stages_ * names.size()) return {};
    const std::size_t what = taken.size() % names.size();
    const std::size_t stage = taken.size() / names.size();
    weft::Decision decision{.name = "stage " + std::to_string(stage + 1) + "/" + names[what],
                            .group = names[what],
                            .kind = weft::Decision::Kind::ordinal,
                            .step = static_cast<int>(stage)};
    for (const std::int64_t value : values_[what]) decision.options.push_back(std::to_string(value));
    return decision;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    int number = 0;
    for (const Stage& stage : stages_of(genotype)) {
      const auto group = graph.group("stage " + std::to_string(++number));
      for (std::int64_t layer = 0; layer < stage.depth; ++layer) {
        x = add_layer(graph, x, stage, number > 1 && layer == 0 ? 2 : 1);
      }
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    for (const Stage& stage : stages_of(genotype)) {
      text += (text.empty() ? "" : "-") + std::to_string(stage.depth) + "x" + std::to_string(stage.channels) + "k" +
              std::to_string(stage.kernel) + (stage.separable ? "s" : "");
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "1x8k3-2x16k5s");
    weft::Genotype genotype;
    const auto read = [&](std::size_t what, std::int64_t value) {
      const auto found = std::find(values_[what].begin(), values_[what].end(), value);
      if (found == values_[what].end()) reader.fail(names[what] + std::string(" that the space offers"));
      genotype.decisions.push_back(static_cast<std::int32_t>(found - values_[what].begin()));
    };
    for (std::size_t stage = 0; stage < stages_; ++stage) {
      if (stage > 0) reader.expect("-");
      read(0, reader.integer("a number of layers"));
      reader.expect("x");
      read(1, reader.integer("a number of channels"));
      reader.expect("k");
      read(2, reader.integer("a kernel"));
      read(3, reader.accept("s") ? 1 : 0);
    }
    reader.expect_end();
    return genotype;
  }

 private:
  static constexpr std::array<const char*, 4> names = {"depth", "channels", "kernel", "separable"};

  std::vector<Stage> stages_of(const weft::Genotype& genotype) const {
    walk(genotype);  // refuses what is none of this space's
    std::vector<Stage> stages;
    for (std::size_t at = 0; at < genotype.decisions.size(); at += names.size()) {
      const auto value = [&](std::size_t what) {
        return values_[what][static_cast<std::size_t>(genotype.decisions[at + what])];
      };
      stages.push_back({value(0), value(1), value(2), value(3) == 1});
    }
    return stages;
  }

  std::size_t stages_;
  std::array<std::vector<std::int64_t>, 4> values_;  // what each of `names` may be
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<StagedConvnet>("staged_convnet"))
