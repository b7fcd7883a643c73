// ProxylessNAS's space: a chain of MobileNetV2's inverted bottlenecks, of which each layer has its own kernel and
// expansion. A layer that keeps extent and filters adds its input, and may be left out, so that depth is searched.
//
// Cai, Zhu, Han 2019, "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware", section 4.2, the
// space for ImageNet; numbers and the layers around the chain as in the authors' code (mit-han-lab/proxylessnas,
// search/models). The paper's zero operation is called skip here, after what it makes of the layer. The paper's other
// space, trees of paths in a PyramidNet for CIFAR-10, is not this one.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
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

struct Bottleneck {
  std::int64_t kernel, expansion;
};

// A place in the chain.
struct Layer {
  std::string stage, name;  // "stage 2", "layer 1"
  std::int64_t filters, stride;
  bool adds_input;
  std::vector<std::string> options;  // the bottlenecks, then skip where there is

  std::string decision() const { return stage + "/" + name; }
};

NodeId conv_bn_relu6(ArchitectureBuilder& graph, NodeId input, const Convolution& convolution) {
  return graph.add("activation", {{"function", "relu6"}}, {blocks::conv_bn(graph, input, convolution)});
}

// 1 x 1 to more channels, depthwise, 1 x 1 without an activation (Sandler et al. 2018, "MobileNetV2").
NodeId add_bottleneck(ArchitectureBuilder& graph, NodeId x, const Bottleneck& bottleneck, std::int64_t filters,
                      std::int64_t stride) {
  const std::int64_t width = bottleneck.expansion * graph.shape(x).channels;
  if (bottleneck.expansion > 1) x = conv_bn_relu6(graph, x, Convolution::square(width, 1));
  x = conv_bn_relu6(graph, x, Convolution::depthwise(width, bottleneck.kernel, stride));
  return blocks::conv_bn(graph, x, Convolution::square(filters, 1));
}

