// The graph hypernetwork: states of an architecture's nodes, by messages along its edges, and the weights that follow
// from each state.
//
// Zhang, Ren, Urtasun 2019, section 4; sizes, and what the paper leaves open, as in a later reimplementation (Knyazev
// et al. 2021, facebookresearch/ppuda, GHN-1): a table of embeddings for the operations; a message MLP whose outputs
// are added up over a node's neighbours; one GRU; passed from the input to the output and back, `propagations` times;
// of a node's state a perceptron makes a kernel of the largest size, of which smaller ones are a corner and wider ones
// repetitions; another makes scales and shifts, a head on the kernels' hidden layer the classifier.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "layered_graph.hpp"
#include "weft/architecture.hpp"
#include "weft/error.hpp"
#include "weft/rng.hpp"
#include "weft/torch/network.hpp"

namespace graph_hypernetwork {

struct Options {
  std::int64_t state_size = 32;
  std::int64_t hidden_size = 64;
  int propagations = 5;             // T
  std::int64_t tile_channels = 64;  // of the largest kernel, in and out
};

// What weights there are to generate: the extents of each parameter of a network by name, "node.parameter".
using Extents = std::map<std::string, std::vector<std::int64_t>>;

inline Extents extents_of(const weft::Network& network) {
  Extents extents;
  for (const auto& parameter : network.named_parameters()) extents[parameter.key()] = parameter.value().sizes().vec();
  return extents;
}

class Hypernetwork {
 public:
  // For the parts of a supernet whose network has these parameters. Throws InvalidInput naming one that it has no
  // generator for.
  Hypernetwork(const weft::Architecture& supernet, Extents extents, const Options& options, const weft::Rng& rng)
      : options_(options), extents_(std::move(extents)), tokens_(tokens_of(supernet)) {
    for (const auto& [name, sizes] : extents_) {
      if (sizes.empty() || sizes.size() == 3 || sizes.size() > 4) {
        throw weft::InvalidInput("the supernet's parameter " + name + " is " + weft::Json(sizes).dump() +
                                 ": there is no generator for such weights, but for kernels, matrices and vectors");
      }
      if (sizes.size() == 4) side_ = std::max({side_, sizes[2], sizes[3]});
      if (sizes.size() == 2) classes_ = std::max(classes_, sizes[0]);
    }
    const std::int64_t d = options.state_size, tile = options.tile_channels;
    weft::Rng stream = rng.derive("embedding");
    embedding_ = keep("embedding", at::empty({static_cast<std::int64_t>(tokens_.size()), d})
                                       .normal_(0.0, 1.0, at::detail::createCPUGenerator(stream())));
    message_ = {linear("message_1", d, d, rng), linear("message_2", d, d, rng)};
    gru_input_ = linear("gru_input", d, 3 * d, rng, d);
    gru_state_ = linear("gru_state", d, 3 * d, rng, d);
    kernel_ = {linear("kernel_1", d, options.hidden_size, rng),
               linear("kernel_2", options.hidden_size, tile * tile * side_ * side_, rng)};
    classifier_ = linear("classifier", options.hidden_size, classes_ * tile, rng);
    vector_ = {linear("vector_1", d, options.hidden_size, rng), linear("vector_2", options.hidden_size, 2 * tile, rng)};
  }

  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  // They go where it goes, and are saved with it; they are not among its parameters.
  void join(torch::nn::Module& module) const {
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      module.register_buffer("hypernetwork_" + names_[i], parameters_[i]);
  }
  void to(at::ScalarType type) const {
    for (at::Tensor parameter : parameters_) parameter.set_data(parameter.data().to(type));
  }

  // By layer of the graph, [nodes, state_size].
  std::vector<at::Tensor> states(const LayeredGraph& graph) const {
    std::vector<at::Tensor> states;
    for (const at::Tensor& tokens : graph.tokens) states.push_back(embedding_.index_select(0, tokens));
    for (int t = 0; t < options_.propagations; ++t) {
      for (const Direction* direction : {&graph.forward, &graph.backward}) propagate(*direction, states);
    }
    return states;
  }

