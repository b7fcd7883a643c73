// MetaQNN's space: a chain of convolutions, max pooling, global average pooling and fully connected layers, chosen
// layer by layer from the actions that are legal there.
//
// Baker, Gupta, Naik, Raskar 2017, "Designing Neural Network Architectures using Reinforcement Learning", section 4.1
// and Table 1; details as in the authors' published code (bowenbaker/metaqnn). Kernels may be as large as the map, as
// the paper says (the code: smaller). Deviation: maps need not be square; the smaller extent decides what fits, the
// larger one what counts as small.
//
// The one-shot network of all chains, supernet.hpp, is not the paper's.

#include <algorithm>
#include <string>
#include <vector>

#include "layers.hpp"
#include "supernet.hpp"
#include "weft/morphs.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

using chain::Layer;
using chain::Options;
using chain::place;
using chain::Position;
using chain::Type;
using weft::ArchitectureBuilder;
using weft::Json;
using weft::NodeId;

class Chain final : public weft::DecisionSpace, public weft::Morphisms, public weft::Supernet, public weft::Relaxation {
 public:
  explicit Chain(const weft::Context& context) : options_(context), task_(context.task()) {
    weft::require::image(task_.input, "chain");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const Position position = follow(taken);
    if (position.last.type == Type::softmax) return {};
    weft::Decision decision{
        .name = "layer " + std::to_string(taken.size() + 1), .group = "layer", .step = static_cast<int>(taken.size())};
    for (const Layer* layer : options_.legal(position)) decision.options.push_back(layer->to_text());
    return decision;
  }

  // The key of the Q table: layer type, depth, filters (of fully connected layers: how many in a row), kernel, stride,
  // binned size of the map (0: there is none), neurons, whether the chain has ended. True sizes are merged into bins,
  // so what is legal may differ between prefixes of one state.
  std::string state(std::span<const std::int32_t> taken) const override {
    Position position = follow(taken);
    const bool terminated = position.last.type == Type::softmax;
    if (terminated) position = follow(taken.first(taken.size() - 1));
    static constexpr const char* names[] = {"start", "conv", "pool", "gap", "fc"};
    const Layer& last = position.last;
    std::string key = names[static_cast<std::size_t>(last.type)];
    for (const std::int64_t part :
         {static_cast<std::int64_t>(position.depth),
          last.type == Type::fully_connected ? position.fully_connected : last.filters, last.kernel, last.stride,
          position.has_map() ? options_.binned_size(position) : 0, last.neurons, std::int64_t{terminated}}) {
      key += ',';
      key += std::to_string(part);
    }
    return key;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Layer> layers = layers_of(genotype);
    const std::size_t depth = layers.size() - 1;  // without the softmax
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    for (std::size_t i = 1; i <= depth; ++i) {
      const auto group = graph.group(place(i));
      x = chain::add_layer(graph, x, layers[i - 1]);
      x = chain::add_dropout(graph, x, i, depth);
    }
    x = chain::add_classifier(graph, x, task_.classes);
    return {std::move(graph).build(x)};
  }

