// DPP-Net: the number of cells, progressive growth, CondenseNet as one of its networks, the notation.

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "dpp_net"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

weft::Architecture decode(const Json& args, const std::string& notation) {
  return weft::testing::decode(open_space(args), notation);
}

// The parameters of the cell alone in a network of one: growth 8, 16 channels in.
std::int64_t cell(const std::string& notation) {
  const Json args = {{"cells", {1}}, {"growth", {8}}};
  const weft::Architecture network = decode(args, notation);
  std::int64_t parameters = 0;
  for (const weft::Node& node : network.nodes()) {
    if (node.group.starts_with("cell 1/")) parameters += node.cost.parameters;
  }
  return parameters;
}

}  // namespace

TEST_CASE("dpp_net keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "dpp_net"), {{"cells", {1, 2, 1}}, {"growth", {4, 8, 4}}},
                             {{"task", grey}});
  const Json args = {{"cells", {2, 1}}, {"growth", {6, 6}}, {"groups", 2},     {"condensation", 3},
                     {"layers", 3},     {"bottleneck", 1},  {"stem_stride", 2}};
  const Json oblong = {{"input", {3, 7, 4}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "dpp_net"), args, {{"task", oblong}});
}

// Three normalizations and six convolutions, twice each: 324 cells of four layers, and 18 and 54 on the way there.
TEST_CASE("dpp_net: the number of cells") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  std::size_t product = 1;
  std::vector<std::size_t> cells;
  for (std::size_t layer = 0; layer < 4; ++layer) {
    product *= space.next(std::vector<std::int32_t>(layer))->options.size();
    cells.push_back(product);
  }
  CHECK(cells == std::vector<std::size_t>{3, 18, 54, 324});
}

TEST_CASE("dpp_net: cells grow layer by layer from the first convolution on") {
  const Instance instance = open_space({{"cells", {1}}, {"growth", {8}}});
  const weft::SpaceRef space(instance.handle());
  const std::vector<std::int32_t> taken = {0, 1, 2, 3};
  const auto complete = [&](std::size_t layers) { return space.complete({taken.data(), layers}); };
  CHECK_FALSE(complete(0));
  CHECK_FALSE(complete(1));
  CHECK(complete(2));
  CHECK(complete(3));
  CHECK(complete(4));
  CHECK(space.next(std::vector<std::int32_t>{0})->name == "layer 2/convolution");
  CHECK(space.next(std::vector<std::int32_t>{0, 1, 2})->step == 3);
  CHECK_FALSE(space.next(taken).has_value());
  CHECK(space.notation(weft::Genotype({0, 1})) == "bn_relu conv_3x3");
  const std::vector<double> code = space.encode(weft::Genotype({1, 4}));
  CHECK(code == std::vector<double>{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

// CondenseNet-86 has this cell: 0.52 M parameters for CIFAR-10 after condensation (Huang et al. 2018, Table 4), as many
// as with a group convolution in the learned one's place.
TEST_CASE("dpp_net: CondenseNet is one of its networks") {
  const weft::Architecture network = decode(Json::object(), "bn_relu learned_group_conv_1x1 bn_relu group_conv_3x3");
  CHECK((network.cost().parameters + 5000) / 10000 == 52);
  CHECK(network.cost().parameters ==
        decode(Json::object(), "bn_relu group_conv_1x1 bn_relu group_conv_3x3").cost().parameters);
  std::vector<std::string> pooled;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "avg_pool") pooled.push_back(node.shape.to_string());
    if (node.operation == "global_avg_pool") CHECK(node.shape == weft::Shape::features(16 + 14 * (8 + 16 + 32)));
  }
  CHECK(pooled == std::vector<std::string>{"128 x 16 x 16", "352 x 8 x 8"});
}

TEST_CASE("dpp_net: what a cell costs") {
  CHECK(cell("none conv_3x3") == 9 * 16 * 8);
  CHECK(cell("bn conv_3x3 bn_relu") == 2 * 16 + 9 * 16 * 8 + 2 * 8);
  CHECK(cell("none conv_1x1 none conv_3x3") == 16 * 32 + 9 * 32 * 8);
  CHECK(cell("none group_conv_1x1 none group_conv_3x3") == 16 * 32 / 4 + 9 * 32 * 8 / 4);
  CHECK(cell("none conv_3x3 none learned_group_conv_1x1") == 9 * 16 * 32 + 32 * 8 / 4);
  // The first depthwise convolution is followed by one to 32 channels, the second by one to 8.
  CHECK(cell("none depthwise_conv_3x3 none depthwise_conv_3x3") == 9 * 16 + 16 * 32 + 9 * 32 + 32 * 8);
}

TEST_CASE("dpp_net: notation") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(genotype.decisions.size() == 4);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.notation(space.parse("bn conv_1x1 none")) == "bn conv_1x1 none");
}

TEST_CASE("dpp_net: what is malformed or does not fit is refused") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("bn"),
                    ContainsSubstring("expected a convolution") && ContainsSubstring("of 2 to 4 layers"));
  CHECK_THROWS_WITH(space.parse("bn conv_5x5"),
                    ContainsSubstring("position 3") && ContainsSubstring("one of conv_1x1, conv_3x3"));
  CHECK_THROWS_WITH(space.parse("bn conv_1x1 bn conv_1x1 bn"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space({{"growth", {8, 16}}}),
                    ContainsSubstring("/growth has 2 entries") && ContainsSubstring("3 blocks"));
  CHECK_THROWS_WITH(open_space({{"growth", {8, 16, 30}}}),
                    ContainsSubstring("/growth holds 30; must be a multiple of /groups, 4"));
  CHECK_THROWS_WITH(open_space({{"condensation", 3}}),
                    ContainsSubstring("/growth holds 8; must be a multiple of /condensation, 3"));
}

// Three blocks halve an image twice.
TEST_CASE("dpp_net: an image that is pooled away is refused") {
  CHECK_NOTHROW(open_space(Json::object(), {3, 4, 32}));
  CHECK_THROWS_WITH(
      open_space(Json::object(), {3, 3, 32}),
      ContainsSubstring("3 x 3 x 32; dpp_net needs an image of at least 4 x 4") && ContainsSubstring("fewer blocks"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("dpp_net needs an image"));
}
