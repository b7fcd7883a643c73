// The one-shot space: its size, its networks' costs and its supernet's by hand, and what weights mean.

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/supernet.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::decode;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "one_shot"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// All genotypes that begin with `taken`.
void for_each_genotype(const weft::SpaceRef& space, std::vector<std::int32_t> taken,
                       const std::function<void(const weft::Genotype&)>& visit) {
  const std::optional<weft::Decision> decision = space.next(taken);
  if (!decision) return visit(weft::Genotype(taken));
  for (std::size_t option = 0; option < decision->options.size(); ++option) {
    taken.push_back(static_cast<std::int32_t>(option));
    for_each_genotype(space, taken, visit);
    taken.pop_back();
  }
}

// Of the supernet: every weight 1 where the path goes, and 0 elsewhere.
weft::OptionWeights weights_along(const weft::SpaceRef& space, const std::string& notation) {
  weft::OptionWeights weights;
  const weft::SupernetPath path = space.path(space.parse(notation));
  for (const weft::SupernetChoice& choice : weft::choices_of(space.supernet())) {
    weights[choice.decision].resize(choice.options.size());
    for (const int option : path.at(choice.decision)) weights[choice.decision][static_cast<std::size_t>(option)] = 1.0;
  }
  return weights;
}

}  // namespace

TEST_CASE("one_shot keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "one_shot"), {{"cells", 3}, {"filters", 3}}, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 2}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "one_shot"),
                             {{"cells", 4},
                              {"filters", 1},
                              {"blocks", 2},
                              {"operations", {"max_pool_3x3", "identity", "conv_1x7_7x1"}},
                              {"reduction", "cell"}},
                             {{"task", oblong}});
}

// A block that reads one of n pairs of operation and state, or two: n + n (n - 1) / 2 blocks, of which those with two
// have two orders.
TEST_CASE("one_shot: size of the space") {
  const Instance one = open_space({{"cells", 3}, {"filters", 1}, {"blocks", 1}}, {1, 4, 4});
  const weft::SpaceRef space(one.handle());
  std::size_t genotypes = 0;
  std::set<std::vector<double>> codes;
  std::set<std::uint64_t> architectures;
  for_each_genotype(space, {}, [&](const weft::Genotype& genotype) {
    ++genotypes;
    codes.insert(space.encode(genotype));
    architectures.insert(space.decode(genotype).hash());
  });
  CHECK(genotypes == 14 * 14);
  CHECK(codes.size() == 14 * 15 / 2);
  CHECK(architectures.size() == codes.size());

  // 105 * 231 * 406 * 630 cells of four blocks; here the product over blocks of n squared.
  const Instance whole = open_space();
  std::vector<std::size_t> of_block;
  for (const std::vector<std::int32_t>& before :
       std::vector<std::vector<std::int32_t>>{{}, {0, 0, 0}, {0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0}}) {
    std::size_t count = 0;
    std::function<void(std::vector<std::int32_t>)> grow = [&](std::vector<std::int32_t> taken) {
      const std::optional<weft::Decision> decision = weft::SpaceRef(whole.handle()).next(taken);
      if (!decision || (taken.size() > before.size() && decision->name.ends_with("/input 1"))) {
        ++count;
        return;
      }
      for (std::size_t option = 0; option < decision->options.size(); ++option) {
        taken.push_back(static_cast<std::int32_t>(option));
        grow(taken);
        taken.pop_back();
      }
    };
    grow(before);
    of_block.push_back(count);
  }
  CHECK(of_block == std::vector<std::size_t>{14 * 14, 21 * 21, 28 * 28, 35 * 35});
  CHECK(weft::SpaceRef(whole.handle()).encoding_length() == 7 * (2 + 3 + 4 + 5));
}

