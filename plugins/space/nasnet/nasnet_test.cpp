// NASNet: the published cell's counts, shape rules, mutation, notation.

#include <cstdlib>
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
using weft::testing::decode;
using weft::testing::Instance;
using weft::testing::nodes_of;
using weft::testing::Plugin;

Instance open_space(const Json& args, const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "nasnet"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

// Zoph et al. 2018, Fig. 4; with the inputs of the released code.
const std::string nasnet_a =
    "normal[sep_conv_5x5@0 + sep_conv_3x3@1; sep_conv_5x5@1 + sep_conv_3x3@1; avg_pool_3x3@0 + identity@1; "
    "avg_pool_3x3@1 + avg_pool_3x3@1; sep_conv_3x3@0 + identity@0] "
    "reduction[sep_conv_5x5@0 + sep_conv_7x7@1; max_pool_3x3@0 + sep_conv_7x7@1; avg_pool_3x3@0 + sep_conv_5x5@1; "
    "identity@3 + avg_pool_3x3@2; sep_conv_3x3@2 + max_pool_3x3@0]";

// Nodes of an operation in a group, or one within it.
}  // namespace

TEST_CASE("nasnet keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "nasnet"), {{"cells", 1}, {"filters", 4}, {"auxiliary", true}},
                             {{"task", grey}});
  const Json large = {{"input", {3, 64, 65}}, {"classes", 12}};
  const Json args = {{"cells", 1},
                     {"filters", 4},
                     {"blocks", 2},
                     {"template", "imagenet"},
                     {"combine", {"add"}},
                     {"dropout", 0.5},
                     {"concatenation", "released"},
                     {"skip_reduction", true},
                     {"padding", "same"},
                     {"operations", {"identity", "dilated_sep_conv_3x3", "max_pool_7x7"}}};
  weft::testing::check_space(Plugin::open("space", "nasnet"), args, {{"task", large}});
}

// Trainable parameters of the Keras models NASNetMobile (4 @ 1056) and NASNetLarge (6 @ 4032), which carry the weights
// of the released code; the paper prints 5.3 M and 88.9 M, and 564 M multiply-adds for the mobile model.
TEST_CASE("nasnet: NASNet-A for ImageNet") {
  const Instance mobile = open_space(
      {{"template", "imagenet"}, {"cells", 4}, {"filters", 44}, {"stem_multiplier", 1}, {"concatenation", "released"}},
      {3, 224, 224}, 1000);
  const weft::Architecture network = decode(mobile, nasnet_a);
  CHECK(network.cost().parameters == 5289978);
  CHECK((network.cost().multiply_adds + 500000) / 1000000 == 564);
  CHECK(network.shape(network.nodes().back().inputs[0]).channels == 1056);
  const Instance large = open_space({{"template", "imagenet"},
                                     {"cells", 6},
                                     {"filters", 168},
                                     {"concatenation", "released"},
                                     {"skip_reduction", true},
                                     {"padding", "same"}},
                                    {3, 331, 331}, 1000);
  CHECK(decode(large, nasnet_a).cost().parameters == 88753150);
}

TEST_CASE("nasnet: NASNet-A for CIFAR") {
  const Instance instance = open_space({{"cells", 6}, {"filters", 32}, {"concatenation", "released"}});
  const weft::Architecture network = decode(instance, nasnet_a);
  // The paper's Table 1: 3.3 M for 6 @ 768.
  CHECK(network.cost().parameters / 100000 == 33);
  CHECK(network.shape(network.nodes().back().inputs[0]).channels == 768);
  const Instance strict = open_space({{"cells", 6}, {"filters", 32}});
  const weft::Architecture narrower = decode(strict, nasnet_a);
  CHECK(narrower.shape(narrower.nodes().back().inputs[0]).channels == 5 * 128);
}

