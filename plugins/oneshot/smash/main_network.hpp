// The network that is trained along with the hypernetwork: of each architecture another, with shared weights where they
// do not depend on it.
//
// To the training loop it is a network of a single operation, whose parameters are those weights at the largest sizes
// that the space has. What it computes is the network of the present architecture, made anew for each: the 1x1
// convolutions of layers have generated weights, all else has slices of the shared ones, and gradients go through both.
// A supernet of choice nodes it is not: widths, kernels, dilations, groups and what is read and written combine to more
// options than a graph could hold.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hypernetwork.hpp"
#include "weft/architecture.hpp"
#include "weft/memory_banks.hpp"
#include "weft/torch/network.hpp"

namespace smash {

namespace memory = weft::memory_banks;

// Without the batch norms of layers, and the ReLU between two of them: generated weights are normalised instead.
inline weft::Architecture without_norms(const weft::Architecture& trained) {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> kept;
  for (const weft::Node& node : trained.nodes()) {
    std::vector<weft::NodeId> inputs;
    for (const weft::NodeId input : node.inputs) inputs.push_back(kept[static_cast<std::size_t>(input)]);
    const bool drops =
        node.name.ends_with("/read norm") || node.name.ends_with("/read relu") || node.name.ends_with("/mix norm");
    const auto group = graph.group(node.group);
    kept.push_back(drops ? inputs.front() : graph.add(node.operation, node.attributes, inputs, node.name));
  }
  return std::move(graph).build(kept[static_cast<std::size_t>(trained.output())]);
}

// Shared weights, each at its largest.
class SharedWeights final : public weft::OperationModule {
 public:
  SharedWeights(const memory::Geometry& geometry, std::int64_t channels, std::int64_t classes, const weft::Rng& rng)
      : geometry_(geometry) {
    const auto kernel = [&](const std::string& name, const std::vector<std::int64_t>& sizes) {
      return register_parameter(name, orthogonal(sizes, rng.derive(name)));
    };
    const auto norm = [&](const std::string& place, std::int64_t size) {
      return Norm{register_parameter(place + "_weight", at::ones({size})),
                  register_parameter(place + "_bias", at::zeros({size}))};
    };
    stem_ = kernel("stem", {geometry.base(), channels, 7, 7});
    const std::int64_t most = geometry.largest_bank, side = memory::kernels.back();
    for (int block = 0; block < memory::blocks; ++block) {
      const std::string number = std::to_string(block + 1);
      for (int i = 0; i < memory::convolutions; ++i)
        kernels_.push_back(
            kernel("block_" + number + "_convolution_" + std::to_string(i + 1), {most, most, side, side}));
      norms_.push_back(norm("norm_" + number, geometry.most_channels(block)));
      if (block + 1 < memory::blocks) {
        transitions_.push_back(
            kernel("transition_" + number, {geometry.entering(block + 1), geometry.most_channels(block), 1, 1}));
      }
    }
    linear_ = kernel("linear_weight", {classes, geometry.most_channels(memory::blocks - 1)});
    bias_ = register_parameter("linear_bias", at::zeros({classes}));
  }

  static std::int64_t count(const memory::Geometry& g, std::int64_t channels, std::int64_t classes) {
    const std::int64_t most = g.largest_bank, side = memory::kernels.back();
    std::int64_t count = g.base() * channels * 49 + memory::blocks * memory::convolutions * most * most * side * side +
                         classes * (g.most_channels(memory::blocks - 1) + 1);
    for (int block = 0; block < memory::blocks; ++block) {
      count += 2 * g.most_channels(block);
      if (block + 1 < memory::blocks) count += g.entering(block + 1) * g.most_channels(block);
    }
    return count;
  }

  // The parameters of the network of that architecture: slices of these, and the weights generated for its layers. A
  // kernel is the middle of the largest one.
  weft::NamedTensors of(const memory::Network& network, const std::vector<std::vector<at::Tensor>>& generated) const {
    weft::NamedTensors values{{"stem.weight", stem_}, {"classifier/linear.bias", bias_}};
    for (int b = 0; b < memory::blocks; ++b) {
      const auto at = static_cast<std::size_t>(b);
      const std::string number = std::to_string(b + 1);
      const memory::Block& block = network.parts[at];
      for (std::size_t l = 0; l < block.layers.size(); ++l) {
        const std::string place = "block " + number + "/layer " + std::to_string(l + 1) + "/";
        values[place + "mix.weight"] = generated[at][l];
        const std::int64_t out = block.layers[l].units * geometry_.bank;
        for (std::size_t i = 0; i < memory::convolutions; ++i) {
          const auto& c = block.layers[l].convolved[i];
          if (!c) continue;
          const std::int64_t in = i % 2 == 0 ? network.mixed_channels(b, block.layers[l]) : out;
          const at::Tensor& kernel = kernels_[at * memory::convolutions + i];
          const std::int64_t side = kernel.size(2);
          values[place + "convolution " + std::to_string(i + 1) + ".weight"] =
              kernel.narrow(0, 0, out)
                  .narrow(1, 0, in / c->groups)
                  .narrow(2, (side - c->height) / 2, c->height)
                  .narrow(3, (side - c->width) / 2, c->width);
        }
      }
      const std::int64_t channels = block.banks(geometry_, b) * block.width * geometry_.bank;
      const bool last = b + 1 == memory::blocks;
      const std::string place = last ? "classifier/" : "transition " + number + "/";
      values[place + "norm.weight"] = norms_[at].weight.narrow(0, 0, channels);
      values[place + "norm.bias"] = norms_[at].bias.narrow(0, 0, channels);
      values[place + (last ? "linear.weight" : "conv2d.weight")] =
          (last ? linear_ : transitions_[at]).narrow(1, 0, channels);
    }
    return values;
  }

  void compute(std::shared_ptr<weft::Network> network) { network_ = std::move(network); }

  // Logits of the present architecture.
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    network_->train(is_training());
    return network_->forward(inputs[0]).logits;
  }

 private:
  struct Norm {
    at::Tensor weight, bias;
  };

  memory::Geometry geometry_;
  at::Tensor stem_, linear_, bias_;
  std::vector<at::Tensor> kernels_, transitions_;
  std::vector<Norm> norms_;
  std::shared_ptr<weft::Network> network_;  // not registered: its parameters are slices
};

// The graph's network with these parameters, whose gradients go where they come from, unless gradients are off.
inline std::shared_ptr<weft::Network> assembled(const weft::Architecture& graph, const weft::NamedTensors& values) {
  const auto network = std::make_shared<weft::Network>(graph, weft::Rng(0));
  const at::TensorOptions options = values.begin()->second.options();
  network->to(options.device(), options.dtype().toScalarType());
  for (const auto& parameter : network->named_parameters()) {
    at::Tensor leaf = parameter.value();
    leaf.set_requires_grad(false);  // what is copied into it brings its own
    leaf.copy_(values.at(parameter.key()));
  }
  return network;
}

}  // namespace smash
