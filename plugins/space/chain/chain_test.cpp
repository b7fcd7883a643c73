// The chain space: the rules of MetaQNN's Table 1, its Q keys, its dropout, its notation.

#include <algorithm>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/supernet.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "chain"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// The decisions of a chain that has not ended.
std::vector<std::int32_t> prefix(const weft::SpaceRef& space, const std::string& layers) {
  weft::Genotype genotype = space.parse(layers.empty() ? "SM" : layers + " SM");
  genotype.decisions.pop_back();
  return genotype.decisions;
}

std::vector<std::string> legal(const weft::SpaceRef& space, const std::string& layers) {
  return space.next(prefix(space, layers))->options;
}

std::size_t count(const std::vector<std::string>& options, const std::string& type) {
  return static_cast<std::size_t>(std::count_if(options.begin(), options.end(),
                                                [&](const std::string& option) { return option.starts_with(type); }));
}

std::string repeat(const std::string& layer, int times) {
  std::string text = layer;
  for (int i = 1; i < times; ++i) text += " " + layer;
  return text;
}

weft::Architecture without_dropout(const weft::Architecture& network) {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> kept;  // by node of the network
  for (const weft::Node& node : network.nodes()) {
    std::vector<weft::NodeId> inputs;
    for (const weft::NodeId input : node.inputs) inputs.push_back(kept[static_cast<std::size_t>(input)]);
    kept.push_back(node.operation == "dropout" ? inputs.front()
                                               : graph.add(node.operation, node.attributes, inputs, node.name));
  }
  return std::move(graph).build(kept[static_cast<std::size_t>(network.output())]);
}

// Two convolutions, one pool, GAP and one fully connected layer, at most two deep.
const Json few_layers = {
    {"depth_limit", 2}, {"filters", {2}}, {"kernels", {1, 3}}, {"pools", {{2, 2}}}, {"neurons", {3}}};

}  // namespace

TEST_CASE("chain keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  // The supernet of the defaults is large.
  weft::testing::check_space(Plugin::open("space", "chain"), {{"filters", {64, 128}}, {"depth_limit", 9}},
                             {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 4}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "chain"), {{"filters", {2, 4}}, {"depth_limit", 6}},
                             {{"task", oblong}});
}

TEST_CASE("chain: legal actions") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  const auto start = legal(space, "");
  CHECK(start.size() ==
        12 + 1 + 1);  // convolutions, GAP, end; neither pooling nor, at size 32, a fully connected layer
  CHECK(count(start, "C(") == 12);
  const auto after_convolution = legal(space, "C(64,3,1)");
  CHECK(count(after_convolution, "P(") == 3);
  CHECK(count(after_convolution, "FC") == 0);
  CHECK(count(legal(space, "C(64,3,1) P(2,2)"), "P(") == 0);
  CHECK(legal(space, "C(64,3,1) GAP") == std::vector<std::string>{"SM"});
}

TEST_CASE("chain: kernels fit the true size and fully connected layers wait for a small one") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  // 32 -> 10 -> 4 -> 2 -> 1, as ceil((n - k + 1) / s)
  const std::string ten = "C(64,3,1) P(5,3) C(64,3,1)";
  const std::string four = ten + " P(3,2) C(64,3,1)";
  const std::string two = four + " P(2,2) C(64,1,1)";
  const std::string one = two + " P(2,2)";
  CHECK(count(legal(space, ten), "FC") == 0);
  CHECK(count(legal(space, ten), "P(5,3)") == 1);
  CHECK(count(legal(space, four), "FC") == 3);
  CHECK(count(legal(space, four), "C(64,") == 2);
  CHECK(count(legal(space, four), "P(") == 2);
  CHECK(count(legal(space, two), "P(") == 1);
  CHECK(count(legal(space, one), "C(64,") == 1);
  const weft::Architecture network = space.decode(space.parse(one + " SM")).architecture;
  CHECK(network.nodes().back().inputs.size() == 1);
  CHECK(network.shape(network.nodes().back().inputs[0]) == weft::Shape::features(64));
}

TEST_CASE("chain: fully connected layers narrow and are at most two in a row") {
  const Instance instance = open_space(Json::object(), {3, 7, 7});
  const weft::SpaceRef space(instance.handle());
  CHECK(legal(space, "FC(256)") == std::vector<std::string>{"FC(256)", "FC(128)", "SM"});
  CHECK(legal(space, "FC(512) FC(512)") == std::vector<std::string>{"SM"});
  const Instance large = open_space(Json::object(), {3, 8, 8});
  CHECK(count(legal(weft::SpaceRef(large.handle()), ""), "FC") == 0);
}

