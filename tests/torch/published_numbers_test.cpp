// Published counts of parameters and multiply-adds, held against the graph and against LibTorch.

#include <ATen/ATen.h>

#include <cmath>

#include "plugins/space/darts/published_genotypes.hpp"
#include "tests/catch.hpp"
#include "tests/torch/counts.hpp"
#include "weft/blocks.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::Json;
using weft::NodeId;
using weft::Shape;

weft::Architecture decode(const char* space, const Json& args, const Json& task, const std::string& notation) {
  const weft::testing::Instance instance(weft::testing::Plugin::open("space", space), args,
                                         {.study = {{"task", task}}});
  const weft::SpaceRef reference(instance.handle());
  return reference.decode(reference.parse(notation)).architecture;
}

struct Counts {
  std::int64_t parameters;
  std::int64_t multiply_adds;
  friend bool operator==(const Counts&, const Counts&) = default;
};

Counts by_graph(const weft::Architecture& graph) { return {graph.cost().parameters, graph.cost().multiply_adds}; }

// Runs one example; its output has the shape that the graph says.
Counts by_libtorch(const weft::Architecture& graph) {
  const at::NoGradGuard no_grad;
  weft::Network network(graph, weft::Rng(1));
  network.condense();
  network.eval();
  const Shape& input = graph.shape(0);
  const at::Tensor image = at::randn({1, input.channels, input.height, input.width});
  CHECK(network.forward(image).logits.numel() == graph.shape(graph.output()).elements());
  return {count_parameters(network), count_multiply_adds(network, image)};
}

using darts::darts_v1;
using darts::nasnet;

}  // namespace

// Counted with the official code, quark0/darts: each operation with 16 channels at 16 x 16, its batch norms affine or
// not.
TEST_CASE("DARTS: the operations have the official code's parameters and output shapes") {
  struct Row {
    std::string operation;
    std::int64_t stride, affine, not_affine;
  };
  for (const auto& [operation, stride, affine_parameters, other_parameters] : {
           Row{"none", 1, 0, 0},
           Row{"none", 2, 0, 0},
           Row{"max_pool_3x3", 1, 0, 0},
           Row{"max_pool_3x3", 2, 0, 0},
           Row{"avg_pool_3x3", 1, 0, 0},
           Row{"avg_pool_3x3", 2, 0, 0},
           Row{"skip_connect", 1, 0, 0},
           Row{"skip_connect", 2, 288, 256},
           Row{"sep_conv_3x3", 1, 864, 800},
           Row{"sep_conv_3x3", 2, 864, 800},
           Row{"sep_conv_5x5", 1, 1376, 1312},
           Row{"sep_conv_5x5", 2, 1376, 1312},
           Row{"sep_conv_7x7", 1, 2144, 2080},
           Row{"sep_conv_7x7", 2, 2144, 2080},
           Row{"dil_conv_3x3", 1, 432, 400},
           Row{"dil_conv_3x3", 2, 432, 400},
           Row{"dil_conv_5x5", 1, 688, 656},
           Row{"dil_conv_5x5", 2, 688, 656},
           Row{"conv_7x1_1x7", 1, 3616, 3584},
           Row{"conv_7x1_1x7", 2, 3616, 3584},
       }) {
    for (const bool affine : {true, false}) {
      CAPTURE(operation, stride, affine);
      weft::ArchitectureBuilder graph;
      const NodeId input = graph.input(Shape::image(16, 16, 16));
      NodeId output = input;
      if (operation == "none") output = graph.add("zero", {{"stride", stride}}, {input});
      if (operation == "max_pool_3x3") output = blocks::pool(graph, input, "max_pool", 3, stride);
      if (operation == "avg_pool_3x3") output = blocks::pool(graph, input, "avg_pool", 3, stride);
      if (operation == "skip_connect" && stride == 2) output = blocks::factorized_reduction(graph, input, 16, affine);
      if (operation.starts_with("sep_conv"))
        output = blocks::separable_conv(graph, input, 16, blocks::square_kernel(operation), stride, affine);
      if (operation.starts_with("dil_conv"))
        output = blocks::dilated_conv(graph, input, 16, blocks::square_kernel(operation), stride, affine);
      if (operation == "conv_7x1_1x7") output = blocks::factorized_conv(graph, input, 16, 7, stride, affine);
      const weft::Architecture architecture = std::move(graph).build(output);
      CHECK(architecture.shape(architecture.output()) == Shape::image(16, 16 / stride, 16 / stride));
      CHECK(by_graph(architecture).parameters == (affine ? affine_parameters : other_parameters));
      CHECK(by_libtorch(architecture) == by_graph(architecture));
    }
  }
}