TEST_CASE("nasnet: shapes are brought together") {
  // One block per cell, with an identity wherever it can be made to fit.
  const std::string identities = "normal[identity@0 + identity@1] reduction[identity@0 + identity@1]";
  const Instance instance = open_space({{"cells", 2}, {"filters", 8}, {"blocks", 1}});
  const weft::Architecture network = decode(instance, identities);
  const auto convolutions = [&](const std::string& group) { return nodes_of(network, "conv2d", group).size(); };
  // Cell 1 reads the stem's 24 channels as h_{i-1}; cell 2 finds 24 there and projects them, the output of cell 1 is 8
  // wide.
  CHECK(convolutions("normal 1/block 1/identity") == 1);
  CHECK(convolutions("normal 2/inputs") == 2);
  CHECK(convolutions("normal 2/block 1") == 0);
  // The reduction doubles the channels and projects both inputs, its identities have stride 2.
  CHECK(convolutions("reduction 3/inputs") == 2);
  for (const weft::Node& node : nodes_of(network, "conv2d", "reduction 3/block 1")) {
    CHECK(node.attributes.at("stride") == Json({2, 2}));
    CHECK(node.shape == weft::Shape::image(16, 16, 16));
  }
  // Its successor reads an h_{i-1} twice as large, the cell after that one of the same extent and channels.
  CHECK(nodes_of(network, "shift", "normal 4/inputs/factorized_reduction").size() == 1);
  CHECK(convolutions("normal 5/inputs") == 1);
}

TEST_CASE(
    "nasnet: a concatenating block is projected back, and a pool that changes channels is followed by a convolution") {
  const Instance instance = open_space({{"cells", 1}, {"filters", 8}, {"blocks", 2}});
  const weft::Architecture network = decode(instance,
                                            "normal[max_pool_3x3@0 | avg_pool_3x3@1; identity@0 + conv_1x1@2] "
                                            "reduction[conv_3x3@0 + conv_1x1@1; identity@0 + identity@1]");
  CHECK(nodes_of(network, "concat", "normal 1/block 1").at(0).shape == weft::Shape::image(16, 32, 32));
  CHECK(nodes_of(network, "conv2d", "normal 1/block 1/avg_pool_3x3").size() == 1);
  CHECK(nodes_of(network, "conv2d", "normal 1/block 1/max_pool_3x3").empty());
  // Block 2 alone is unused in the normal cell, both are in the reduction cell.
  CHECK(network.shape(nodes_of(network, "activation", "classifier").at(0).inputs.at(0)) ==
        weft::Shape::image(32, 8, 8));
  CHECK(nodes_of(network, "concat", "reduction 2").at(0).shape == weft::Shape::image(32, 16, 16));
}

// Released NASNet-A Large, in the code's words: prev_layer of the normal cell is cell_outputs[-2] before the
// reduction's output is appended, and after it in the other models.
TEST_CASE("nasnet: with skip_reduction a normal cell reads what the reduction read") {
  // One identity of each input; an identity that fits is no node of its own behind the projection.
  const std::string cells = "normal[identity@0 + identity@1] reduction[identity@0 + identity@1]";
  const auto second_input_of = [&](bool skip, const std::string& cell) {
    const Instance instance = open_space({{"cells", 2}, {"filters", 8}, {"blocks", 1}, {"skip_reduction", skip}});
    const weft::Architecture network = decode(instance, cells);
    // The last ReLU of the cell's inputs reads it; the first reads the cell before.
    const weft::Node relu = nodes_of(network, "activation", cell + "/inputs").back();
    return network.node(relu.inputs.at(0)).group;
  };
  // normal 1, normal 2, reduction 3, normal 4, normal 5, reduction 6, normal 7, normal 8.
  for (const bool skip : {false, true}) {
    CAPTURE(skip);
    CHECK(second_input_of(skip, "reduction 3") == "normal 1");
    CHECK(second_input_of(skip, "normal 4") == (skip ? "normal 1" : "normal 2"));
    CHECK(second_input_of(skip, "reduction 6") == "normal 4");
    CHECK(second_input_of(skip, "normal 7") == (skip ? "normal 4" : "normal 5"));
  }
}

