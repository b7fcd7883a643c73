// MetaQNN's space: a chain of convolutions, max pooling, global average pooling and fully connected layers, chosen
// layer by layer from the actions that are legal there.
//
// Baker, Gupta, Naik, Raskar 2017, "Designing Neural Network Architectures using Reinforcement Learning", section 4.1
// and Table 1; details as in the authors' published code (bowenbaker/metaqnn). Kernels may be as large as the map, as
// the paper says (the code: smaller). Deviation: maps need not be square; the smaller extent decides what fits, the
// larger one what counts as small.

#include <algorithm>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/morphs.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::Json;
using weft::NodeId;

// A layer as an action; those of its numbers that its type lacks are 0.
struct Layer {
  enum class Type { start, convolution, pooling, global_pooling, fully_connected, softmax };

  Type type = Type::start;
  std::int64_t filters = 0;
  std::int64_t kernel = 0;
  std::int64_t stride = 0;
  std::int64_t neurons = 0;

  std::string to_text() const {
    const auto call = [](std::string text, std::initializer_list<std::int64_t> numbers) {
      char separator = '(';
      for (const std::int64_t number : numbers) {
        text += separator + std::to_string(number);
        separator = ',';
      }
      return text + ")";
    };
    switch (type) {
      case Type::convolution:
        return call("C", {filters, kernel, stride});
      case Type::pooling:
        return call("P", {kernel, stride});
      case Type::global_pooling:
        return "GAP";
      case Type::fully_connected:
        return call("FC", {neurons});
      case Type::softmax:
        return "SM";
      case Type::start:
        break;
    }
    return "start";
  }
};

using Type = Layer::Type;

struct Options {
  std::vector<Layer> layers;  // every layer there is; softmax, the last, ends the chain
  std::size_t depth_limit;
  int max_fully_connected;
  std::int64_t fully_connected_size;
  std::vector<std::int64_t> size_bins;  // ascending
  double noise;                         // of what widen repeats

  explicit Options(const weft::Context& context)
      : depth_limit(context.get<std::size_t>("depth_limit")),
        max_fully_connected(context.get<int>("max_fully_connected")),
        fully_connected_size(context.get<std::int64_t>("fully_connected_size")),
        size_bins(context.get<std::vector<std::int64_t>>("size_bins")),
        noise(context.get<double>("noise")) {
    std::sort(size_bins.begin(), size_bins.end());
    const auto kernels = context.get<std::vector<std::int64_t>>("kernels");
    weft::require::odd(kernels, "kernels");
    for (const std::int64_t filters : context.get<std::vector<std::int64_t>>("filters")) {
      for (const std::int64_t kernel : kernels) {
        layers.push_back({.type = Type::convolution, .filters = filters, .kernel = kernel, .stride = 1});
      }
    }
    for (const auto& [kernel, stride] : context.get<std::vector<std::pair<std::int64_t, std::int64_t>>>("pools")) {
      layers.push_back({.type = Type::pooling, .kernel = kernel, .stride = stride});
    }
    layers.push_back({.type = Type::global_pooling});
    for (const std::int64_t neurons : context.get<std::vector<std::int64_t>>("neurons")) {
      layers.push_back({.type = Type::fully_connected, .neurons = neurons});
    }
    layers.push_back({.type = Type::softmax});
  }
};

// Where the construction of a chain stands.
struct Position {
  Layer last;             // the layer before
  std::size_t depth = 0;  // layers so far, without the softmax
  std::int64_t height;    // the true size of the map, as long as there is one
  std::int64_t width;
  int fully_connected = 0;  // consecutive ones

  bool has_map() const {
    return last.type == Type::start || last.type == Type::convolution || last.type == Type::pooling;
  }

  void append(const Layer& layer) {
    if (layer.type == Type::pooling) {
      const auto pooled = [&](std::int64_t extent) { return (extent - layer.kernel + layer.stride) / layer.stride; };
      height = pooled(height);
      width = pooled(width);
    }
    if (layer.type == Type::fully_connected) ++fully_connected;
    if (layer.type != Type::softmax) ++depth;
    last = layer;
  }
};

NodeId add_layer(ArchitectureBuilder& graph, NodeId input, const Layer& layer) {
  switch (layer.type) {
    case Type::convolution: {
      blocks::Convolution convolution = blocks::Convolution::square(layer.filters, layer.kernel, layer.stride);
      convolution.bias = true;  // there is no batch norm
      return blocks::relu(graph, blocks::convolution(graph, input, convolution));
    }
    case Type::pooling:
      return graph.add("max_pool", {{"kernel", layer.kernel}, {"stride", layer.stride}}, {input});
    case Type::global_pooling:
      return graph.add("global_avg_pool", {}, {input});
    default: {
      if (graph.shape(input).is_image()) input = graph.add("flatten", {}, {input});
      return blocks::relu(graph, graph.add("linear", {{"features", layer.neurons}}, {input}));
    }
  }
}

