// Block-QNN: which tuples are offered, the states of the Q table, how codes become blocks, mutation, the notation.

#include <algorithm>
#include <cstdlib>
#include <map>
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
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "block_qnn"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

const Json one_block = {{"blocks", 1}, {"filters", {8}}, {"stem_filters", 8}};

weft::Architecture decode(const Json& args, const std::string& code) {
  return weft::testing::decode(open_space(args), code);
}

// The nodes of a group itself.
std::vector<weft::Node> nodes_of(const weft::Architecture& network, const std::string& group) {
  std::vector<weft::Node> found;
  for (const weft::Node& node : network.nodes()) {
    if (node.group == group) found.push_back(node);
  }
  return found;
}

std::int64_t convolution(std::int64_t kernel, std::int64_t from, std::int64_t to) {
  return kernel * kernel * from * to + 2 * to;
}

// The exemplars of Zhong et al. 2018, Figure 2, with the codes printed there: a block of several branches and one with
// a shortcut.
const std::string branches =
    "(1,4,0,0,0) (2,1,1,1,0) (3,1,3,2,0) (4,1,1,1,0) (5,1,5,4,0) (6,6,0,3,5) (7,2,3,1,0) (8,1,1,7,0) (9,6,0,6,8) "
    "(10,7,0,0,0)";
const std::string shortcut = "(1,4,0,0,0) (2,1,3,1,0) (3,1,3,2,0) (4,5,0,1,3) (5,7,0,0,0)";

}  // namespace

TEST_CASE("block_qnn keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  const Json args = {{"layers", 6}, {"blocks", 1}, {"filters", {4, 8}}, {"stem_filters", 4}};
  weft::testing::check_space(Plugin::open("space", "block_qnn"), args, {{"task", grey}});
  const Json small = {{"input", {3, 5, 2}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "block_qnn"), {{"layers", 1}, {"blocks", 2}, {"filters", {4, 2}}},
                             {{"task", small}});
}

// Zhong et al. 2018, Table 1: with i earlier layers, the input among them, 8 i tuples of one predecessor, i (i - 1) of
// two, and the terminal.
TEST_CASE("block_qnn: the tuples on offer") {
  const Instance instance = open_space({{"layers", 3}});
  const weft::SpaceRef space(instance.handle());
  const weft::Genotype three = space.parse("(1,4,0,0,0) (2,4,0,1,0) (3,4,0,2,0) (4,7,0,0,0)");
  const auto options = [&](std::size_t layers) { return space.next({three.decisions.data(), layers})->options; };
  CHECK(options(0).size() == 8);
  CHECK(options(1).size() == 16 + 2 + 1);
  CHECK(options(2).size() == 24 + 6 + 1);
  CHECK(options(3) == std::vector<std::string>{"(4,7,0,0,0)"});
  CHECK(options(1).front() == "(2,1,1,0,0)");
  CHECK(options(1).back() == "(2,7,0,0,0)");
  CHECK_FALSE(space.next(three.decisions).has_value());
}

TEST_CASE("block_qnn: states are the tuples") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK(space.state({}) == "input");
  const weft::Genotype first = space.parse("(1,1,3,0,0) (2,5,0,0,1) (3,7,0,0,0)");
  const weft::Genotype second = space.parse("(1,2,1,0,0) (2,5,0,0,1) (3,7,0,0,0)");
  const auto state = [&](const weft::Genotype& genotype, std::size_t layers) {
    return space.state({genotype.decisions.data(), layers});
  };
  CHECK(state(first, 1) == "(1,1,3,0,0)");
  CHECK(state(second, 1) == "(1,2,1,0,0)");
  CHECK(state(first, 2) == state(second, 2));
  CHECK(state(first, 3) == "(3,7,0,0,0)");
}

