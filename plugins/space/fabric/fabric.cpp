// A space of one: a convolutional neural fabric, a lattice of layers and scales in which each node reads its neighbours
// in the layer before. Exponentially many networks lie in it as paths, and all of its weights are trained together:
// nothing is chosen. A baseline of searches over supernets.
//
// Saxena, Verbeek 2016, "Convolutional Neural Fabrics", for classification; which nodes read which as in the authors'
// code (shreyassaxena/convolutional-neural-fabrics). A node is ReLU(BN(sum of a 3 x 3 convolution with bias of each
// node that it reads)).
//
// Where it differs: towards finer scales the authors' unpooling, as far as is known, puts each value into one of four
// pixels and zeros into the others; here all four have it. Weights are initialised as everywhere in Weft. Images are
// padded with zeros to a square whose side is a power of two, as the authors pad MNIST's to 32 x 32.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::NodeId;

enum class Connectivity { dense, sparse };

struct Fabric {
  std::int64_t layers, channels;
  Connectivity connectivity;

  // Scales from fine to coarse, 1 x 1 the last: each has half the extent of the one before.
  weft::Architecture network(const weft::Task& task) const;

 private:
  NodeId add_image_edge(ArchitectureBuilder& graph, NodeId image) const;
  NodeId add_edge(ArchitectureBuilder& graph, NodeId from, std::int64_t extent) const;
  NodeId add_node(ArchitectureBuilder& graph, const std::vector<NodeId>& edges) const;
};

NodeId padded_to_power_of_two(ArchitectureBuilder& graph, NodeId image) {
  const weft::Shape shape = graph.shape(image);
  const auto side =
      static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max(shape.height, shape.width))));
  if (shape.height == side && shape.width == side) return image;
  const std::int64_t rows = side - shape.height, columns = side - shape.width;
  return graph.add("pad", {{"padding", {rows / 2, rows - rows / 2, columns / 2, columns - columns / 2}}}, {image});
}

NodeId convolve(ArchitectureBuilder& graph, NodeId x, const Convolution& of, bool bias) {
  Convolution convolution = of;
  convolution.bias = bias;
  return blocks::convolution(graph, x, convolution);
}

// Channel c of the output reads the channels c - 1, c and c + 1 of the input: three depthwise convolutions, of the
// channels as they are and moved by one either way.
NodeId sparse_convolution(ArchitectureBuilder& graph, NodeId x, std::int64_t stride) {
  const std::int64_t channels = graph.shape(x).channels;
  const auto depthwise = [&](NodeId from, bool bias) {
    return convolve(graph, from, Convolution::depthwise(graph.shape(from).channels, 3, stride), bias);
  };
  const NodeId same = depthwise(x, true);
  if (channels == 1) return same;
  const auto slice = [&](std::int64_t from, std::int64_t count) {
    return graph.add("slice", {{"from", from}, {"channels", count}}, {x});
  };
  const NodeId nothing = graph.add("zero", {{"stride", stride}}, {slice(0, 1)});
  const NodeId before = graph.add("concat", {}, {nothing, depthwise(slice(0, channels - 1), false)});
  const NodeId after = graph.add("pad", {{"channels", 1}}, {depthwise(slice(1, channels - 1), false)});
  return graph.add("add", {}, {before, same, after});
}

// Never sparse.
NodeId Fabric::add_image_edge(ArchitectureBuilder& graph, NodeId image) const {
  const auto group = graph.own_group("conv_3x3");
  return convolve(graph, image, Convolution::square(channels, 3), true);
}

// From a node to one at `extent`, which is its own, half of it, or twice.
NodeId Fabric::add_edge(ArchitectureBuilder& graph, NodeId from, std::int64_t extent) const {
  const std::int64_t own = graph.shape(from).height;
  const auto group = graph.own_group(extent < own ? "down_conv_3x3" : extent > own ? "up_conv_3x3" : "conv_3x3");
  if (extent > own) from = graph.add("resize", {{"channels", channels}, {"height", extent}, {"width", extent}}, {from});
  const std::int64_t stride = extent < own ? 2 : 1;
  if (connectivity == Connectivity::sparse) return sparse_convolution(graph, from, stride);
  return convolve(graph, from, Convolution::square(channels, 3, stride), true);
}

NodeId Fabric::add_node(ArchitectureBuilder& graph, const std::vector<NodeId>& edges) const {
  return blocks::bn_relu(graph, edges.size() == 1 ? edges.front() : graph.add("add", {}, edges));
}

weft::Architecture Fabric::network(const weft::Task& task) const {
  ArchitectureBuilder graph;
  const NodeId image = padded_to_power_of_two(graph, graph.input(task.input));
  std::vector<std::int64_t> extents;
  for (std::int64_t extent = graph.shape(image).height; extent > 0; extent /= 2) extents.push_back(extent);
  std::vector<NodeId> last;  // of the layer before, by scale
  for (std::int64_t layer = 1; layer <= layers; ++layer) {
    const auto group = graph.group("layer " + std::to_string(layer));
    std::vector<NodeId> present;
    for (std::size_t scale = 0; scale < extents.size(); ++scale) {
      const std::int64_t extent = extents[scale];
      const auto node = graph.group("scale " + std::to_string(extent));
      std::vector<NodeId> edges;
      if (layer == 1 && scale == 0) edges.push_back(add_image_edge(graph, image));
      for (std::size_t from = scale > 0 ? scale - 1 : 0; from <= scale + 1 && from < last.size(); ++from)
        edges.push_back(add_edge(graph, last[from], extent));
      // Down through the first layer, which reads no other, and the last, whose end the classifier reads.
      if ((layer == 1 || layer == layers) && scale > 0) edges.push_back(add_edge(graph, present.back(), extent));
      present.push_back(add_node(graph, edges));
    }
    last = std::move(present);
  }
  return std::move(graph).build(blocks::classifier(graph, last.back(), task.classes));
}

class FabricSpace final : public weft::Space, public weft::Decisions {
 public:
  explicit FabricSpace(const weft::Context& context)
      : fabric_{.layers = context.get<std::int64_t>("layers"),
                .channels = context.get<std::int64_t>("channels"),
                .connectivity =
                    context.get<std::string>("connectivity") == "sparse" ? Connectivity::sparse : Connectivity::dense},
        task_(context.task()) {
    weft::require::image(task_.input, "fabric");
  }

  weft::Genotype sample(weft::Rng&) const override { return {}; }
  std::optional<weft::Decision> next(std::span<const std::int32_t>) const override { return {}; }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    check(genotype);
    return {fabric_.network(task_)};
  }
  std::string notation(const weft::Genotype& genotype) const override {
    check(genotype);
    return name();
  }
  weft::Genotype parse(std::string_view notation) const override {
    if (notation == name()) return {};
    throw weft::InvalidInput("\"" + std::string(notation) + "\" is not \"" + name() + "\", the only genotype there is");
  }

 private:
  std::string name() const {
    return (fabric_.connectivity == Connectivity::sparse ? "sparse L" : "dense L") + std::to_string(fabric_.layers) +
           " C" + std::to_string(fabric_.channels);
  }
  static void check(const weft::Genotype& genotype) {
    if (genotype == weft::Genotype()) return;
    throw weft::InvalidInput("the only genotype is the empty one, not " + genotype.key());
  }

  Fabric fabric_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<FabricSpace>("fabric"))
