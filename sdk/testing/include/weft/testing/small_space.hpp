// A space to try optimizers and evaluators on: six edges, five operations each, as many architectures as NAS-Bench-201
// has (15,625), and networks that train in no time. It has every capability that a space of decisions has.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

class SmallSpace final : public DecisionSpace {
 public:
  static constexpr std::size_t edges = 6;
  static constexpr std::array<const char*, 5> operations = {"identity", "conv1x1", "conv3x3", "avg_pool", "sep_conv"};

  explicit SmallSpace(const Context& context) : task_(context.task()) {}

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == edges) return {};
    const int edge = static_cast<int>(taken.size());
    return Decision{.name = "edge " + std::to_string(edge),
                    .group = "operation",
                    .options = {operations.begin(), operations.end()},
                    .step = edge};
  }

  // A chain of the edges, and the sum of all their ends.
  Candidate decode(const Genotype& genotype) const override {
    walk(genotype);
    ArchitectureBuilder graph;
    const NodeId stem = blocks::conv_bn_relu(graph, graph.input(task_.input), blocks::Convolution::square(4, 3));
    std::vector<NodeId> ends;
    NodeId at = stem;
    for (const std::int32_t option : genotype.decisions) {
      at = apply(graph, at, option);
      ends.push_back(at);
    }
    const NodeId classes = blocks::classifier(graph, graph.add("add", {}, ends), task_.classes);
    return {std::move(graph).build(classes)};
  }

 private:
  static NodeId apply(ArchitectureBuilder& graph, NodeId from, std::int32_t option) {
    switch (option) {
      case 1:
        return blocks::relu_conv_bn(graph, from, blocks::Convolution::square(4, 1));
      case 2:
        return blocks::relu_conv_bn(graph, from, blocks::Convolution::square(4, 3));
      case 3:
        return blocks::pool(graph, from, "avg_pool", 3);
      case 4:
        return blocks::separable_conv(graph, from, 4, 3);
      default:
        return graph.add("identity", {}, {from});
    }
  }

  Task task_;
};

inline const Plugin& small_space() {
  static constexpr weft_component component = weft::component<SmallSpace>("small_space");
  static const Plugin plugin{&component,
                             {{"provides", {"space.decisions", "space.mutation", "space.crossover", "space.encoding"}},
                              {"parameters", Json::object()}}};
  return plugin;
}

}  // namespace weft::testing