TEST_CASE("block_qnn: a block with a shortcut") {
  const weft::Architecture network = decode(one_block, shortcut);
  CHECK(network.cost().parameters == (9 * 3 * 8 + 8) + 2 * convolution(3, 8, 8) + (8 * 10 + 10));
  const std::vector<weft::Node> sum = nodes_of(network, "block 1/layer 4");
  REQUIRE(sum.size() == 1);
  CHECK(network.node(sum[0].inputs[0]).operation == "identity");
  CHECK(network.node(sum[0].inputs[1]).group == "block 1/layer 3");
  // The whole template: the second stage's first block reads 32 channels and its identity keeps them, so the sum
  // projects them.
  const weft::Architecture whole = decode(Json::object(), shortcut);
  std::int64_t parameters = 9 * 3 * 32 + 32 + 128 * 10 + 10;
  for (const std::int64_t width : {32, 64, 128}) {
    const std::int64_t before = std::max<std::int64_t>(32, width / 2);
    parameters += 7 * convolution(3, width, width) + convolution(3, before, width);
    if (before != width) parameters += convolution(1, before, width);
  }
  CHECK(whole.cost().parameters == parameters);
  CHECK(nodes_of(whole, "pool 2").at(0).shape == weft::Shape::image(64, 8, 8));
  CHECK(nodes_of(whole, "block 12/layer 4").size() == 1);
  CHECK(nodes_of(whole, "block 13/layer 4").empty());
}

// The tuples of both figures by hand: what each layer reads, where "0" is the block's input.
TEST_CASE("block_qnn: the paper's blocks") {
  const auto reads = [](const std::string& code) {
    const weft::Architecture network = decode(one_block, code);
    std::map<std::string, std::set<std::string>> found;
    const auto layer = [&](const weft::Node& node) {
      const std::string prefix = "block 1/layer ";
      if (!node.group.starts_with(prefix)) return std::string("0");
      return node.group.substr(prefix.size(), node.group.find('/', prefix.size()) - prefix.size());
    };
    for (const weft::Node& node : network.nodes()) {
      for (const weft::NodeId input : node.inputs) {
        const std::string to = layer(node);
        const std::string from = layer(network.node(input));
        if (to != "0" && to != from) found[to].insert(from);
      }
    }
    return found;
  };
  using Reads = std::map<std::string, std::set<std::string>>;
  CHECK(reads(shortcut) == Reads{{"1", {"0"}}, {"2", {"1"}}, {"3", {"2"}}, {"4", {"1", "3"}}});
  CHECK(reads(branches) == Reads{{"1", {"0"}},
                                 {"2", {"1"}},
                                 {"3", {"2"}},
                                 {"4", {"1"}},
                                 {"5", {"4"}},
                                 {"6", {"3", "5"}},
                                 {"7", {"1"}},
                                 {"8", {"7"}},
                                 {"9", {"6", "8"}}});
}

TEST_CASE("block_qnn: branches are concatenated and brought back to the width of the block") {
  const weft::Architecture network = decode(one_block, branches);
  CHECK(network.cost().parameters == (9 * 3 * 8 + 8) + 3 * convolution(1, 8, 8) + convolution(3, 8, 8) +
                                         convolution(5, 8, 8) + 2 * convolution(1, 16, 8) + (8 * 10 + 10));
  CHECK(nodes_of(network, "block 1/layer 6/concat").front().shape.channels == 16);
  CHECK(nodes_of(network, "block 1/layer 9/concat").back().shape == weft::Shape::image(8, 32, 32));
}

TEST_CASE("block_qnn: layers that nobody reads are the block's output") {
  const weft::Architecture network = decode(one_block, "(1,1,1,0,0) (2,2,3,1,0) (3,3,3,1,0) (4,7,0,0,0)");
  const std::vector<weft::Node> output = nodes_of(network, "block 1/concat");
  REQUIRE(output.size() == 4);  // concat, ReLU, convolution, batch norm
  CHECK(network.node(output.front().inputs.at(0)).operation == "max_pool");
  CHECK(network.node(output.front().inputs.at(1)).operation == "avg_pool");
  CHECK(output.back().shape.channels == 8);
  // A single one is the output as it is.
  CHECK(nodes_of(decode(one_block, "(1,1,1,0,0) (2,7,0,0,0)"), "block 1/concat").empty());
}

