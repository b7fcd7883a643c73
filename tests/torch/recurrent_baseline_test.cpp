// The classical cells of the space recurrent_baseline, held against LibTorch's own.

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/network.hpp"

namespace {

using weft::Json;

constexpr std::int64_t inputs = 3, features = 4;

// All gates have the same values in each kind of weight, so that their order in LibTorch's tensors does not matter.
struct Weights {
  at::Tensor of_x = at::randn({features, inputs});
  at::Tensor of_h = at::randn({features, features});
  at::Tensor bias = at::randn({features});

  // As LibTorch's functions take them: the second bias, which the cells do without, is zero.
  std::vector<at::Tensor> of_gates(std::int64_t count) const {
    return {of_x.repeat({count, 1}), of_h.repeat({count, 1}), bias.repeat({count}), at::zeros({count * features})};
  }
};

// The output at every position of the sequences x, [n, positions, inputs].
at::Tensor run(const char* cell, const Weights& weights, const at::Tensor& x) {
  const Json args = {{"cell", cell}, {"layers", 1}, {"features", features}, {"embedding_features", inputs}};
  const Json task = {{"input", {x.size(1), 1}}, {"classes", 10}};
  const weft::testing::Instance instance(weft::testing::Plugin::open("space", "recurrent_baseline"), args,
                                         {.study = {{"task", task}}});
  const weft::Architecture model = weft::SpaceRef(instance.handle()).decode({}).architecture;
  weft::ArchitectureBuilder graph;
  weft::NodeId layer = graph.input(weft::Shape::sequence(x.size(1), inputs));
  for (const weft::Node& node : model.nodes()) {
    if (node.operation == "recurrent") layer = graph.add("recurrent", node.attributes, {layer});
  }
  const at::NoGradGuard no_grad;
  weft::Network network(std::move(graph).build(layer), weft::Rng(1));
  for (auto& [name, tensor] : network.state()) {
    tensor.copy_(tensor.dim() == 1 ? weights.bias : tensor.size(1) == inputs ? weights.of_x : weights.of_h);
  }
  return network.forward(x).logits;
}

}  // namespace

TEST_CASE("recurrent_baseline: the cells compute what LibTorch's do") {
  at::manual_seed(5);
  const Weights weights;
  const at::Tensor x = at::randn({2, 6, inputs});
  const at::Tensor zeros = at::zeros({1, 2, features});
  const at::Tensor tanh = std::get<0>(at::rnn_tanh(x, zeros, weights.of_gates(1), true, 1, 0.0, false, false, true));
  CHECK(at::allclose(run("tanh", weights, x), tanh, 1e-5, 1e-6));
  const at::Tensor lstm =
      std::get<0>(at::lstm(x, {zeros, zeros}, weights.of_gates(4), true, 1, 0.0, false, false, true));
  CHECK(at::allclose(run("lstm", weights, x), lstm, 1e-5, 1e-6));
}
