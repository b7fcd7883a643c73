// The layers of a chain, which of them are legal where, and what each is in a graph.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/context.hpp"
#include "weft/requirements.hpp"

namespace chain {

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

  friend bool operator==(const Layer&, const Layer&) = default;
};

using Type = Layer::Type;

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

// What layers there are, and where: Table 1.
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

  // The size of a map, rounded down.
  std::int64_t binned_size(const Position& position) const {
    const std::int64_t size = std::max(position.height, position.width);
    std::int64_t bin = size_bins.front();
    for (const std::int64_t threshold : size_bins) {
      if (threshold <= size) bin = threshold;
    }
    return bin;
  }

  bool is_legal(const Layer& layer, const Position& position) const {
    if (layer.type == Type::softmax) return true;
    if (position.depth >= depth_limit) return false;
    const std::int64_t extent = std::min(position.height, position.width);
    switch (layer.type) {
      case Type::convolution:
        return position.has_map() && layer.kernel <= extent;
      case Type::pooling:
        return position.last.type == Type::convolution && layer.kernel <= extent;
      case Type::global_pooling:
        return position.has_map();
      default:
        if (position.has_map()) return binned_size(position) <= fully_connected_size;
        return position.last.type == Type::fully_connected && position.fully_connected < max_fully_connected &&
               layer.neurons <= position.last.neurons;
    }
  }

  // What may come there, in the order of `layers`.
  std::vector<const Layer*> legal(const Position& position) const {
    std::vector<const Layer*> legal;
    for (const Layer& layer : layers) {
      if (is_legal(layer, position)) legal.push_back(&layer);
    }
    return legal;
  }
};

inline weft::NodeId add_layer(weft::ArchitectureBuilder& graph, weft::NodeId input, const Layer& layer) {
  namespace blocks = weft::blocks;
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
inline std::string place(std::size_t layer) { return "layer " + std::to_string(layer); }

// Behind every second layer of a chain that is `depth` layers long; the i-th of n dropouts has probability i / 2n.
inline weft::NodeId add_dropout(weft::ArchitectureBuilder& graph, weft::NodeId input, std::size_t layer,
                                std::size_t depth) {
  if (layer % 2 != 0) return input;
  const auto dropout = static_cast<double>(layer / 2);
  const auto dropouts = static_cast<double>(depth / 2);
  return graph.add("dropout", {{"probability", dropout / (2 * dropouts)}}, {input});
}

// The softmax's.
inline weft::NodeId add_classifier(weft::ArchitectureBuilder& graph, weft::NodeId input, std::int64_t classes) {
  const auto group = graph.group("classifier");
  if (graph.shape(input).is_image()) input = graph.add("flatten", {}, {input});
  return graph.add("linear", {{"features", classes}}, {input});
}

}  // namespace chain