  // C(filters,kernel,stride) P(kernel,stride) GAP FC(neurons) SM.
  std::string notation(const weft::Genotype& genotype) const override { return text_of(layers_of(genotype)); }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation, "C(64,3,1) P(2,2) FC(128) SM");
    weft::Genotype genotype;
    while (const std::optional<weft::Decision> decision = next(genotype.decisions)) {
      const auto& options = decision->options;
      const auto found =
          std::find_if(options.begin(), options.end(), [&](const std::string& text) { return reader.accept(text); });
      if (found == options.end()) {
        std::string legal;
        for (const std::string& option : options) legal += (legal.empty() ? "" : ", ") + option;
        reader.fail(decision->name + ", of which are legal here: " + legal);
      }
      genotype.decisions.push_back(static_cast<std::int32_t>(found - options.begin()));
    }
    reader.expect_end();
    return genotype;
  }

  // Which layer stands at each depth, one-hot; nothing after the end.
  std::size_t encoding_length() const override { return options_.depth_limit * (options_.layers.size() - 1); }
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    walk(genotype);
    std::vector<double> code(encoding_length());
    Position position = start();
    for (std::size_t depth = 0; depth + 1 < genotype.decisions.size(); ++depth) {
      const Layer* layer = options_.legal(position)[static_cast<std::size_t>(genotype.decisions[depth])];
      const auto index = static_cast<std::size_t>(layer - options_.layers.data());
      code[depth * (options_.layers.size() - 1) + index] = 1.0;
      position.append(*layer);
    }
    return code;
  }

  weft::Architecture supernet() const override { return trellis().supernet(task_.classes); }

  weft::SupernetPath path(const weft::Genotype& genotype) const override { return trellis().path(layers_of(genotype)); }

  weft::Genotype derive(const weft::OptionWeights& weights) const override {
    return parse(text_of(trellis().derive(weights)));
  }

  // Net2Net's on chains: the next larger number of filters or neurons, a kernel that is larger by two, and behind a
  // layer one of as many filters or neurons that is the identity.
  std::vector<Json> morphs(const weft::Genotype& parent) const override {
    const std::vector<Layer> layers = layers_of(parent);
    std::vector<Json> all;
    for (std::size_t at = 1; at < layers.size(); ++at) {
      const Layer& layer = layers[at - 1];
      for (const Layer& wider : options_.layers) {
        if (wider.type == layer.type && wider.kernel == layer.kernel && wider.stride == layer.stride &&
            std::pair(wider.filters, wider.neurons) > std::pair(layer.filters, layer.neurons))
          all.push_back({{"morph", "widen"}, {"layer", at}, {"to", std::max(wider.filters, wider.neurons)}});
      }
      if (layer.type == Type::convolution) all.push_back({{"morph", "enlarge_kernel"}, {"layer", at}});
      if (layer.type == Type::convolution || layer.type == Type::pooling) {
        for (const std::int64_t kernel : kernels())
          all.push_back({{"morph", "deepen"}, {"layer", at}, {"kernel", kernel}});
      }
      if (layer.type == Type::fully_connected) all.push_back({{"morph", "deepen"}, {"layer", at}});
    }
    std::erase_if(all, [&](const Json& morph) {
      weft::Rng unused(0);
      try {
        this->morph(parent, morph, unused);
        return false;
      } catch (const weft::InvalidInput&) {
        return true;
      }
    });
    return all;
  }

  Child morph(const weft::Genotype& parent, const Json& morph, weft::Rng& rng) const override {
    std::vector<Layer> layers = layers_of(parent);
    try {
      const std::string name = morph.at("morph");
      const auto at = morph.at("layer").get<std::size_t>();
      if (at < 1 || at >= layers.size())
        throw weft::InvalidInput("the morph " + morph.dump() + " names no layer; there are 1 to " +
                                 std::to_string(layers.size() - 1));
      if (name == "deepen") return deepened(layers, at, morph);
      if (name != "widen" && name != "enlarge_kernel")
        throw weft::InvalidInput("the morph \"" + name + "\" is none of a chain's: widen, enlarge_kernel, deepen");
      const weft::Architecture before = decode(parent).architecture;
      const NodeId node = trained_node(before, at);
      Layer& layer = layers[at - 1];
      if (name == "enlarge_kernel") {
        layer.kernel += 2;
        return child_of(layers, weft::morphs::enlarge_kernel(before, node).transfer, place(at) + ", larger kernel");
      }
      const std::int64_t to = morph.at("to");
      (layer.type == Type::convolution ? layer.filters : layer.neurons) = to;
      return child_of(layers,
                      weft::morphs::widen(before, node, repeated(before, node, to, rng), options_.noise).transfer,
                      place(at) + ", widened to " + std::to_string(to));
    } catch (const Json::exception& error) {
      throw weft::InvalidInput("the morph " + morph.dump() + " cannot be read: " + error.what());
    }
  }

 private:
  Child child_of(const std::vector<Layer>& layers, weft::WeightTransfer transfer, std::string words) const {
    transfer.steps.front().morph = std::move(words);
    return {parse(text_of(layers)), std::move(transfer)};
  }

  std::vector<std::int64_t> kernels() const {
    std::vector<std::int64_t> kernels;
    for (const Layer& layer : options_.layers) {
      if (layer.type == Type::convolution && std::find(kernels.begin(), kernels.end(), layer.kernel) == kernels.end())
        kernels.push_back(layer.kernel);
    }
    return kernels;
  }

  static NodeId trained_node(const weft::Architecture& graph, std::size_t layer) {
    for (NodeId id = 0; id < static_cast<NodeId>(graph.nodes().size()); ++id) {
      const std::string& name = graph.node(id).name;
      if (name == place(layer) + "/conv2d" || name == place(layer) + "/linear") return id;
    }
    throw weft::NotApplicable(place(layer) + " has no weights");
  }

  static weft::morphs::Indices repeated(const weft::Architecture& graph, NodeId node, std::int64_t to, weft::Rng& rng) {
    const std::int64_t channels = graph.shape(node).channels;
    weft::morphs::Indices indices;
    for (std::int64_t c = 0; c < to; ++c)
      indices.push_back(c < channels ? c : static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(channels))));
    return indices;
  }

  // Layers behind the new one are renamed. What comes before it went through a ReLU, which changes nothing again.
  Child deepened(std::vector<Layer> layers, std::size_t at, const Json& morph) const {
    const Layer& before = layers[at - 1];
    Layer inserted = before;
    if (before.type == Type::pooling) inserted = last_convolution(layers, at);
    if (inserted.type == Type::convolution) {
      inserted.kernel = morph.at("kernel");
    } else if (inserted.type != Type::fully_connected) {
      throw weft::NotApplicable("no layer is the identity behind " + before.to_text());
    }
    weft::WeightTransfer transfer{{{}}};
    weft::WeightTransfer::Step& step = transfer.steps.front();
    const std::int64_t width = std::max(inserted.filters, inserted.neurons);
    const std::string own = place(at + 1) + (inserted.type == Type::convolution ? "/conv2d" : "/linear");
    const weft::WeightTransfer::Extents extents =
        inserted.type == Type::convolution
            ? weft::WeightTransfer::Extents{width, width, inserted.kernel, inserted.kernel}
            : weft::WeightTransfer::Extents{width, width};
    step.tensors[own + ".weight"] = weft::WeightTransfer::Identity{extents};
    step.tensors[own + ".bias"] = weft::WeightTransfer::Constant{0.0, {width}};
    for (std::size_t layer = at + 1; layer < layers.size(); ++layer) {
      for (const std::string& tensor : tensors_of(layers[layer - 1]))
        step.tensors[place(layer + 1) + tensor] = weft::WeightTransfer::Gather{place(layer) + tensor};
    }
    for (std::size_t layer = at + 1; layer < layers.size(); ++layer) {
      for (const std::string& tensor : tensors_of(layers[layer - 1])) {
        if (!step.tensors.contains(place(layer) + tensor)) step.removed.push_back(place(layer) + tensor);
      }
    }
    layers.insert(layers.begin() + static_cast<std::ptrdiff_t>(at), inserted);
    return child_of(layers, std::move(transfer), inserted.to_text() + " behind " + place(at));
  }

  static const Layer& last_convolution(const std::vector<Layer>& layers, std::size_t up_to) {
    for (std::size_t layer = up_to; layer > 0; --layer) {
      if (layers[layer - 1].type == Type::convolution) return layers[layer - 1];
    }
    throw weft::NotApplicable("no convolution comes before " + place(up_to));
  }

  static std::vector<std::string> tensors_of(const Layer& layer) {
    if (layer.type == Type::convolution) return {"/conv2d.weight", "/conv2d.bias"};
    if (layer.type == Type::fully_connected) return {"/linear.weight", "/linear.bias"};
    return {};
  }

  static std::string text_of(const std::vector<Layer>& layers) {
    std::string text;
    for (const Layer& layer : layers) text += (text.empty() ? "" : " ") + layer.to_text();
    return text;
  }

  chain::Trellis trellis() const { return chain::Trellis(options_, start(), task_.input); }

  Position start() const { return {.last = {}, .height = task_.input.height, .width = task_.input.width}; }

  template <typename Visit>
  Position follow(std::span<const std::int32_t> taken, Visit&& visit) const {
    Position position = start();
    for (const std::int32_t option : taken) {
      const std::vector<const Layer*> options = options_.legal(position);
      if (position.last.type == Type::softmax || option < 0 || static_cast<std::size_t>(option) >= options.size()) {
        throw weft::InvalidInput("layer " + std::to_string(position.depth + 1) + " takes option " +
                                 std::to_string(option) + "; there are " +
                                 std::to_string(position.last.type == Type::softmax ? 0 : options.size()));
      }
      position.append(*options[static_cast<std::size_t>(option)]);
      visit(position.last);
    }
    return position;
  }
  Position follow(std::span<const std::int32_t> taken) const {
    return follow(taken, [](const Layer&) {});
  }

  std::vector<Layer> layers_of(const weft::Genotype& genotype) const {
    std::vector<Layer> layers;
    if (genotype.opaque.is_null()) follow(genotype.decisions, [&](const Layer& layer) { layers.push_back(layer); });
    if (layers.empty() || layers.back().type != Type::softmax) walk(genotype);  // says what is missing
    return layers;
  }

  Options options_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Chain>("chain"))