class Proxyless final : public weft::DecisionSpace, public weft::Supernet, public weft::Relaxation {
 public:
  explicit Proxyless(const weft::Context& context)
      : stem_filters_(context.get<std::int64_t>("stem_filters")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        first_filters_(context.get<std::int64_t>("first_filters")),
        head_filters_(context.get<std::int64_t>("head_filters")),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    const auto kernels = context.get<std::vector<std::int64_t>>("kernels");
    weft::require::odd(kernels, "kernels");
    for (const std::int64_t kernel : kernels) {
      for (const std::int64_t expansion : context.get<std::vector<std::int64_t>>("expansions"))
        bottlenecks_.push_back({kernel, expansion});
    }
    const bool skip = context.get<bool>("skip");
    std::int64_t filters = first_filters_;
    for (const weft::Json& stage : context.configuration().at("stages")) {
      const std::string name = "stage " + std::to_string(++stages_);
      for (int layer = 1; layer <= stage.at("layers").get<int>(); ++layer) {
        const std::int64_t stride = layer == 1 ? stage.at("stride").get<std::int64_t>() : 1;
        const bool keeps = stride == 1 && filters == stage.at("filters");
        filters = stage.at("filters");
        layers_.push_back({name, "layer " + std::to_string(layer), filters, stride, keeps, options(keeps && skip)});
      }
    }
    weft::require::image(task_.input, "proxyless", smallest_extent(), "set /stem_stride or a stride in /stages to 1");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() >= layers_.size()) return {};
    const Layer& layer = layers_[taken.size()];
    return weft::Decision{.name = layer.decision(),
                          .group = "operation",
                          .options = layer.options,
                          .step = static_cast<int>(taken.size())};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::size_t at = 0;
    return {network([&](ArchitectureBuilder& graph, NodeId x, const Layer& layer) {
      const auto option = static_cast<std::size_t>(genotype.decisions[at++]);
      if (option == bottlenecks_.size()) return x;
      const NodeId output = add_option(graph, x, layer, option);
      return layer.adds_input ? graph.add("add", {}, {x, output}) : output;
    })};
  }

  // mbconv3_5x5 skip | mbconv6_3x3: expansion and kernel of each layer, stage by stage.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::string text;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (i > 0) text += layers_[i].stage == layers_[i - 1].stage ? " " : " | ";
      text += layers_[i].options[static_cast<std::size_t>(genotype.decisions[i])];
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "mbconv3_5x5 skip | mbconv6_3x3 .., " + std::to_string(layers_.size()) +
                                              " layers in " + std::to_string(stages_) + " stages");
    weft::Genotype genotype;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (i > 0 && layers_[i].stage != layers_[i - 1].stage) reader.expect("|");
      genotype.decisions.push_back(
          static_cast<std::int32_t>(reader.option(layers_[i].options, "the operation of " + layers_[i].decision())));
    }
    reader.expect_end();
    return genotype;
  }

  weft::Architecture supernet() const override {
    return network([&](ArchitectureBuilder& graph, NodeId x, const Layer& layer) {
      std::vector<NodeId> candidates;
      for (std::size_t option = 0; option < bottlenecks_.size(); ++option)
        candidates.push_back(add_option(graph, x, layer, option));
      if (layer.options.size() > bottlenecks_.size()) candidates.push_back(graph.add("zero", {}, {x}));
      const NodeId chosen =
          graph.add("choice", {{"decision", layer.decision()}, {"options", layer.options}}, candidates);
      return layer.adds_input ? graph.add("add", {}, {x, chosen}) : chosen;
    });
  }

  weft::SupernetPath path(const weft::Genotype& genotype) const override {
    walk(genotype);
    weft::SupernetPath path;
    for (std::size_t i = 0; i < layers_.size(); ++i) path[layers_[i].decision()] = {genotype.decisions[i]};
    return path;
  }

  // Of each layer the option of the largest weight, the first of equals.
  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    weft::Genotype genotype;
    for (const Layer& layer : layers_) {
      const std::vector<double>& of_layer = weft::weights_of(weights, layer.decision(), layer.options.size());
      genotype.decisions.push_back(
          static_cast<std::int32_t>(std::max_element(of_layer.begin(), of_layer.end()) - of_layer.begin()));
    }
    return genotype;
  }

 private:
  std::vector<std::string> options(bool skip) const {
    std::vector<std::string> names;
    for (const Bottleneck& bottleneck : bottlenecks_) {
      const std::string extent = std::to_string(bottleneck.kernel);
      names.push_back("mbconv" + std::to_string(bottleneck.expansion) + "_" + extent + "x" + extent);
    }
    if (skip) names.push_back("skip");
    return names;
  }

  NodeId add_option(ArchitectureBuilder& graph, NodeId x, const Layer& layer, std::size_t option) const {
    const auto group = graph.own_group(layer.options[option]);
    return add_bottleneck(graph, x, bottlenecks_[option], layer.filters, layer.stride);
  }

  // What surrounds the chain; `add_layer(graph, input, layer)` adds one of it.
  template <typename AddLayer>
  weft::Architecture network(const AddLayer& add_layer) const {
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    {
      const auto group = graph.group("stem");
      x = conv_bn_relu6(graph, x, Convolution::square(stem_filters_, 3, stem_stride_));
      const auto first = graph.own_group("mbconv1_3x3");
      x = add_bottleneck(graph, x, {3, 1}, first_filters_, 1);
    }
    for (const Layer& layer : layers_) {
      const auto stage = graph.group(layer.stage);
      const auto place = graph.group(layer.name);
      x = add_layer(graph, x, layer);
    }
    {
      const auto group = graph.group("head");
      x = conv_bn_relu6(graph, x, Convolution::square(head_filters_, 1));
    }
    return std::move(graph).build(blocks::classifier(graph, x, task_.classes, dropout_));
  }

  // Of an image of which each stride still has two pixels to choose from.
  std::int64_t smallest_extent() const {
    std::size_t halvings = stem_stride_ == 2 ? 1 : 0;
    for (const Layer& layer : layers_) halvings += layer.stride == 2 ? 1 : 0;
    return halvings > 0 ? weft::require::before_halvings(halvings - 1) + 1 : 1;
  }

  std::int64_t stem_filters_, stem_stride_, first_filters_, head_filters_;
  double dropout_;
  weft::Task task_;
  std::vector<Bottleneck> bottlenecks_;
  std::size_t stages_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Proxyless>("proxyless"))