// Counted with the official code, quark0/darts, without the auxiliary head: CIFAR networks with 10 classes,
// multiply-adds of convolutions and linear layers for one 3 x 32 x 32 image; ImageNet networks with 1,000 classes,
// parameters alone.
TEST_CASE("DARTS: the evaluation networks have the official code's parameters and multiply-adds") {
  struct Row {
    const std::string& genotype;
    int channels, layers;
    Counts counts;
  };
  const Json cifar = {{"input", {3, 32, 32}}, {"classes", 10}};
  for (const auto& [genotype, channels, layers, counts] : {
           Row{nasnet, 36, 20, {3830950, 603452448}},
           Row{nasnet, 16, 8, {333946, 56224896}},
           Row{darts_v1, 36, 20, {3169414, 500987520}},
           Row{darts_v1, 16, 8, {232890, 41355776}},
           Row{darts_v1, 8, 5, {35058, 7066880}},
       }) {
    CAPTURE(genotype, channels, layers);
    const weft::Architecture graph = decode("darts", {{"channels", channels}, {"layers", layers}}, cifar, genotype);
    CHECK(by_graph(graph) == counts);
    CHECK(by_libtorch(graph) == counts);
  }
  const Json imagenet = {{"input", {3, 224, 224}}, {"classes", 1000}};
  for (const auto& [genotype, parameters] : {std::pair{nasnet, 5564320}, std::pair{darts_v1, 4510432}}) {
    CAPTURE(genotype);
    const weft::Architecture graph =
        decode("darts", {{"template", "imagenet"}, {"channels", 48}, {"layers", 14}}, imagenet, genotype);
    CHECK(by_graph(graph).parameters == parameters);
    CHECK(by_libtorch(graph) == by_graph(graph));
  }
}

// Dong, Yang 2020, as NATS-Bench tabulates it. Its multiply-adds count the classifier's 10 bias additions, ours do not.
TEST_CASE("NAS-Bench-201: the networks have the benchmark's parameters and multiply-adds") {
  const Json task = {{"input", {3, 32, 32}}, {"classes", 10}};
  const auto cell = [&](const std::string& op) {
    const auto edge = [&](int from) { return op + "~" + std::to_string(from) + "|"; };
    return decode("nas_bench_201", Json::object(), task,
                  "|" + edge(0) + "+|" + edge(0) + edge(1) + "+|" + edge(0) + edge(1) + edge(2));
  };
  for (const auto& [operation, counts] : {std::pair{"skip_connect", Counts{73306, 7783050 - 10}},
                                          std::pair{"nor_conv_3x3", Counts{1531546, 220119690 - 10}}}) {
    CAPTURE(operation);
    const weft::Architecture graph = cell(operation);
    CHECK(by_graph(graph) == counts);
    CHECK(by_libtorch(graph) == counts);
  }
}

// What is counted is what the network has and does: ShichenLiu/CondenseNet's table for CIFAR-10 says 0.52 M parameters
// and 65.8 M multiply-adds of CondenseNet-86. Its outputs are those of the masked, dense network that was trained.
TEST_CASE("CondenseNet and DPP-Net: the condensed networks have the parameters and multiply-adds that are counted") {
  const Json task = {{"input", {3, 32, 32}}, {"classes", 10}};
  for (const auto& [space, notation] : {std::pair("condensenet", "stages 14-14-14 growth 8-16-32"),
                                        std::pair("dpp_net", "bn_relu learned_group_conv_1x1 bn_relu group_conv_3x3"),
                                        std::pair("dpp_net", "none conv_3x3 none learned_group_conv_1x1")}) {
    CAPTURE(space, notation);
    const weft::Architecture graph = decode(space, Json::object(), task, notation);
    CHECK(by_libtorch(graph) == by_graph(graph));

    const at::NoGradGuard no_grad;
    weft::Network network(graph, weft::Rng(1));  // in training: batch norms keep the untrained layers' outputs apart
    const at::Tensor x = at::randn({2, 3, 32, 32});
    const at::Tensor dense = network.forward(x).logits;
    network.set_progress(1.0);
    const at::Tensor masked = network.forward(x).logits;
    network.condense();
    CHECK(at::allclose(network.forward(x).logits, masked, 1e-3, 1e-4));
    CHECK_FALSE(at::allclose(masked, dense, 1e-2, 1e-2));  // else the above would show nothing
  }
}
