// MnasNet: the size of its space, the published networks' counts, squeeze-and-excitation, skips, the notation.

#include <map>
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
using weft::testing::nodes_of;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 224, 224}, int classes = 1000) {
  return Instance(Plugin::open("space", "mnasnet"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

weft::Architecture decode(const Json& args, const std::string& notation) {
  return weft::testing::decode(open_space(args), notation);
}

std::size_t options(const weft::SpaceRef& space, std::size_t block) {
  std::size_t product = 1;
  for (std::size_t part = 0; part < 6; ++part) {
    product *= space.next(std::vector<std::int32_t>(6 * block + part))->options.size();
  }
  return product;
}

// One block of two layers on 4 channels.
const Json tiny = {{"blocks", {{{"filters", 4}, {"layers", 2}, {"stride", 2}}}}, {"stem_filters", 4}};

}  // namespace

TEST_CASE("mnasnet keeps the contract of spaces") {
  const Json blocks = {{{"filters", 4}, {"layers", 1}, {"stride", 1}}, {{"filters", 8}, {"layers", 2}, {"stride", 2}}};
  const Json args = {{"blocks", blocks}, {"stem_filters", 4}, {"head_filters", 8}};
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "mnasnet"), args, {{"task", grey}});
  const Json oblong = {{"input", {3, 5, 3}}, {"classes", 3}};
  Json other = args;
  other.update({{"stem_stride", 1}, {"skip_pool", "max_pool"}, {"dropout", 0}, {"operations", {"mbconv2"}}});
  weft::testing::check_space(Plugin::open("space", "mnasnet"), other, {{"task", oblong}});
}

// Tan et al. 2018, section 4.1: S = 432 sub spaces for a block.
TEST_CASE("mnasnet: the size of a block's space") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  for (const std::size_t block : {1, 2, 3, 4, 5}) CHECK(options(space, block) == 432);
  // Of one layer none can be taken away: 0 and -1 are the same.
  CHECK(options(space, 0) == 432 / 3 * 2);
  CHECK_FALSE(space.next(std::vector<std::int32_t>(42)).has_value());
  CHECK(space.next(std::vector<std::int32_t>(16))->options == std::vector<std::string>{"f24", "f32", "f40"});
  CHECK(space.next(std::vector<std::int32_t>(17))->options == std::vector<std::string>{"r2", "r3", "r4"});
}

// MobileNetV2 1.0 lies in the space: 3.5 M parameters, 300 M multiply-adds (Sandler et al. 2018, Table 4). The exact
// counts are those of torchvision's mobilenet_v2.
TEST_CASE("mnasnet: MobileNetV2") {
  const weft::Architecture network =
      decode(Json::object(),
             "dconv_k3_se0_identity_f16_r1 mbconv6_k3_se0_identity_f24_r2 mbconv6_k3_se0_identity_f32_r3 "
             "mbconv6_k3_se0_identity_f64_r4 mbconv6_k3_se0_identity_f96_r3 mbconv6_k3_se0_identity_f160_r3 "
             "mbconv6_k3_se0_identity_f320_r1");
  CHECK(network.cost().parameters == 3504872);
  CHECK(network.cost().multiply_adds == 300774272);
  CHECK(nodes_of(network, "add", "block 4").size() == 3);
  CHECK(nodes_of(network, "add", "block 5").size() == 2);
  CHECK(network.shape(nodes_of(network, "global_avg_pool", "classifier").at(0).inputs.at(0)) ==
        weft::Shape::image(1280, 7, 7));
}

// MnasNet-A1 (Tan et al. 2018, Figure 7 and Table 1): 3.9 M parameters, 312 M multiply-adds. One thing of it the
// default space does not hold: the 112 filters of block 5 are none of the three ratios of MobileNetV2's 96. Parameters
// as counted by hand from the released code's layers.
TEST_CASE("mnasnet: MnasNet-A1") {
  const std::string a1 =
      "dconv_k3_se0_none_f16_r1 mbconv6_k3_se0_identity_f24_r2 mbconv3_k5_se0.25_identity_f40_r3 "
      "mbconv6_k3_se0_identity_f80_r4 mbconv6_k3_se0.25_identity_f112_r2 mbconv6_k5_se0.25_identity_f160_r3 "
      "mbconv6_k3_se0_identity_f320_r1";
  CHECK_THROWS_WITH(decode(Json::object(), a1), ContainsSubstring("filters, one of f72, f96, f120"));
  const weft::Architecture network = decode({{"filter_ratios", {0.75, 1, 1.1667, 1.25}}}, a1);
  CHECK(network.cost().parameters == 3887038);
  CHECK((network.cost().multiply_adds + 500000) / 1000000 == 312);
}