TEST_CASE("chain: the depth is limited") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK(legal(space, repeat("C(64,1,1)", 17)).size() > 1);
  CHECK(legal(space, repeat("C(64,1,1)", 18)) == std::vector<std::string>{"SM"});
}

// Baker et al. 2017, section 4.1: sizes from 8 up, from 4 to 7 and below are one each.
TEST_CASE("chain: keys of the Q table") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK(space.state({}) == "start,0,0,0,0,8,0,0");
  CHECK(space.state(prefix(space, "C(64,3,1)")) == "conv,1,64,3,1,8,0,0");
  CHECK(space.state(prefix(space, "C(64,3,1) P(5,3)")) == "pool,2,0,5,3,8,0,0");
  CHECK(space.state(prefix(space, "C(64,3,1) P(5,3) C(64,3,1) P(3,2)")) == "pool,4,0,3,2,4,0,0");
  CHECK(space.state(prefix(space, "C(64,3,1) GAP")) == "gap,2,0,0,0,0,0,0");
  CHECK(space.state(space.parse("C(64,3,1) GAP SM").decisions) == "gap,2,0,0,0,0,0,1");
  // Sizes 10 and 15, reached by different layers, are one state.
  CHECK(space.state(prefix(space, "C(64,3,1) P(5,3) C(512,5,1)")) ==
        space.state(prefix(space, "C(64,3,1) P(3,2) C(512,5,1)")));
  const Instance small = open_space(Json::object(), {1, 4, 4});
  const weft::SpaceRef after(small.handle());
  CHECK(after.state(prefix(after, "C(64,3,1) FC(256) FC(128)")) == "fc,3,2,0,0,0,128,0");
}

TEST_CASE("chain: dropout after every two layers rises to one half") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture network = space.decode(space.parse(repeat("C(64,1,1)", 7) + " SM")).architecture;
  std::vector<double> probabilities;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "dropout") probabilities.push_back(node.attributes.at("probability"));
  }
  CHECK(probabilities == std::vector<double>{1.0 / 6, 2.0 / 6, 3.0 / 6});
}

TEST_CASE("chain: what a network costs") {
  const Instance instance = open_space(Json::object(), {1, 28, 28});
  const weft::SpaceRef space(instance.handle());
  const weft::Cost cost =
      space.decode(space.parse("C(64,3,1) P(5,3) C(128,5,1) P(2,2) FC(256) SM")).architecture.cost();
  // 28 -> 8 -> 4; every layer has biases.
  CHECK(cost.parameters == (9 * 64 + 64) + (25 * 64 * 128 + 128) + (4 * 4 * 128 * 256 + 256) + (256 * 10 + 10));
  CHECK(cost.multiply_adds == 9 * 64 * 28 * 28 + 25 * 64 * 128 * 8 * 8 + 4 * 4 * 128 * 256 + 256 * 10);
  CHECK(space.decode(space.parse("SM")).architecture.cost().parameters == 28 * 28 * 10 + 10);
}

TEST_CASE("chain: notation and encoding") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 100; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
    const std::vector<double> code = space.encode(genotype);
    REQUIRE(code.size() == 18 * (12 + 3 + 1 + 3));
    CHECK(std::count(code.begin(), code.end(), 1.0) == static_cast<std::ptrdiff_t>(genotype.decisions.size() - 1));
  }
  CHECK(space.notation(space.parse("C(64,3,1) P(2,2) GAP SM")) == "C(64,3,1) P(2,2) GAP SM");
}