TEST_CASE("one_shot: what networks cost, by hand") {
  const Instance instance = open_space({{"cells", 3}, {"filters", 4}, {"blocks", 1}}, {1, 8, 8});
  // Stem 36 + 8; the one input that is read, 1 x 1 and batch norm: 4 to 4, 4 to 8, 8 to 16; classifier 16 x 10 + 10.
  const std::int64_t around = 44 + (16 + 8) + (32 + 16) + (128 + 32) + 170;
  CHECK(decode(instance, "cell[identity@1]").cost().parameters == around);
  CHECK(decode(instance, "cell[max_pool_3x3@1]").cost().parameters == around);
  const auto at_all_widths = [](auto&& cost) { return cost(4) + cost(8) + cost(16); };
  // Twice: depthwise k x k, pointwise, batch norm.
  const auto separable = [](std::int64_t kernel) {
    return [kernel](std::int64_t f) { return 2 * (kernel * kernel * f + f * f + 2 * f); };
  };
  const auto factorized = [](std::int64_t f) { return 14 * f * f + 2 * f; };
  CHECK(decode(instance, "cell[sep_conv_5x5@1]").cost().parameters == around + at_all_widths(separable(5)));
  CHECK(decode(instance, "cell[conv_1x7_7x1@1]").cost().parameters == around + at_all_widths(factorized));
  CHECK(decode(instance, "cell[sep_conv_3x3@1 + conv_1x7_7x1@1]").cost().parameters ==
        around + at_all_widths(separable(3)) + at_all_widths(factorized));

  // The first cell at 8 x 8, the second at 4 x 4, the third at 2 x 2: multiply-adds of stem, inputs, operations.
  CHECK(decode(instance, "cell[conv_1x7_7x1@1]").cost().multiply_adds ==
        64 * 36 + 64 * (16 + 14 * 16) + 16 * (32 + 14 * 64) + 4 * (128 + 14 * 256) + 160);

  // The supernet has both inputs and every operation on each. What the third cell reads as state 0 has 4 channels, not
  // 8; the second's has 4, as state 1's.
  const weft::Architecture supernet = weft::SpaceRef(instance.handle()).supernet();
  const std::int64_t other_inputs = (16 + 8) + (32 + 16) + (64 + 32);
  const std::int64_t operations = at_all_widths(separable(3)) + at_all_widths(separable(5)) +
                                  at_all_widths(separable(7)) + at_all_widths(factorized);
  CHECK(supernet.cost().parameters == around + other_inputs + 2 * operations);
}

TEST_CASE("one_shot: the supernet's choices are those of a cell, taken in all cells alike") {
  const Instance instance = open_space();
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(weft::SpaceRef(instance.handle()).supernet());
  REQUIRE(choices.size() == 2 + 3 + 4 + 5);
  CHECK(choices[0].decision == "cell/block 1/input 0");
  CHECK(choices[13].decision == "cell/block 4/input 4");
  for (const weft::SupernetChoice& choice : choices) {
    CHECK(choice.nodes.size() == 8);
    CHECK(choice.options == std::vector<std::string>{"none", "identity", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
                                                     "conv_1x7_7x1", "max_pool_3x3", "avg_pool_3x3"});
  }
  CHECK(choices[0].target == choices[1].target);
  CHECK(choices[1].target != choices[2].target);

  const Instance two_kinds = open_space({{"reduction", "cell"}});
  const std::vector<weft::SupernetChoice> of_both = weft::choices_of(weft::SpaceRef(two_kinds.handle()).supernet());
  REQUIRE(of_both.size() == 28);
  const auto nodes = [&](const std::string& decision) {
    return std::ranges::find(of_both, decision, &weft::SupernetChoice::decision)->nodes.size();
  };
  CHECK(nodes("normal/block 2/input 0") == 6);
  CHECK(nodes("reduction/block 2/input 2") == 2);
}

// Where its cells read both inputs: zeros of an input that is not read leave its projection in the graph, to no effect.
TEST_CASE("one_shot: a path of the supernet is the architecture's network") {
  for (const std::string reduction : {"pool", "cell"}) {
    const Instance instance =
        open_space({{"cells", 4}, {"filters", 4}, {"blocks", 3}, {"reduction", reduction}}, {3, 16, 16});
    const weft::SpaceRef space(instance.handle());
    const weft::Architecture supernet = space.supernet();
    weft::Rng rng(61);
    int compared = 0;
    for (int i = 0; i < 60; ++i) {
      const weft::Genotype genotype = space.sample(rng);
      const std::string notation = space.notation(genotype);
      const std::string last = notation.substr(notation.rfind('['));
      const auto reads_both = [](const std::string& cell) {
        return cell.find("@0") != std::string::npos && cell.find("@1") != std::string::npos;
      };
      if (!reads_both(notation.substr(0, notation.find(']'))) || !reads_both(last)) continue;
      CAPTURE(notation);
      ++compared;
      const weft::Architecture network = space.decode(genotype).architecture;
      const weft::Architecture part = weft::restricted(supernet, space.path(genotype));
      CHECK(part.cost().parameters == network.cost().parameters);
      CHECK(part.cost().multiply_adds == network.cost().multiply_adds);
      for (const char* operation : {"conv2d", "max_pool", "avg_pool", "batch_norm", "concat"}) {
        const auto count = [&](const weft::Architecture& of) {
          return std::ranges::count(of.nodes(), operation, &weft::Node::operation);
        };
        CHECK(count(part) == count(network));
      }
    }
    CHECK(compared >= 20);
  }
  const Instance instance = open_space({{"blocks", 2}});
  const weft::SpaceRef space(instance.handle());
  const weft::SupernetPath path = space.path(space.parse("cell[avg_pool_3x3@1 + identity@1; sep_conv_3x3@2]"));
  CHECK(path.at("cell/block 1/input 0") == std::vector<int>{0});
  CHECK(path.at("cell/block 1/input 1") == std::vector<int>{1, 7});
  CHECK(path.at("cell/block 2/input 2") == std::vector<int>{2});
}

