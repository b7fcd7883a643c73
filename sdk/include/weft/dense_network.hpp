// The skeleton of CondenseNet, densely connected from the first layer to the last: a 3x3 convolution to twice the first
// stage's growth, stages of layers that each append their output to what they read, 2 x 2 average pooling between
// stages, and batch norm, ReLU and a linear classifier over the mean of the map.
//
// Huang, Liu, van der Maaten, Weinberger 2018, "CondenseNet: An Efficient DenseNet using Learned Group Convolutions",
// section 4; details as in the authors' code (ShichenLiu/CondenseNet). Used by spaces of what a layer is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/blocks.hpp"
#include "weft/requirements.hpp"

namespace weft {

struct DenseNetwork {
  struct Stage {
    std::int64_t layers = 0;
    std::int64_t growth = 0;  // channels that each layer appends
  };
  // Adds what a layer appends to `input`: an image of the same extent with `growth` channels.
  using AddLayer = std::function<NodeId(ArchitectureBuilder& graph, NodeId input, std::int64_t growth)>;

  std::vector<Stage> stages = {};
  std::int64_t stem_stride = 1;      // the authors': 1 for CIFAR, 2 for ImageNet
  std::string layer_name = "layer";  // in drawings

  // Of an image that is not pooled away.
  static std::int64_t smallest_extent(std::size_t stages, std::int64_t stem_stride) {
    return require::before_stride(require::before_halvings(stages - 1), stem_stride);
  }

  Architecture build(const Shape& input, std::int64_t classes, const AddLayer& add_layer) const {
    ArchitectureBuilder graph;
    NodeId x = graph.input(input);
    {
      const auto group = graph.group("stem");
      const std::int64_t channels = 2 * stages.front().growth;
      x = blocks::convolution(graph, x, blocks::Convolution::square(channels, 3, stem_stride));
    }
    std::int64_t number = 0;
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
      if (stage > 0) {
        const auto group = graph.group("transition " + std::to_string(stage));
        x = blocks::pool(graph, x, "avg_pool", 2, 2);
      }
      for (std::int64_t layer = 0; layer < stages[stage].layers; ++layer) {
        const auto group = graph.group(layer_name + " " + std::to_string(++number));
        x = graph.add("concat", {}, {x, add_layer(graph, x, stages[stage].growth)});
      }
    }
    {
      const auto group = graph.group("classifier");
      x = blocks::bn_relu(graph, x);
    }
    return std::move(graph).build(blocks::classifier(graph, x, classes));
  }
};

}  // namespace weft