// The place of a layer, counted from 1; what it holds is named after it.
std::string place(std::size_t layer) { return "layer " + std::to_string(layer); }

class Chain final : public weft::DecisionSpace, public weft::Morphisms {
 public:
  explicit Chain(const weft::Context& context) : options_(context), task_(context.task()) {
    weft::require::image(task_.input, "chain");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const Position position = follow(taken);
    if (position.last.type == Type::softmax) return {};
    weft::Decision decision{
        .name = "layer " + std::to_string(taken.size() + 1), .group = "layer", .step = static_cast<int>(taken.size())};
    for (const Layer* layer : legal(position)) decision.options.push_back(layer->to_text());
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
          position.has_map() ? binned_size(position) : 0, last.neurons, std::int64_t{terminated}}) {
      key += ',';
      key += std::to_string(part);
    }
    return key;
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Layer> layers = layers_of(genotype);
    const std::size_t depth = layers.size() - 1;  // without the softmax
    const std::size_t dropouts = depth / 2;
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    for (std::size_t i = 1; i <= depth; ++i) {
      const auto group = graph.group(place(i));
      x = add_layer(graph, x, layers[i - 1]);
      // After every two layers; the i-th of n dropouts has probability i / 2n.
      if (i % 2 != 0) continue;
      const std::size_t dropout = i / 2;
      x = graph.add("dropout", {{"probability", static_cast<double>(dropout) / static_cast<double>(2 * dropouts)}},
                    {x});
    }
    const auto group = graph.group("classifier");
    if (graph.shape(x).is_image()) x = graph.add("flatten", {}, {x});
    x = graph.add("linear", {{"features", task_.classes}}, {x});
    return {std::move(graph).build(x)};
  }

  // C(filters,kernel,stride) P(kernel,stride) GAP FC(neurons) SM.
  std::string notation(const weft::Genotype& genotype) const override {
    return text_of(layers_of(genotype));
  }

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
      const Layer* layer = legal(position)[static_cast<std::size_t>(genotype.decisions[depth])];
      const auto index = static_cast<std::size_t>(layer - options_.layers.data());
      code[depth * (options_.layers.size() - 1) + index] = 1.0;
      position.append(*layer);
    }
    return code;
  }

  // Net2Net's on chains: the next larger number of filters or neurons, a kernel that is larger by two, and behind a layer
  // one of as many filters or neurons that is the identity.
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
        for (const std::int64_t kernel : kernels()) all.push_back({{"morph", "deepen"}, {"layer", at}, {"kernel", kernel}});
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

  Position start() const { return {.last = {}, .height = task_.input.height, .width = task_.input.width}; }

  std::int64_t binned_size(const Position& position) const {
    const std::int64_t size = std::max(position.height, position.width);
    std::int64_t bin = options_.size_bins.front();
    for (const std::int64_t threshold : options_.size_bins) {
      if (threshold <= size) bin = threshold;
    }
    return bin;
  }

  bool is_legal(const Layer& layer, const Position& position) const {
    if (layer.type == Type::softmax) return true;
    if (position.depth >= options_.depth_limit) return false;
    const std::int64_t extent = std::min(position.height, position.width);
    switch (layer.type) {
      case Type::convolution:
        return position.has_map() && layer.kernel <= extent;
      case Type::pooling:
        return position.last.type == Type::convolution && layer.kernel <= extent;
      case Type::global_pooling:
        return position.has_map();
      default:
        if (position.has_map()) return binned_size(position) <= options_.fully_connected_size;
        return position.last.type == Type::fully_connected && position.fully_connected < options_.max_fully_connected &&
               layer.neurons <= position.last.neurons;
    }
  }

  std::vector<const Layer*> legal(const Position& position) const {
    std::vector<const Layer*> legal;
    for (const Layer& layer : options_.layers) {
      if (is_legal(layer, position)) legal.push_back(&layer);
    }
    return legal;
  }

  template <typename Visit>
  Position follow(std::span<const std::int32_t> taken, Visit&& visit) const {
    Position position = start();
    for (const std::int32_t option : taken) {
      const std::vector<const Layer*> options = legal(position);
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
