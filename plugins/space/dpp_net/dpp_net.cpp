// DPP-Net's space: a cell without branches, in which normalizations and convolutions alternate, on the densely
// connected skeleton of CondenseNet.
//
// Dong, Cheng, Juan, Wei, Sun 2018, "DPP-Net: Device-aware Progressive Search for Pareto-optimal Neural Architectures",
// section 3. A cell grows layer by layer; it is complete with its first convolution, since normalization alone adds no
// features. On the skeleton (weft/dense_network.hpp) a cell reads what all cells before it gave, in its block and in
// earlier ones; the convolutions before a cell's last are `bottleneck` times as wide. Deviation: a depthwise
// convolution that has to change the number of channels is followed by a 1x1 convolution. Learned group convolutions
// count as what they condense to (weft::Network::condense).

#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/dense_network.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

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

class DppNet final : public weft::DecisionSpace {
 public:
  explicit DppNet(const weft::Context& context)
      : layers_(context.get<std::size_t>("layers")),
        normalizations_(context.get<std::vector<std::string>>("normalizations")),
        convolutions_(context.get<std::vector<std::string>>("convolutions")),
        network_{.stem_stride = context.get<std::int64_t>("stem_stride"), .layer_name = "cell"},
        bottleneck_(context.get<std::int64_t>("bottleneck")),
        groups_(context.get<std::int64_t>("groups")),
        condensation_(context.get<std::int64_t>("condensation")),
        task_(context.task()) {
    const auto cells = context.get<std::vector<std::int64_t>>("cells");
    const auto growth = context.get<std::vector<std::int64_t>>("growth");
    if (growth.size() != cells.size()) {
      throw weft::InvalidInput("/growth has " + std::to_string(growth.size()) +
                               " entries; must have one for each of the " + std::to_string(cells.size()) +
                               " blocks in /cells");
    }
    for (std::size_t b = 0; b < cells.size(); ++b) network_.stages.push_back({cells[b], growth[b]});
    weft::require::multiples(growth, "growth", groups_, "groups");
    weft::require::multiples(growth, "growth", condensation_, "condensation");
    weft::require::image(task_.input, "dpp_net",
                         weft::DenseNetwork::smallest_extent(cells.size(), network_.stem_stride),
                         "give fewer blocks in /cells and /growth, /stem_stride 1");
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
    return {
        network_.build(task_.input, task_.classes, [&](ArchitectureBuilder& graph, NodeId input, std::int64_t growth) {
          return add_cell(graph, input, cell, growth);
        })};
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

  NodeId add_cell(ArchitectureBuilder& graph, NodeId input, const Cell& cell, std::int64_t growth) const {
    NodeId x = input;
    for (std::size_t layer = 0; layer < cell.size(); ++layer) {
      const auto group = graph.group("layer " + std::to_string(layer + 1));
      const bool last = layer + 2 >= cell.size();  // no other convolution follows
      x = is_convolution(layer) ? add_convolution(graph, x, cell[layer], last ? growth : bottleneck_ * growth)
                                : add_normalization(graph, x, cell[layer]);
    }
    return x;
  }

  NodeId add_convolution(ArchitectureBuilder& graph, NodeId input, const std::string& name,
                         std::int64_t channels) const {
    if (name == "learned_group_conv_1x1") {
      return graph.add("learned_group_conv",
                       {{"channels", channels}, {"groups", groups_}, {"condensation", condensation_}}, {input});
    }
    Convolution convolution = Convolution::square(channels, blocks::square_kernel(name));
    if (name.starts_with("group")) convolution.groups = groups_;
    if (!name.starts_with("depthwise")) return blocks::convolution(graph, input, convolution);
    const std::int64_t width = graph.shape(input).channels;
    const NodeId x = blocks::convolution(graph, input, Convolution::depthwise(width, 3));
    return width == channels ? x : blocks::convolution(graph, x, Convolution::square(channels, 1));
  }

  std::size_t layers_;
  std::vector<std::string> normalizations_;
  std::vector<std::string> convolutions_;
  weft::DenseNetwork network_;
  std::int64_t bottleneck_;  // times the growth
  std::int64_t groups_;
  std::int64_t condensation_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<DppNet>("dpp_net"))