  // The parameters of a part of the supernet, by name.
  weft::NamedTensors operator()(const weft::Architecture& part) const {
    const LayeredGraph graph = layered(part, tokens_, embedding_.options().requires_grad(false));
    const std::vector<at::Tensor> states = this->states(graph);
    std::vector<std::string> kernels, matrices, vectors;  // parameters
    std::vector<at::Tensor> of_kernels, of_matrices, of_vectors;
    for (std::size_t layer = 0; layer < states.size(); ++layer) {
      for (std::size_t i = 0; i < graph.layers[layer].size(); ++i) {
        const std::string node = part.node(graph.layers[layer][i]).name + ".";
        const at::Tensor state = states[layer][static_cast<std::int64_t>(i)];
        for (auto entry = extents_.lower_bound(node); entry != extents_.end() && entry->first.starts_with(node);
             ++entry) {
          const std::size_t dimensions = entry->second.size();
          (dimensions == 4 ? kernels : dimensions == 2 ? matrices : vectors).push_back(entry->first);
          (dimensions == 4 ? of_kernels : dimensions == 2 ? of_matrices : of_vectors).push_back(state);
        }
      }
    }
    weft::NamedTensors weights;
    const std::int64_t tile = options_.tile_channels;
    if (!kernels.empty()) {
      const at::Tensor all = at::relu(kernel_[0](at::stack(of_kernels)));
      const at::Tensor tiles = kernel_[1](all).view({-1, tile, tile, side_, side_});
      for (std::size_t i = 0; i < kernels.size(); ++i)
        weights[kernels[i]] = fitted(tiles[static_cast<std::int64_t>(i)], extents_.at(kernels[i]));
    }
    if (!matrices.empty()) {
      const at::Tensor all = at::relu(kernel_[0](at::stack(of_matrices)));
      const at::Tensor tiles = classifier_(all).view({-1, classes_, tile});
      for (std::size_t i = 0; i < matrices.size(); ++i)
        weights[matrices[i]] = fitted(tiles[static_cast<std::int64_t>(i)], extents_.at(matrices[i]));
    }
    if (!vectors.empty()) {
      const at::Tensor all = at::relu(vector_[0](at::stack(of_vectors)));
      const at::Tensor tiles = vector_[1](all).view({-1, 2, tile});
      for (std::size_t i = 0; i < vectors.size(); ++i) {
        // Scales are generated as what they differ from 1 by.
        const bool scale = vectors[i].ends_with(".weight");
        const at::Tensor vector = fitted(tiles[static_cast<std::int64_t>(i)][scale ? 0 : 1], extents_.at(vectors[i]));
        weights[vectors[i]] = scale ? 1.0 + vector : vector;
      }
    }
    return weights;
  }

  // The first `sizes` of a tensor that is repeated along each dimension as often as that takes.
  static at::Tensor fitted(const at::Tensor& tile, const std::vector<std::int64_t>& sizes) {
    std::vector<std::int64_t> times;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const std::int64_t extent = tile.size(static_cast<std::int64_t>(i));
      times.push_back((sizes[i] + extent - 1) / extent);
    }
    at::Tensor fitted = tile;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const auto dimension = static_cast<std::int64_t>(i);
      fitted = fitted.narrow(dimension, 0, std::min(sizes[i], fitted.size(dimension)));
    }
    fitted = fitted.repeat(times);
    for (std::size_t i = 0; i < sizes.size(); ++i) fitted = fitted.narrow(static_cast<std::int64_t>(i), 0, sizes[i]);
    return fitted;
  }

 private:
  struct Linear {
    at::Tensor weight, bias;
    at::Tensor operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }
  };

  at::Tensor keep(const std::string& name, at::Tensor parameter) {
    names_.push_back(name);
    parameters_.push_back(parameter.set_requires_grad(true));
    return parameters_.back();
  }
  // Uniform within 1 / sqrt(inputs), as PyTorch does it.
  Linear linear(const std::string& name, std::int64_t in, std::int64_t out, const weft::Rng& rng,
                std::int64_t fan_in = 0) {
    weft::Rng stream = rng.derive(name);
    const at::Generator generator = at::detail::createCPUGenerator(stream());
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in > 0 ? fan_in : in));
    const at::Tensor weight = at::empty({out, in}).uniform_(-bound, bound, generator);
    const at::Tensor bias = at::empty({out}).uniform_(-bound, bound, generator);
    return {keep(name + "_weight", weight), keep(name + "_bias", bias)};
  }

  // Layer by layer: h = GRU(sum of MLP(h of the senders), h). Who receives nothing keeps its state.
  void propagate(const Direction& direction, std::vector<at::Tensor>& states) const {
    std::vector<at::Tensor> messages(states.size());
    for (const Direction::Step& step : direction.steps) {
      at::Tensor& state = states[step.layer];
      std::vector<at::Tensor> sent;
      for (const std::size_t sender : step.senders) sent.push_back(messages[sender]);
      state = gru(sent.empty() ? at::zeros_like(state) : step.adjacency.mm(at::cat(sent)), state);
      messages[step.layer] = at::relu(message_[1](at::relu(message_[0](state))));
    }
  }

  // Cho et al. 2014, with the gates in PyTorch's order.
  at::Tensor gru(const at::Tensor& message, const at::Tensor& state) const {
    const auto input = gru_input_(message).chunk(3, 1), kept = gru_state_(state).chunk(3, 1);
    const at::Tensor reset = at::sigmoid(input[0] + kept[0]), update = at::sigmoid(input[1] + kept[1]);
    const at::Tensor candidate = at::tanh(input[2] + reset * kept[2]);
    return candidate + update * (state - candidate);
  }

  Options options_;
  Extents extents_;
  std::vector<std::string> tokens_;
  std::int64_t side_ = 1, classes_ = 1;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_;
  at::Tensor embedding_;
  std::vector<Linear> message_, kernel_, vector_;
  Linear gru_input_, gru_state_, classifier_;
};

}  // namespace graph_hypernetwork
