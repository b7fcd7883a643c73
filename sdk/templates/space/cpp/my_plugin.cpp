// my_plugin: a chain of convolutions. Two decisions per layer: how many channels, and how large a kernel.
//
// next() says what is to be decided after the options taken so far, decode() builds the network from all of them.
// Sampling, notation, mutation, crossover and encoding follow from next(); each may be overridden.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/plugin.hpp"

namespace {

const std::vector<std::int64_t> channels = {8, 16, 32};
const std::vector<std::int64_t> kernels = {1, 3, 5};

std::vector<std::string> texts(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> texts;
  for (const std::int64_t number : numbers) texts.push_back(std::to_string(number));
  return texts;
}

class MyPlugin final : public weft::DecisionSpace {
 public:
  explicit MyPlugin(const weft::Context& context) : layers_(context.get<std::size_t>("layers")), task_(context.task()) {
    if (!task_.input.is_image())
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() + "; my_plugin needs images");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t layer = taken.size() / 2;
    if (layer == layers_) return {};
    const bool wants_channels = taken.size() % 2 == 0;
    return weft::Decision{.name = "layer " + std::to_string(layer + 1) + (wants_channels ? "/channels" : "/kernel"),
                          .group = wants_channels ? "channels" : "kernel",
                          .kind = weft::Decision::Kind::ordinal,
                          .options = texts(wants_channels ? channels : kernels),
                          .step = static_cast<int>(layer)};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);  // refuses what is no genotype of this space
    weft::ArchitectureBuilder graph;
    weft::NodeId x = graph.input(task_.input);
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      const auto group = graph.group("layer " + std::to_string(layer + 1));
      const auto option = [&](std::size_t at) { return static_cast<std::size_t>(genotype.decisions[2 * layer + at]); };
      x = weft::blocks::conv_bn_relu(graph, x,
                                     weft::blocks::Convolution::square(channels[option(0)], kernels[option(1)]));
    }
    x = weft::blocks::classifier(graph, x, task_.classes);
    return {std::move(graph).build(x)};
  }

 private:
  std::size_t layers_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