// tensorflow/tpu amoeba_net: 1x1 to F / 4, 3 F / 8 for 1x3_3x1, and back; each convolution with batch norm.
TEST_CASE("nasnet: AmoebaNet's bottleneck") {
  const auto parameters = [](const std::string& operation, bool bottleneck) {
    const Instance instance = open_space({{"cells", 1}, {"filters", 16}, {"blocks", 1}, {"bottleneck", bottleneck}});
    const weft::Architecture network =
        decode(instance, "normal[" + operation + "@0 + identity@0] reduction[identity@0 + identity@1]");
    std::int64_t sum = 0;
    for (const weft::Node& node : network.nodes()) {
      if (node.group.starts_with("normal 1/block 1")) sum += node.cost.parameters;
    }
    return sum;
  };
  const auto bottleneck = [](std::int64_t narrow, std::int64_t weights, std::int64_t norms) {
    return 16 * narrow + weights * narrow * narrow + narrow * 16 + 2 * (norms * narrow + 16);
  };
  CHECK(parameters("conv_1x7_7x1", true) == bottleneck(4, 14, 3));
  CHECK(parameters("conv_1x3_3x1", true) == bottleneck(6, 6, 3));
  CHECK(parameters("conv_3x3", true) == bottleneck(4, 9, 2));
  CHECK(parameters("dilated_conv_3x3", true) == bottleneck(4, 9, 2));
  CHECK(parameters("conv_1x7_7x1", false) == 14 * 16 * 16 + 2 * 16);
  for (const char* other : {"conv_1x1", "sep_conv_3x3", "max_pool_3x3"}) {
    CAPTURE(other);
    CHECK(parameters(other, true) == parameters(other, false));
  }
}

TEST_CASE("nasnet: the bottleneck takes the stride of its convolution, row by row and column by column") {
  const Instance instance = open_space({{"cells", 1}, {"filters", 8}, {"blocks", 1}, {"bottleneck", true}});
  const weft::Architecture network =
      decode(instance, "normal[identity@0 + identity@1] reduction[conv_1x7_7x1@0 + dilated_conv_3x3@1]");
  std::vector<Json> factorized, dilated;
  for (const weft::Node& node : nodes_of(network, "conv2d", "reduction 2/block 1/conv_1x7_7x1"))
    factorized.push_back({node.attributes.at("kernel"), node.attributes.at("stride")});
  for (const weft::Node& node : nodes_of(network, "conv2d", "reduction 2/block 1/dilated_conv_3x3"))
    dilated.push_back({node.attributes.at("kernel"), node.attributes.at("stride"), node.attributes.at("dilation")});
  CHECK(Json(factorized) == Json::parse("[[[1,1],[1,1]], [[1,7],[1,2]], [[7,1],[2,1]], [[1,1],[1,1]]]"));
  CHECK(Json(dilated) == Json::parse("[[[1,1],[1,1],[1,1]], [[3,3],[2,2],[2,2]], [[1,1],[1,1],[1,1]]]"));
}

// 32 pixels halved: windows of 3 begin at -1 or, as in TensorFlow, at 0; what a network costs stays the same.
TEST_CASE("nasnet: padding as in TensorFlow") {
  const auto network = [](const char* padding) {
    return decode(open_space({{"cells", 1}, {"filters", 8}, {"padding", padding}}), nasnet_a);
  };
  const weft::Architecture symmetric = network("symmetric"), same = network("same");
  CHECK(same.cost().parameters == symmetric.cost().parameters);
  CHECK(same.cost().multiply_adds == symmetric.cost().multiply_adds);
  CHECK(same.shape(same.output()) == symmetric.shape(symmetric.output()));
  for (const weft::Node& node : symmetric.nodes()) CHECK(node.operation != "pad");
  // Before the convolutions with stride 2: 5x5 twice, 7x7 twice.
  std::vector<Json> pads;
  for (const weft::Node& node : nodes_of(same, "pad", "reduction 2")) pads.push_back(node.attributes.at("padding"));
  CHECK(pads == std::vector<Json>(4, Json({0, 1, 0, 1})));
  for (const weft::Node& node : same.nodes()) {
    if (node.operation != "max_pool" || node.attributes.at("stride") != Json({2, 2})) continue;
    CHECK(node.attributes.at("padding") == Json({0, 0}));
    CHECK(node.attributes.at("ceil") == true);
  }
  // What keeps its extent is padded alike.
  for (const weft::Node& node : nodes_of(same, "conv2d", "normal 1")) {
    const Json& kernel = node.attributes.at("kernel");
    CHECK(node.attributes.at("padding") == Json({kernel[0].get<int>() / 2, kernel[1].get<int>() / 2}));
  }
}

