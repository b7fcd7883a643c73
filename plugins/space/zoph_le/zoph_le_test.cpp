// Zoph & Le's chains: the three repairs, growth, what networks cost, notation.

#include <algorithm>
#include <cmath>
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

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "zoph_le"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

const Json strided = {{"layers", 3}, {"strides", {1, 2, 3}}};

}  // namespace

TEST_CASE("zoph_le keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "zoph_le"), {{"layers", 7}, {"pool_layers", {3, 6}}},
                             {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 4}}, {"classes", 3}};
  const Json args = {{"layers", 6}, {"minimum_layers", 1}, {"strides", {1, 2, 3}}, {"pool_layers", {2, 3, 5}}};
  weft::testing::check_space(Plugin::open("space", "zoph_le"), args, {{"task", oblong}});
}

// Zoph & Le 2017, section 4.1: heights, widths and numbers of filters of four values each, and every set of earlier
// layers.
TEST_CASE("zoph_le: the size of the space") {
  const Instance instance = open_space({{"layers", 6}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  double size = 1.0;
  for (std::size_t at = 0; at < genotype.decisions.size(); ++at) {
    const auto decision = space.next({genotype.decisions.data(), at});
    size *= static_cast<double>(decision->options.size());
    if (decision->kind == weft::Decision::Kind::reference) {
      // The controller's anchor points at a layer, which is a step.
      CHECK(std::stoi(decision->options.at(1)) < decision->step);
    }
  }
  CHECK(size == Approx(std::pow(4.0 * 4 * 4, 6) * std::pow(2.0, 15)));
}

TEST_CASE("zoph_le: a layer that reads none reads the image, an output that nobody reads goes to the classifier") {
  const Instance instance = open_space({{"layers", 3}});
  const weft::Architecture network = decode(instance, "3x3:24 1x5:36 7x1:48@1");
  CHECK(network.node(nodes_of(network, "conv2d", "layer 2").at(0).inputs[0]).operation == "input");
  const std::int64_t parameters = (9 * 3 * 24 + 48) + (5 * 3 * 36 + 72) + (7 * 24 * 48 + 96) + (36 + 48) * 10 + 10;
  CHECK(network.cost().parameters == parameters);
  CHECK(network.cost().multiply_adds == 1024 * (9 * 3 * 24 + 5 * 3 * 36 + 7 * 24 * 48) + 840);
  // In a chain the last output alone is left.
  const weft::Architecture chain = decode(instance, "3x3:24 3x3:24@1 3x3:24@1+2");
  CHECK(chain.cost().parameters == (27 * 24 + 48) + (9 * 24 * 24 + 48) + (9 * 48 * 24 + 48) + 250);
  CHECK(nodes_of(chain, "concat", "layer 3").size() == 1);
  CHECK(nodes_of(chain, "concat", "classifier").empty());
}

TEST_CASE("zoph_le: of unequal inputs the smaller ones are padded") {
  const Instance instance = open_space(strided);
  // Layer 1 is 32 x 32, layer 2 is 11 x 32: 21 rows are missing, 10 above and 11 below.
  const weft::Architecture network = decode(instance, "3x3:24/1x1 3x3:36/3x1@1 5x3:48/2x3@1+2");
  const std::vector<weft::Node> pads = nodes_of(network, "pad", "layer 3");
  REQUIRE(pads.size() == 1);
  CHECK(pads[0].attributes == Json({{"channels", 0}, {"padding", {10, 11, 0, 0}}}));
  CHECK(network.shape(pads[0].inputs[0]) == weft::Shape::image(36, 11, 32));
  const weft::Node convolution = nodes_of(network, "conv2d", "layer 3").at(0);
  CHECK(network.shape(convolution.inputs[0]) == weft::Shape::image(60, 32, 32));
  CHECK(convolution.shape == weft::Shape::image(48, 16, 11));
  CHECK(network.cost().parameters == (27 * 24 + 48) + (9 * 24 * 36 + 72) + (15 * 60 * 48 + 96) + 490);
  // One is taller and the other wider: the result is as tall as the one and as wide as the other.
  const weft::Architecture crossed = decode(instance, "3x3:24/2x1 3x3:36/1x2 1x1:48/1x1@1+2");
  CHECK(nodes_of(crossed, "pad", "layer 3").size() == 2);
  CHECK(nodes_of(crossed, "concat", "layer 3").at(0).shape == weft::Shape::image(60, 32, 32));
  // Before the classifier too.
  const weft::Architecture last = decode(instance, "3x3:24/1x1 3x3:36/2x2 3x3:48/1x1");
  CHECK(nodes_of(last, "concat", "classifier").at(0).shape == weft::Shape::image(24 + 36 + 48, 32, 32));
}

TEST_CASE("zoph_le: no choice of strides shrinks a map to nothing") {
  const Instance instance = open_space(strided, {3, 2, 7});
  const weft::Architecture network = decode(instance, "7x7:24/3x3 7x7:24/3x3@1 7x7:24/3x3@2");
  CHECK(nodes_of(network, "conv2d", "layer 3").at(0).shape == weft::Shape::image(24, 1, 1));
}

TEST_CASE("zoph_le: options are in order, whatever the order of the configuration") {
  const Instance instance = open_space({{"layers", 1}, {"filter_heights", {7, 1, 3}}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.next({})->options == std::vector<std::string>{"1", "3", "7"});
  CHECK(space.notation(weft::Genotype({2, 0, 0})) == "7x1:24");
}

TEST_CASE("zoph_le: layers of max pooling") {
  const Instance instance = open_space({{"layers", 5}, {"pool_layers", {2, 4}}});
  const weft::SpaceRef space(instance.handle());
  const std::string notation = "3x3:24 pool 3x3:36@1+2 pool 3x3:24@2+4";
  CHECK(space.notation(space.parse(notation)) == notation);
  const weft::Architecture network = decode(instance, notation);
  CHECK(nodes_of(network, "max_pool", "layer 4").at(0).shape == weft::Shape::image(36, 16, 16));
  CHECK(nodes_of(network, "batch_norm", "layer 5").at(0).shape == weft::Shape::image(24, 16, 16));
}

TEST_CASE("zoph_le: shorter chains are networks from the smallest depth on") {
  const Instance instance = open_space({{"layers", 5}, {"minimum_layers", 2}, {"pool_layers", {3}}});
  const weft::SpaceRef space(instance.handle());
  const weft::Genotype two = space.parse("3x3:24 3x3:24@1");
  CHECK(two.decisions.size() == 3 + 4);
  CHECK(space.complete(two.decisions));
  CHECK(space.next(two.decisions)->name == "layer 4/filter height");
  CHECK(nodes_of(space.decode(two).architecture, "max_pool", "layer 3").empty());
  CHECK(!space.complete(std::span(two.decisions).first(3)));
  CHECK(!space.complete(std::span(two.decisions).first(5)));
  CHECK(space.encode(two).size() == space.encoding_length());
  CHECK_THROWS_WITH(space.parse("3x3:24 3x3:24@1 pool"), ContainsSubstring("found the end"));
  weft::Rng rng(2);
  CHECK(space.mutate(two, rng).decisions.size() == two.decisions.size());
  const Instance shallow = open_space({{"layers", 2}});
  CHECK(!weft::SpaceRef(shallow.handle()).complete(std::span(two.decisions).first(3)));
}

TEST_CASE("zoph_le: more filters for what was found") {
  const Instance instance = open_space({{"layers", 1}, {"more_filters", 40}});
  CHECK(decode(instance, "3x3:24").cost().parameters == 27 * 64 + 128 + 650);
}

TEST_CASE("zoph_le: notation") {
  for (const Json& args : {Json(strided), Json({{"layers", 12}, {"pool_layers", {4, 8}}})}) {
    const Instance instance = open_space(args);
    const weft::SpaceRef space(instance.handle());
    weft::Rng rng(3);
    for (int i = 0; i < 50; ++i) {
      const weft::Genotype genotype = space.sample(rng);
      CHECK(space.parse(space.notation(genotype)) == genotype);
    }
  }
}

TEST_CASE("zoph_le: what is malformed or cannot be is refused with its place") {
  const Instance instance = open_space({{"layers", 2}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("3x4:24"), ContainsSubstring("filter width of layer 1, one of [1,3,5,7]"));
  CHECK_THROWS_WITH(space.parse("3x3:24 3x3:24@2"), ContainsSubstring("a layer from 1 to 1"));
  CHECK_THROWS_WITH(space.parse("3x3:24"), ContainsSubstring("position 6"));
  CHECK_THROWS_WITH(open_space({{"filter_widths", {2}}}), ContainsSubstring("/filter_widths holds 2; must be odd"));
  CHECK_THROWS_WITH(open_space({{"layers", 5}, {"pool_layers", {5}}}),
                    ContainsSubstring("/pool_layers holds 5; must be less than /layers, 5"));
  // 32, 16, 8, 4, 2, 1, and there it ends.
  CHECK_NOTHROW(open_space({{"pool_layers", {2, 4, 6, 8, 10}}}));
  CHECK_THROWS_WITH(open_space({{"pool_layers", {2, 4, 6, 8, 10, 12}}}),
                    ContainsSubstring("/pool_layers holds 12; the layers before layer 12 leave a single pixel of the "
                                      "image, 3 x 32 x 32, which cannot shrink; leave it out"));
  CHECK_NOTHROW(open_space({{"layers", 5}, {"strides", {2, 3}}}));
  CHECK_THROWS_WITH(open_space({{"layers", 6}, {"strides", {3, 2}}}),
                    ContainsSubstring("/strides has nothing below 2; the layers before layer 6 leave") &&
                        ContainsSubstring("add 1 to it or lower /layers"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("zoph_le needs an image"));
}