TEST_CASE("chain: the supernet has every layer wherever it is legal") {
  const Instance instance = open_space(few_layers, {1, 4, 4});
  const weft::Architecture supernet = weft::SpaceRef(instance.handle()).supernet();
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  REQUIRE(choices.size() == 3);
  CHECK(choices[0].decision == "layer 1, conv 2 x 4 x 4");
  CHECK(choices[0].options == std::vector<std::string>{"C(2,1,1)", "C(2,3,1)"});
  CHECK(choices[1].decision == "layer 2, conv 2 x 4 x 4");
  CHECK(choices[1].options ==
        std::vector<std::string>{"C(2,1,1) after layer 1, conv 2 x 4 x 4", "C(2,3,1) after layer 1, conv 2 x 4 x 4"});
  CHECK(choices[2].decision == "end");
  CHECK(choices[2].options == std::vector<std::string>{"SM", "SM after layer 1, conv 2 x 4 x 4",
                                                       "SM after layer 1, gap 1", "SM after layer 1, fc 3",
                                                       "SM after layer 2, conv 2 x 4 x 4",
                                                       "SM after layer 2, pool 2 x 2 x 2", "SM after layer 2, gap 2",
                                                       "SM after layer 2, fc 3", "SM after layer 2, fc 2 in a row, 3"});
  const int first = (1 * 2 + 2) + (9 * 2 + 2) + (16 * 3 + 3);                  // C(2,1,1), C(2,3,1), FC(3)
  const int second = (2 * 2 + 2) + (9 * 4 + 2) + (32 * 3 + 3) + (3 * 3 + 3);   // and FC(3) after FC(3)
  const int inputs_of_classifiers = 16 + (32 + 1 + 3) + (32 + 8 + 2 + 3 + 3);  // in the order of the options
  CHECK(supernet.cost().parameters == first + second + 10 * inputs_of_classifiers + 10 * 9);
}

// A chain as deep as the limit has the dropout of the supernet, others the same but for its probabilities.
TEST_CASE("chain: a path of the supernet is the chain") {
  const Json args = {
      {"depth_limit", 5}, {"filters", {2, 4}}, {"kernels", {1, 3}}, {"pools", {{2, 2}, {3, 2}}}, {"neurons", {5, 3}}};
  const Instance instance = open_space(args, {1, 9, 8});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  weft::Rng rng(61);
  int deepest = 0;
  for (int i = 0; i < 200; ++i) {
    const weft::Genotype genotype = i == 0   ? space.parse("C(2,3,1) P(3,2) C(4,1,1) FC(5) FC(3) SM")
                                    : i == 1 ? space.parse("SM")
                                             : space.sample(rng);
    CAPTURE(space.notation(genotype));
    const weft::Architecture network = space.decode(genotype).architecture;
    const weft::Architecture part = weft::restricted(supernet, space.path(genotype));
    CHECK(without_dropout(part).canonical_hash() == without_dropout(network).canonical_hash());
    CHECK(part.nodes().size() == network.nodes().size());
    if ((genotype.decisions.size() - 1) / 2 != 5 / 2) continue;
    CHECK(part.canonical_hash() == network.canonical_hash());
    ++deepest;
  }
  CHECK(deepest > 20);
}

TEST_CASE("chain: weights mean the best way back from the end") {
  const Instance instance = open_space(few_layers, {1, 4, 4});
  const weft::SpaceRef space(instance.handle());
  weft::OptionWeights weights = {{"layer 1, conv 2 x 4 x 4", {0.5, 0.5}},
                                 {"layer 2, conv 2 x 4 x 4", {0.4, 0.6}},
                                 {"end", {0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1}}};
  CHECK(space.notation(space.derive(weights)) == "C(2,1,1) C(2,3,1) SM");
  weights["end"] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
  CHECK(space.notation(space.derive(weights)) == "FC(3) FC(3) SM");
  weights["layer 1, conv 2 x 4 x 4"] = {0.4, 0.6};
  weights["end"] = {0, 0, 0, 0, 0, 1, 0, 0, 0};
  CHECK(space.notation(space.derive(weights)) == "C(2,3,1) P(2,2) SM");
  weights["layer 2, conv 2 x 4 x 4"].clear();
  CHECK_THROWS_WITH(space.derive(weights), ContainsSubstring("\"layer 2, conv 2 x 4 x 4\" must be 2"));
}

TEST_CASE("chain: what is malformed or illegal is refused with its place") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("C(64,3,1) FC(128) SM"),
                    ContainsSubstring("position 10") && ContainsSubstring("layer 2") && ContainsSubstring("GAP, SM"));
  CHECK_THROWS_WITH(space.parse("C(64,3,1)"), ContainsSubstring("found the end"));
  CHECK_THROWS_WITH(space.parse("SM SM"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(space.decode(weft::Genotype({0})), ContainsSubstring("ends after 1"));
  CHECK_THROWS_WITH(space.decode(weft::Genotype({0, 99})), ContainsSubstring("takes option 99"));
  CHECK_THROWS_WITH(open_space({{"kernels", {2}}}), ContainsSubstring("/kernels holds 2; must be odd"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("chain needs an image"));
}