TEST_CASE("nasnet: drop-path grows with depth and spares identities") {
  const Instance instance = open_space({{"cells", 1}, {"filters", 8}, {"blocks", 1}});
  const weft::Architecture network =
      decode(instance, "normal[identity@0 + conv_3x3@1] reduction[identity@0 + conv_3x3@1]");
  std::vector<double> scales;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "drop_path") scales.push_back(node.attributes.at("scale"));
  }
  CHECK(scales == std::vector<double>{0.2, 0.4, 0.6, 0.8, 1.0});
}

TEST_CASE("nasnet: mutation changes one hidden state or one operation") {
  const Instance instance = open_space({{"combine", {"add"}}, {"identity_probability", 0.05}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(5);
  const weft::Genotype parent = space.parse(nasnet_a);
  REQUIRE(parent.decisions.size() == 2 * 5 * 4);
  constexpr int trials = 4000;
  int unchanged = 0;
  int states = 0;
  std::set<std::size_t> touched;
  for (int i = 0; i < trials; ++i) {
    const weft::Genotype child = space.mutate(parent, rng);
    std::vector<std::size_t> changed;
    for (std::size_t at = 0; at < parent.decisions.size(); ++at) {
      if (child.decisions[at] != parent.decisions[at]) changed.push_back(at);
    }
    REQUIRE(changed.size() <= 1);
    if (changed.empty()) {
      ++unchanged;
    } else {
      states += changed[0] % 4 < 2;
      touched.insert(changed[0]);
    }
  }
  // Within four standard deviations of the binomial expectations.
  CHECK(std::abs(unchanged - 0.05 * trials) < 56);
  CHECK(std::abs(states - 0.475 * trials) < 127);
  CHECK(touched.size() == parent.decisions.size());
}

TEST_CASE("nasnet: notation") {
  const Instance instance = open_space({{"cells", 1}, {"filters", 4}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(genotype.decisions.size() == 50);  // 2 x 5 B, as the paper's controller predicts
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.notation(space.parse(nasnet_a)) == nasnet_a);
}

TEST_CASE("nasnet: what is malformed is refused with its place") {
  const Instance instance = open_space({{"blocks", 1}, {"combine", {"add"}}, {"operations", {"identity", "conv_1x1"}}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("normal[identity@0 + conv_3x3@1]"),
                    ContainsSubstring("position 20: expected an operation, one of identity, conv_1x1"));
  CHECK_THROWS_WITH(space.parse("normal[identity@0 + conv_1x1@2]"), ContainsSubstring("a state from 0 to 1"));
  CHECK_THROWS_WITH(space.parse("normal[identity@0 | conv_1x1@1]"), ContainsSubstring("combined by add"));
  CHECK_THROWS_WITH(space.parse("normal[identity@0 + conv_1x1@1; "),
                    ContainsSubstring("expected \"]\"") && ContainsSubstring("blocks in each cell: 1"));
  CHECK_THROWS_WITH(open_space({{"template", "imagenet"}, {"filters", 42}}), ContainsSubstring("/filters is 42"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("nasnet needs an image"));
  CHECK_THROWS_WITH(open_space({{"filters", 3}, {"bottleneck", true}}),
                    ContainsSubstring("/filters is 3; must be at least 4 with /bottleneck"));
  CHECK_THROWS_WITH(open_space({{"template", "imagenet"}, {"filters", 12}, {"bottleneck", true}}),
                    ContainsSubstring("/filters is 12; must be at least 16 with /bottleneck"));
}
