// Networks to start from, written as a chain of layers.
//
// C(filters,kernel) is a convolution, batch norm and ReLU; P(kernel) maxima over squares that do not overlap; FC(units) a
// linear layer, batch norm and ReLU, behind the mean over the image's pixels. The classifier follows by itself: of no
// layers at all it is a linear model of those means.
#pragma once

#include <string>
#include <string_view>

#include "weft/blocks.hpp"
#include "weft/context.hpp"
#include "weft/notation_reader.hpp"

namespace graph_space {

namespace blocks = weft::blocks;
using weft::NodeId;

inline NodeId as_features(weft::ArchitectureBuilder& graph, NodeId x) {
  return graph.shape(x).is_image() ? graph.add("global_avg_pool", {}, {x}) : x;
}

// Throws InvalidInput.
inline weft::Architecture chain(std::string_view notation, const weft::Task& task) {
  weft::NotationReader reader(notation, "C(64,3) P(2) C(128,3) FC(256)");
  weft::ArchitectureBuilder graph;
  NodeId x = graph.input(task.input);
  for (int layer = 1; !reader.at_end(); ++layer) {
    const auto group = graph.group("layer " + std::to_string(layer));
    if (reader.accept("FC(")) {
      const std::int64_t units = reader.integer("the number of units");
      reader.expect(")");
      x = graph.add("linear", {{"features", units}, {"bias", false}}, {as_features(graph, x)});
      x = blocks::bn_relu(graph, x);
      continue;
    }
    if (!graph.shape(x).is_image()) reader.fail("a fully connected layer, since such a layer came before");
    if (reader.accept("C(")) {
      const std::int64_t filters = reader.integer("the number of filters");
      reader.expect(",");
      const std::int64_t kernel = reader.integer("the kernel");
      reader.expect(")");
      if (kernel < 1 || kernel % 2 == 0) reader.fail("an odd kernel before this");
      x = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(filters, kernel));
    } else if (reader.accept("P(")) {
      const std::int64_t kernel = reader.integer("the kernel");
      reader.expect(")");
      x = graph.add("max_pool", {{"kernel", kernel}, {"stride", kernel}}, {x});
    } else {
      reader.fail("C(filters,kernel), P(kernel) or FC(units)");
    }
  }
  const auto group = graph.group("classifier");
  x = graph.add("linear", {{"features", task.classes}}, {as_features(graph, x)});
  return std::move(graph).build(x);
}

}  // namespace graph_space
