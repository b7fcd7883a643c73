// DPP-Net's space: a cell without branches, in which normalizations and convolutions alternate, on the densely
// connected skeleton of CondenseNet.
//
// Dong, Cheng, Juan, Wei, Sun 2018, "DPP-Net: Device-aware Progressive Search for Pareto-optimal Neural Architectures",
// section 3. A cell grows layer by layer; it is complete with its first convolution, since normalization alone adds no
// features. The skeleton is that of Huang et al. 2018, "CondenseNet: An Efficient DenseNet using Learned Group
// Convolutions": every cell appends its output to what it read, also across the pooling between blocks, and the
// convolutions before its last are `bottleneck` times as wide. Deviations: a depthwise convolution that has to change
// the number of channels is followed by a 1x1 convolution; a learned group convolution, which drops inputs while it is
// trained, has no operation and is the full convolution it starts from.

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

using Cell = std::vector<std::string>;  // the names of its layers; every second one is a convolution

bool is_convolution(std::size_t layer) { return layer % 2 == 1; }

NodeId add_normalization(ArchitectureBuilder& graph, NodeId input, const std::string& name) {
  if (name == "none") return input;
  const NodeId normalized = blocks::batch_norm(graph, input);
  return name == "bn_relu" ? blocks::relu(graph, normalized) : normalized;
}

NodeId add_convolution(ArchitectureBuilder& graph, NodeId input, const std::string& name, std::int64_t channels,
                       std::int64_t groups) {
  Convolution convolution = Convolution::square(channels, name.back() - '0');
  if (name.starts_with("group")) convolution.groups = groups;
  if (!name.starts_with("depthwise")) return blocks::convolution(graph, input, convolution);
  convolution.channels = convolution.groups = graph.shape(input).channels;
  const NodeId x = blocks::convolution(graph, input, convolution);
  return convolution.channels == channels ? x : blocks::convolution(graph, x, Convolution::square(channels, 1));
}

class DppNet final : public weft::DecisionSpace {
 public:
  explicit DppNet(const weft::Context& context)
      : layers_(context.get<std::size_t>("layers")),
        normalizations_(context.get<std::vector<std::string>>("normalizations")),
        convolutions_(context.get<std::vector<std::string>>("convolutions")),
        cells_(context.get<std::vector<int>>("cells")),
        growth_(context.get<std::vector<std::int64_t>>("growth")),
        bottleneck_(context.get<std::int64_t>("bottleneck")),
        groups_(context.get<std::int64_t>("groups")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        task_(context.task()) {
    if (growth_.size() != cells_.size()) {
      throw weft::InvalidInput("/growth has " + std::to_string(growth_.size()) +
                               " entries; must have one for each of the " + std::to_string(cells_.size()) +
                               " blocks in /cells");
    }
    for (const std::int64_t growth : growth_) {
      if (growth % groups_ != 0) {
        throw weft::InvalidInput("/growth holds " + std::to_string(growth) + "; must be a multiple of /groups, " +
                                 std::to_string(groups_) + ", into which group convolutions divide their channels");
      }
    }
    check_extent();
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t layer = taken.size();
    if (layer >= layers_) return {};
    const std::string part = is_convolution(layer) ? "convolution" : "normalization";
    return weft::Decision{.name = "layer " + std::to_string(layer + 1) + "/" + part,
                          .group = part,
                          .options = options(layer),
                          .step = static_cast<int>(layer)};
  }

  bool complete(std::span<const std::int32_t> taken) const override {
    return taken.size() >= 2 && taken.size() <= layers_;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const Cell cell = to_cell(genotype);
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = blocks::convolution(graph, x, Convolution::square(2 * growth_.front(), 3, stem_stride_));
    }
    for (std::size_t b = 0; b < cells_.size(); ++b) {
      if (b > 0) {
        const auto group = graph.group("transition " + std::to_string(b));
        x = blocks::pool(graph, x, "avg_pool", 2, 2);
      }
      const auto block = graph.group("block " + std::to_string(b + 1));
      for (int number = 1; number <= cells_[b]; ++number) {
        const auto group = graph.group("cell " + std::to_string(number));
        x = graph.add("concat", {}, {x, add_layers(graph, x, cell, growth_[b])});
      }
    }
    {
      const auto group = graph.group("classifier");
      x = add_normalization(graph, x, "bn_relu");
    }
    return {std::move(graph).build(blocks::classifier(graph, x, task_.classes))};
  }

  // bn_relu conv_1x1 bn group_conv_3x3: the cell's layers, of which the last may be missing.
  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    for (const std::string& layer : to_cell(genotype)) text += (text.empty() ? "" : " ") + layer;
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                "bn_relu conv_1x1 bn group_conv_3x3, of 2 to " + std::to_string(layers_) + " layers");
    weft::Genotype genotype;
    while (genotype.decisions.size() < layers_ && !(complete(genotype.decisions) && reader.at_end())) {
      const std::size_t layer = genotype.decisions.size();
      genotype.decisions.push_back(static_cast<std::int32_t>(
          reader.option(options(layer), is_convolution(layer) ? "a convolution" : "a normalization")));
    }
    reader.expect_end();
    return genotype;
  }

  // One-hot, layer by layer; nothing for the layers that a smaller cell lacks.
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::vector<double> code(encoding_length());
    std::size_t at = 0;
    for (std::size_t layer = 0; layer < genotype.decisions.size(); ++layer) {
      code[at + static_cast<std::size_t>(genotype.decisions[layer])] = 1.0;
      at += options(layer).size();
    }
    return code;
  }

 private:
  const std::vector<std::string>& options(std::size_t layer) const {
    return is_convolution(layer) ? convolutions_ : normalizations_;
  }

  Cell to_cell(const weft::Genotype& genotype) const {
    walk(genotype);
    Cell cell;
    for (const std::int32_t option : genotype.decisions) {
      cell.push_back(options(cell.size())[static_cast<std::size_t>(option)]);
    }
    return cell;
  }

  NodeId add_layers(ArchitectureBuilder& graph, NodeId input, const Cell& cell, std::int64_t growth) const {
    NodeId x = input;
    for (std::size_t layer = 0; layer < cell.size(); ++layer) {
      const auto group = graph.group("layer " + std::to_string(layer + 1));
      const bool last = layer + 2 >= cell.size();  // no other convolution follows
      x = is_convolution(layer) ? add_convolution(graph, x, cell[layer], last ? growth : bottleneck_ * growth, groups_)
                                : add_normalization(graph, x, cell[layer]);
    }
    return x;
  }

  void check_extent() const {
    const std::int64_t smaller = std::min(task_.input.height, task_.input.width);
    const std::int64_t extent = (smaller + stem_stride_ - 1) / stem_stride_;
    if (!task_.input.is_image() || cells_.size() > 62 || extent >> (cells_.size() - 1) == 0) {
      throw weft::InvalidInput("/cells has " + std::to_string(cells_.size()) + " blocks, but the task's input is " +
                               task_.input.to_string() +
                               "; must be an image whose extent, halved between blocks, stays at least 1; give fewer "
                               "blocks in /cells and /growth, /stem_stride 1 or larger images");
    }
  }

  std::size_t layers_;
  std::vector<std::string> normalizations_;
  std::vector<std::string> convolutions_;
  std::vector<int> cells_;            // of each block
  std::vector<std::int64_t> growth_;  // of each block
  std::int64_t bottleneck_;
  std::int64_t groups_;
  std::int64_t stem_stride_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<DppNet>("dpp_net"))
