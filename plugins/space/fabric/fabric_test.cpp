// Convolutional neural fabrics: edges and parameters by the paper's sizes, the wiring, the sparse connectivity.

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::NodeId;
using weft::testing::Instance;
using weft::testing::nodes_of;
using weft::testing::Plugin;

Instance open_space(const Json& args, const Json& input) {
  return Instance(Plugin::open("space", "fabric"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

weft::Architecture network(const Json& args, const Json& input) {
  const Instance instance = open_space(args, input);
  return weft::SpaceRef(instance.handle()).decode({}).architecture;
}

const Json mnist = {1, 28, 28}, cifar = {3, 32, 32};

// Places of convolutions, each of an edge of its own: "layer 2/scale 4/down_conv_3x3".
std::set<std::string> edges(const weft::Architecture& network) {
  std::set<std::string> places;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "conv2d") places.insert(node.group);
  }
  return places;
}

}  // namespace

TEST_CASE("fabric keeps the contract of spaces") {
  const Plugin plugin = Plugin::open("space", "fabric");
  const Json grey = {{"input", {1, 7, 8}}, {"classes", 10}};
  weft::testing::check_space(plugin, {{"layers", 2}, {"channels", 3}}, {{"task", grey}});
  const Json oblong = {{"input", {3, 5, 2}}, {"classes", 3}};
  weft::testing::check_space(plugin, {{"layers", 3}, {"channels", 2}, {"connectivity", "sparse"}}, {{"task", oblong}});
}

// With S scales and L layers: the image's edge, S - 1 down the first layer, 3 S - 2 into each of the others, S - 1 down
// the last.
TEST_CASE("fabric: edges and parameters of the paper's fabrics") {
  const auto edge_count = [](std::int64_t layers, std::int64_t scales) {
    return static_cast<std::size_t>(1 + 2 * (scales - 1) + (layers - 1) * (3 * scales - 2));
  };
  struct Published {
    std::int64_t layers, channels;
    const char* connectivity;
    Json input;
    std::int64_t parameters;
    double paper;  // 27 C^2 L S, and sparse 81 C L S: three edges into every node, of 9 C^2 weights, and of 27 C
  };
  const std::vector<Published> all = {{8, 64, "dense", mnist, 4512650, 27.0 * 64 * 64 * 8 * 6},
                                      {8, 128, "dense", cifar, 18022410, 27.0 * 128 * 128 * 8 * 6},
                                      {16, 32, "sparse", mnist, 226294, 81.0 * 32 * 16 * 6}};
  for (const Published& fabric : all) {
    const weft::Architecture built =
        network({{"layers", fabric.layers}, {"channels", fabric.channels}, {"connectivity", fabric.connectivity}},
                fabric.input);
    CHECK(edges(built).size() == edge_count(fabric.layers, 6));
    CHECK(built.cost().parameters == fabric.parameters);
    // The paper's formula counts edges that the borders of the lattice do not have.
    CHECK(static_cast<double>(fabric.parameters) / fabric.paper == Approx(0.9).margin(0.06));
  }
}

TEST_CASE("fabric: what nodes read, at every border of the lattice") {
  const weft::Architecture built = network({{"layers", 3}, {"channels", 4}}, {3, 4, 4});
  const auto reads = [&](const std::string& node) {
    std::multiset<std::string> found;
    for (const std::string& place : edges(built)) {
      if (place.starts_with(node + "/")) found.insert(place.substr(node.size() + 1));
    }
    return found;
  };
  using Edges = std::multiset<std::string>;
  CHECK(reads("layer 1/scale 4") == Edges{"conv_3x3"});  // the image
  CHECK(reads("layer 1/scale 2") == Edges{"down_conv_3x3"});
  CHECK(reads("layer 2/scale 4") == Edges{"conv_3x3", "up_conv_3x3"});
  CHECK(reads("layer 2/scale 2") == Edges{"conv_3x3", "down_conv_3x3", "up_conv_3x3"});
  CHECK(reads("layer 2/scale 1") == Edges{"conv_3x3", "down_conv_3x3"});
  CHECK(reads("layer 3/scale 4") == Edges{"conv_3x3", "up_conv_3x3"});
  CHECK(reads("layer 3/scale 2") == Edges{"conv_3x3", "down_conv_3x3", "down_conv_3x3 2", "up_conv_3x3"});
  CHECK(reads("layer 3/scale 1") == Edges{"conv_3x3", "down_conv_3x3", "down_conv_3x3 2"});
  // By hand: 18 edges of 4 x 4 x 9 weights and 4 biases, the image's, 9 nodes, the classifier.
  CHECK(edges(built).size() == 1 + 2 + 7 + 7 + 2);
  CHECK(built.cost().parameters == 18 * (9 * 16 + 4) + (27 * 4 + 4) + 9 * 8 + 50);
  // Multiply-adds of an edge are 144 for each pixel of the node that reads it: layers 2 and 3 have two edges into 16
  // pixels, three and four into 4, two and three into 1.
  CHECK(built.cost().multiply_adds == 16 * 108 + 144 * ((4 + 1) + (2 * 16 + 3 * 4 + 2) + (2 * 16 + 4 * 4 + 3)) + 40);
  // The classifier reads the coarsest of the last layer.
  const weft::Node classified = nodes_of(built, "global_avg_pool", "classifier").at(0);
  CHECK(built.node(classified.inputs.at(0)).group == "layer 3/scale 1");
  CHECK(built.shape(classified.inputs.at(0)) == weft::Shape::image(4, 1, 1));
}

TEST_CASE("fabric: a sparse edge has 9 (3 C - 2) weights and a bias for each channel, and reads no others") {
  for (const std::int64_t channels : {1, 2, 5}) {
    const weft::Architecture built =
        network({{"layers", 2}, {"channels", channels}, {"connectivity", "sparse"}}, {3, 4, 4});
    const auto cost = [&](const std::string& place) {
      weft::Cost sum;
      for (const weft::Node& node : built.nodes()) {
        if (node.group == place) sum += node.cost;
      }
      return sum;
    };
    const std::int64_t weights = 9 * (3 * channels - 2);
    CHECK(cost("layer 2/scale 4/conv_3x3").parameters == weights + channels);
    CHECK(cost("layer 2/scale 4/conv_3x3").multiply_adds == 16 * weights);
    CHECK(cost("layer 2/scale 2/down_conv_3x3").multiply_adds == 4 * weights);
    CHECK(cost("layer 2/scale 2/up_conv_3x3").multiply_adds == 4 * weights);
    CHECK(cost("layer 1/scale 4/conv_3x3").parameters == 28 * channels);  // of the image, dense
  }
}

TEST_CASE("fabric: images are padded to a power of two") {
  const weft::Architecture built = network({{"layers", 2}, {"channels", 2}}, {1, 28, 20});
  const weft::Architecture square = network({{"layers", 2}, {"channels", 2}}, cifar);
  REQUIRE(std::ranges::count(built.nodes(), "pad", &weft::Node::operation) == 1);
  const auto pad = std::ranges::find(built.nodes(), "pad", &weft::Node::operation);
  CHECK(pad->attributes.at("padding") == Json::array({2, 2, 6, 6}));
  CHECK(std::ranges::count(square.nodes(), "pad", &weft::Node::operation) == 0);
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("fabric needs an image"));
}