// torchvision's mnasnet1_0, which is MnasNet-B1, the search without squeeze-and-excitation.
TEST_CASE("mnasnet: MnasNet-B1") {
  const weft::Architecture network =
      decode({{"filter_ratios", {0.75, 1, 1.2, 1.25}}},
             "dconv_k3_se0_none_f16_r1 mbconv3_k3_se0_identity_f24_r3 mbconv3_k5_se0_identity_f40_r3 "
             "mbconv6_k5_se0_identity_f80_r3 mbconv6_k3_se0_identity_f96_r2 mbconv6_k5_se0_identity_f192_r4 "
             "mbconv6_k3_se0_identity_f320_r1");
  CHECK(network.cost().parameters == 4383312);
}

TEST_CASE("mnasnet: squeeze-and-excitation") {
  const weft::Architecture network = decode(tiny, "mbconv3_k3_se0.25_none_f4_r1");
  const std::string group = "block 1/mbconv3_3x3_se0.25/squeeze_excitation";
  const std::vector<weft::Node> linear = nodes_of(network, "linear", group);
  REQUIRE(linear.size() == 2);
  CHECK(linear[0].cost.parameters == 12 + 1);  // a quarter of the layer's 4 input channels
  CHECK(linear[1].cost.parameters == 12 + 12);
  const weft::Node scale = nodes_of(network, "scale", group).at(0);
  CHECK(scale.shape == weft::Shape::image(12, 56, 56));
  // The map that is scaled is the one that was squeezed, behind the depthwise convolution.
  CHECK(nodes_of(network, "global_avg_pool", group).at(0).inputs.at(0) == scale.inputs.at(0));
  CHECK(network.node(scale.inputs.at(0)).group == "block 1/mbconv3_3x3_se0.25");
}

TEST_CASE("mnasnet: skips stand where shapes allow them") {
  using Additions = std::map<std::string, int>;  // of each layer
  const auto additions = [](const std::string& notation) {
    const weft::Architecture network = decode(tiny, notation);
    Additions found;
    for (const weft::Node& node : network.nodes()) {
      if (node.group.starts_with("block 1/")) found[node.group.substr(8)] += node.operation == "add";
    }
    return found;
  };
  CHECK(additions("conv_k3_se0_none_f4_r2") == Additions{{"conv_3x3", 0}, {"conv_3x3 2", 0}});
  CHECK(additions("conv_k3_se0_identity_f4_r2") == Additions{{"conv_3x3", 0}, {"conv_3x3_identity", 1}});
  CHECK(additions("conv_k3_se0_pool_f4_r2") == Additions{{"conv_3x3_pool", 1}, {"conv_3x3_pool 2", 1}});
  CHECK(additions("conv_k3_se0_pool_f5_r2") == Additions{{"conv_3x3", 0}, {"conv_3x3_pool", 1}});
}

TEST_CASE("mnasnet: what a block costs") {
  const auto parameters = [](const std::string& notation) {
    const weft::Architecture network = decode(tiny, notation);
    std::int64_t sum = 0;
    for (const weft::Node& node : network.nodes()) {
      if (node.group.starts_with("block 1")) sum += node.cost.parameters;
    }
    return sum;
  };
  CHECK(parameters("conv_k5_se0_none_f5_r1") == 25 * 4 * 5 + 10);
  CHECK(parameters("dconv_k3_se0_none_f5_r1") == 9 * 4 + 8 + 4 * 5 + 10);
  CHECK(parameters("mbconv6_k3_se0_none_f5_r1") == 4 * 24 + 48 + 9 * 24 + 48 + 24 * 5 + 10);
}

TEST_CASE("mnasnet: notation and encoding") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(genotype.decisions.size() == 7 * 6);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.encoding_length() == 7 * (4 + 2 + 2 + 3 + 3) + 5 * 3 + 2 * 2);
}

TEST_CASE("mnasnet: what is malformed or does not fit is refused with its place") {
  const Instance instance = open_space(tiny);
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("mbconv4_k3_se0_none_f4_r1"),
                    ContainsSubstring("position 0") && ContainsSubstring("mbconv3, mbconv6"));
  CHECK_THROWS_WITH(space.parse("conv_k3_se0_none_f6_r1"), ContainsSubstring("filters, one of f3, f4, f5"));
  CHECK_THROWS_WITH(space.parse("conv_k3_se0_none_f4_r1 conv"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space({{"kernels", {3, 4}}}), ContainsSubstring("/kernels holds 4; must be odd"));
}

// 17 -> 9 -> 5 -> 3 -> 2 -> 1: what is smaller has nothing left before the last stride.
TEST_CASE("mnasnet: an image that shrinks to a pixel too early is refused") {
  CHECK_NOTHROW(open_space(Json::object(), {3, 17, 32}));
  CHECK_THROWS_WITH(open_space(Json::object(), {3, 32, 16}),
                    ContainsSubstring("3 x 32 x 16; mnasnet needs an image of at least 17 x 17") &&
                        ContainsSubstring("set /stem_stride"));
  CHECK_NOTHROW(open_space({{"stem_stride", 1}}, {3, 9, 9}));
  CHECK_THROWS_WITH(open_space({{"stem_stride", 1}}, {3, 9, 8}), ContainsSubstring("at least 9 x 9"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("mnasnet needs an image"));
}
