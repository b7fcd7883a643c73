// AlexNet: the counts of the network that the space is named after, its size, the notation.

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "alexnet"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

}  // namespace

TEST_CASE("alexnet keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "alexnet"), {{"filters", {4, 8}}, {"neurons", {8}}},
                             {{"task", grey}});
  const Json args = {{"filters", {2, 3}}, {"convolutions", 2},        {"pools", {2}},
                     {"stem_stride", 2},  {"neurons", Json::array()}, {"dropout", 0}};
  const Json oblong = {{"input", {3, 5, 9}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "alexnet"), args, {{"task", oblong}});
}

// Krizhevsky 2014; the exact counts are those of torchvision's alexnet.
TEST_CASE("alexnet: AlexNet itself") {
  const Json args = {{"filters", {64, 192, 256, 384}}, {"kernels", {3, 5, 11}}, {"stem_stride", 4}};
  const Instance instance = open_space(args, {3, 224, 224}, 1000);
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture network = space.decode(space.parse("64@11 192@5 384@3 256@3 256@3")).architecture;
  CHECK(network.cost().parameters == 61100840);
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "flatten") CHECK(node.shape == weft::Shape::features(256 * 6 * 6));
  }
}

// 32 -> 15 -> 7 -> 3.
TEST_CASE("alexnet: what a network for small images costs") {
  const Instance instance = open_space({{"neurons", {16}}});
  const weft::SpaceRef space(instance.handle());
  const weft::Cost cost = space.decode(space.parse("8@3 16@5 32@7 48@9 64@3")).architecture.cost();
  const std::int64_t weights[] = {9 * 3 * 8, 25 * 8 * 16, 49 * 16 * 32, 81 * 32 * 48, 9 * 48 * 64};
  CHECK(cost.parameters == weights[0] + weights[1] + weights[2] + weights[3] + weights[4] + (8 + 16 + 32 + 48 + 64) +
                               (64 * 9 * 16 + 16) + (16 * 10 + 10));
  CHECK(cost.multiply_adds == weights[0] * 32 * 32 + weights[1] * 15 * 15 +
                                  (weights[2] + weights[3] + weights[4]) * 7 * 7 + 64 * 9 * 16 + 16 * 10);
}

TEST_CASE("alexnet: decisions and notation") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  // Five numbers of filters and four kernels for each of five convolutions.
  std::size_t size = 1;
  for (std::size_t at = 0; at < 10; ++at) size *= space.next(std::vector<std::int32_t>(at))->options.size();
  CHECK(size == 3200000);
  CHECK(space.next(std::vector<std::int32_t>(3))->name == "convolution 2/kernel");
  CHECK_FALSE(space.next(std::vector<std::int32_t>(10)).has_value());
  CHECK(space.encoding_length() == 45);
  weft::Rng rng(3);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
}

TEST_CASE("alexnet: what is malformed or does not fit is refused") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("8@3 17@3 8@3 8@3 8@3"),
                    ContainsSubstring("position 4") && ContainsSubstring("one of 8, 16, 32, 48, 64"));
  CHECK_THROWS_WITH(space.parse("8@3"), ContainsSubstring("of 5 convolutions"));
  CHECK_THROWS_WITH(open_space({{"kernels", {4}}}), ContainsSubstring("/kernels holds 4; must be odd"));
  CHECK_THROWS_WITH(open_space({{"pools", {1, 6}}}),
                    ContainsSubstring("/pools holds 6; must not exceed /convolutions, 5"));
}

// 15 -> 7 -> 3 -> 1.
TEST_CASE("alexnet: an image that is pooled away is refused") {
  const auto decode = [](const Json& args, const Json& input) {
    const Instance instance = open_space(args, input);
    const weft::SpaceRef space(instance.handle());
    weft::Rng rng(1);
    space.decode(space.sample(rng));
  };
  CHECK_NOTHROW(decode(Json::object(), {3, 15, 15}));
  CHECK_THROWS_WITH(open_space(Json::object(), {3, 14, 32}),
                    ContainsSubstring("3 x 14 x 32; alexnet needs an image of at least 15 x 15") &&
                        ContainsSubstring("fewer /pools"));
  CHECK_NOTHROW(decode({{"stem_stride", 4}}, {3, 57, 57}));
  CHECK_THROWS_WITH(open_space({{"stem_stride", 4}}, {3, 57, 56}), ContainsSubstring("at least 57 x 57"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("alexnet needs an image"));
}