TEST_CASE("block_qnn: samples are short blocks as well as long ones") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(7);
  std::size_t layers = 0;
  constexpr std::size_t samples = 500;
  for (std::size_t i = 0; i < samples; ++i) layers += space.sample(rng).decisions.size() - 1;
  // One of seven types ends the block from the second layer on: 7 layers, but for the limit of 23.
  CHECK(layers / samples >= 6);
  CHECK(layers / samples <= 7);
}

TEST_CASE("block_qnn: mutation changes one layer, or where the block ends") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  const weft::Genotype parent = space.parse(shortcut);
  weft::Rng rng(11);
  int shorter = 0;
  int longer = 0;
  for (int i = 0; i < 2000; ++i) {
    const weft::Genotype child = space.mutate(parent, rng);
    std::size_t changed = 0;
    const std::size_t length = std::min(child.decisions.size(), parent.decisions.size());
    for (std::size_t at = 0; at < length; ++at) changed += child.decisions[at] != parent.decisions[at];
    REQUIRE(changed == 1);
    REQUIRE(child.decisions.size() <= parent.decisions.size() + 1);
    shorter += child.decisions.size() < parent.decisions.size();
    longer += child.decisions.size() > parent.decisions.size();
  }
  CHECK(std::abs(longer - 400) < 72);  // one place in five; four standard deviations
  CHECK(shorter > 0);
}

TEST_CASE("block_qnn: notation and encoding") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 100; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.notation(space.parse(branches)) == branches);
  CHECK(space.notation(space.parse("[(1,4,0,0,0), (2,6,0,1,0), (3,7,0,0,0)]")) ==
        "(1,4,0,0,0) (2,6,0,0,1) (3,7,0,0,0)");
  CHECK(space.encoding_length() == 23 * (10 + 23));
  const std::vector<double> code = space.encode(space.parse(shortcut));
  CHECK(std::count(code.begin(), code.end(), 1.0) == 3 * 2 + 3);
}

TEST_CASE("block_qnn: what is malformed or does not fit is refused with its place") {
  const Instance instance = open_space({{"layers", 2}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("(1,1,3,0,0)"), ContainsSubstring("found the end"));
  CHECK_THROWS_WITH(space.parse("(2,1,3,0,0)"), ContainsSubstring("instead of (2,1,3,0,0), a tuple of layer 1"));
  CHECK_THROWS_WITH(space.parse("(1,8,3,0,0)"), ContainsSubstring("instead of (1,8,3,0,0)"));
  CHECK_THROWS_WITH(space.parse("(1,1,7,0,0) (2,7,0,0,0)"),
                    ContainsSubstring("(1,1,7,0,0)") && ContainsSubstring("kernel 1, 3 or 5"));
  CHECK_THROWS_WITH(space.parse("(1,1,3,1,0) (2,7,0,0,0)"), ContainsSubstring("earlier layer"));
  CHECK_THROWS_WITH(space.parse("(1,7,0,0,0)"), ContainsSubstring("after at least one layer"));
  CHECK_THROWS_WITH(space.parse("(1,4,0,0,0) (2,5,0,1,1) (3,7,0,0,0)"), ContainsSubstring("two different ones"));
  CHECK_THROWS_WITH(space.parse("(1,4,0,0,0) (2,4,0,0,0) (3,4,0,0,0)"), ContainsSubstring("/layers is 2"));
}

// Between three stages an image is halved twice.
TEST_CASE("block_qnn: an image that is pooled away is refused") {
  CHECK_NOTHROW(open_space(Json::object(), {3, 32, 4}));
  CHECK_THROWS_WITH(open_space(Json::object(), {3, 32, 3}),
                    ContainsSubstring("3 x 32 x 3; block_qnn needs an image of at least 4 x 4") &&
                        ContainsSubstring("fewer stages in /filters"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("block_qnn needs an image"));
}