TEST_CASE("one_shot: two cells halve the extent, by pooling or by their operations' stride") {
  const Instance pooled = open_space({{"blocks", 2}});
  const Instance strided = open_space({{"blocks", 2}, {"reduction", "cell"}});
  const weft::Architecture by_pool = decode(pooled, "cell[identity@0; identity@1]");
  const weft::Architecture by_cell =
      decode(strided, "normal[identity@0; identity@1] reduction[sep_conv_3x3@0; max_pool_3x3@1]");
  const std::vector<std::string> expected = {"32x32x32", "32x32x32", "64x16x16", "64x16x16",
                                             "64x16x16", "128x8x8",  "128x8x8",  "128x8x8"};
  const auto concatenated = [](const weft::Architecture& network) {
    std::vector<std::string> shapes;
    for (const weft::Node& node : network.nodes()) {
      const bool of_cell = node.operation == "concat" && node.group.find('/') == std::string::npos;
      const weft::Shape& shape = node.shape;
      if (of_cell)
        shapes.push_back(std::to_string(shape.channels) + "x" + std::to_string(shape.height) + "x" +
                         std::to_string(shape.width));
    }
    return shapes;
  };
  CHECK(concatenated(by_pool) == expected);
  CHECK(concatenated(by_cell) == expected);
}

TEST_CASE("one_shot: weights mean the strongest pair, and a second one that is stronger than none") {
  const Instance instance = open_space({{"blocks", 2}});
  const weft::SpaceRef space(instance.handle());
  const std::string notation = "cell[identity@0 + sep_conv_3x3@1; max_pool_3x3@2]";
  weft::OptionWeights weights = weights_along(space, notation);
  CHECK(space.notation(space.derive(weights)) == notation);
  weights["cell/block 2/input 2"] = {0.4, 0, 0, 0, 0, 0, 0.6, 0.5};
  CHECK(space.notation(space.derive(weights)) == "cell[identity@0 + sep_conv_3x3@1; max_pool_3x3@2 + avg_pool_3x3@2]");
  weights["cell/block 2/input 2"][0] = 0.55;
  CHECK(space.notation(space.derive(weights)) == notation);
  weights["cell/block 2/input 2"][0] = 0.9;  // at least one is kept
  CHECK(space.notation(space.derive(weights)) == notation);
  weights["cell/block 1/input 0"].pop_back();
  CHECK_THROWS_WITH(space.derive(weights), ContainsSubstring("\"cell/block 1/input 0\" must be 8"));
}

TEST_CASE("one_shot: notation") {
  const Instance instance = open_space({{"reduction", "cell"}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 100; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  const Instance one = open_space({{"blocks", 1}});
  const weft::SpaceRef small(one.handle());
  CHECK_THROWS_WITH(small.parse("cell[identity@2]"), ContainsSubstring("a state from 0 to 1"));
  CHECK_THROWS_WITH(small.parse("cell[identity@1 + identity@1]"), ContainsSubstring("two different pairs"));
  CHECK_THROWS_WITH(small.parse("cell[identity@1; identity@1]"),
                    ContainsSubstring("expected \"]\"") && ContainsSubstring("1 blocks in a cell"));
  CHECK_THROWS_WITH(small.parse("cell[conv_1x1@1]"), ContainsSubstring("one of identity, sep_conv_3x3"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("one_shot needs an image"));
}
