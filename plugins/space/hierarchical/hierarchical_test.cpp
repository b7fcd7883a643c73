// Hierarchical representations: the size of the space, motifs in motifs, mutation, what networks cost, notation.

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
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
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "hierarchical"), args,
                  {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// Of each level how many motifs, and of how many nodes.
Json levels(std::initializer_list<std::pair<int, int>> sizes) {
  Json list = Json::array();
  for (const auto& [motifs, nodes] : sizes) list.push_back({{"motifs", motifs}, {"nodes", nodes}});
  return list;
}

std::size_t count(const weft::Architecture& network, const std::string& operation, const std::string& group) {
  return static_cast<std::size_t>(
      std::count_if(network.nodes().begin(), network.nodes().end(), [&](const weft::Node& node) {
        return node.operation == operation && (node.group + "/").starts_with(group + "/");
      }));
}

// One cell at one resolution, on 3 x 8 x 8.
Instance open_cell(const Json& levels, int cells = 1) {
  return open_space({{"levels", levels}, {"channels", 4}, {"resolutions", 1}, {"cells", cells}}, {3, 8, 8});
}

// What that network costs without its cell: stem 3 -> 4, separable convolution 4 -> 8, classifier.
constexpr std::int64_t frame = (27 * 4 + 8) + (9 * 4 + 4 * 8 + 16) + (8 * 10 + 10);

const Json three_nodes = levels({{1, 3}});
const Json two_levels = levels({{2, 3}, {1, 3}});

}  // namespace

TEST_CASE("hierarchical keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "hierarchical"), {{"channels", 2}}, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 3}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "hierarchical"),
                             {{"channels", 2}, {"levels", levels({{1, 5}})}, {"resolutions", 2}, {"cells", 2}},
                             {{"task", oblong}});
}

TEST_CASE("hierarchical: decisions") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  // Six motifs of six edges, one of ten; each carries one of six operations or none.
  CHECK(genotype.decisions.size() == 46);
  CHECK(space.encoding_length() == 46 * 7);
  CHECK(space.next({})->name == "level 2/motif 1/edge 0-1");
  CHECK(space.next(std::span(genotype.decisions).first(45))->name == "level 3/motif 1/edge 3-4");
  const Instance flat = open_space({{"levels", levels({{1, 11}})}});
  CHECK(weft::SpaceRef(flat.handle()).sample(rng).decisions.size() == 55);
}

TEST_CASE("hierarchical: a node concatenates its inputs and restores the channels") {
  const Instance instance = open_cell(three_nodes);
  CHECK(decode(instance, "[identity | none identity]").cost().parameters == frame);
  const weft::Architecture merged = decode(instance, "[conv_1x1 | depthwise_conv_3x3 sep_conv_3x3]");
  const std::int64_t operations = (16 + 8) + (36 + 8) + (36 + 16 + 8);
  CHECK(merged.cost().parameters == frame + operations + (8 * 4 + 8));
  CHECK(count(merged, "concat", "cell 1") == 1);
  // What does not reach the last node is no part of the network, and what is not reached from the first neither.
  CHECK(decode(instance, "[conv_1x1 | max_pool_3x3 none]").cost().parameters == frame);
  CHECK(decode(instance, "[none | avg_pool_3x3 sep_conv_3x3]").cost().parameters == frame);
}

TEST_CASE("hierarchical: a cell without a path yields zeros") {
  const Instance instance = open_cell(three_nodes);
  CHECK(count(decode(instance, "[conv_1x1 | none none]"), "zero", "cell 1") == 1);
  const Instance motifs = open_cell(two_levels);
  // The second motif leads nowhere: its edge is none.
  const std::string genotype = "[identity | none identity] [none | none conv_1x1] / [motif_2 | none motif_1]";
  CHECK(count(decode(motifs, genotype), "zero", "cell 1") == 1);
}

TEST_CASE("hierarchical: motifs are the operations of the level above") {
  const Instance instance = open_cell(two_levels);
  const std::string genotype =
      "[conv_1x1 | none sep_conv_3x3] [identity | max_pool_3x3 none] / [motif_1 | motif_2 motif_1]";
  const weft::Architecture network = decode(instance, genotype);
  // Motif 1 twice, motif 2 without weights, a 1x1 convolution after each, and one where two meet.
  const std::int64_t narrow = 16 + 8;
  CHECK(network.cost().parameters == frame + 2 * (narrow + (36 + 16 + 8)) + 3 * narrow + (32 + 8));
  CHECK(count(network, "max_pool", "cell 1/motif_2/max_pool_3x3") == 1);
  CHECK(weft::SpaceRef(instance.handle()).notation(weft::SpaceRef(instance.handle()).parse(genotype)) == genotype);
}

TEST_CASE("hierarchical: the network around the cells") {
  const Instance instance =
      open_space({{"levels", three_nodes}, {"channels", 4}, {"cells", 2}, {"initial_mutations", 0}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(2);
  const weft::Architecture network = space.decode(space.sample(rng)).architecture;
  std::vector<weft::Shape> shapes;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "batch_norm") shapes.push_back(node.shape);
  }
  const auto image = [](std::int64_t channels, std::int64_t extent) {
    return weft::Shape::image(channels, extent, extent);
  };
  CHECK(shapes == std::vector<weft::Shape>{image(4, 32), image(4, 32), image(8, 16), image(8, 16), image(16, 8),
                                           image(16, 8), image(32, 4)});
}

// Liu et al. 2018, section 3.1: an edge is added, altered or removed. The level, the motif, the node and its
// predecessor are uniform, and so is the operation, which may be the old one.
TEST_CASE("hierarchical: a mutation sets one edge") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  const weft::Genotype parent = space.sample(rng);
  constexpr int trials = 4000;
  int unchanged = 0;
  int cell = 0;
  int added = 0;
  int removed = 0;
  int altered = 0;
  std::vector<bool> touched(46);
  for (int i = 0; i < trials; ++i) {
    const weft::Genotype child = space.mutate(parent, rng);
    std::size_t changes = 0;
    for (std::size_t at = 0; at < 46; ++at) {
      if (child.decisions[at] == parent.decisions[at]) continue;
      ++changes;
      touched[at] = true;
      cell += at >= 36;
      const bool was = parent.decisions[at] != 0;
      const bool is = child.decisions[at] != 0;
      added += !was && is;
      removed += was && !is;
      altered += was && is;
    }
    REQUIRE(changes <= 1);
    unchanged += changes == 0;
  }
  CHECK(std::count(touched.begin(), touched.end(), true) == 46);
  CHECK(added > 0);
  CHECK(removed > 0);
  CHECK(altered > 0);
  // Within four standard deviations: one operation of seven is the old one; half of the rest is in the cell's level.
  CHECK(std::abs(unchanged - trials / 7.0) < 89);
  CHECK(std::abs(cell - trials * 3 / 7.0) < 126);
}

TEST_CASE("hierarchical: notation") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(4);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
}

TEST_CASE("hierarchical: what is malformed or cannot be is refused with its place") {
  const Instance instance = open_cell(two_levels);
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("[motif_1 | none none]"),
                    ContainsSubstring("position 1: expected an operation, one of none, conv_1x1"));
  CHECK_THROWS_WITH(space.parse("[none | none none] /"), ContainsSubstring("expected \"[\", found \"/\""));
  CHECK_THROWS_WITH(open_space({{"levels", levels({{2, 3}})}}),
                    ContainsSubstring("the last level has 2 motifs; must have 1, the cell"));
  CHECK_THROWS_WITH(open_space({{"levels", levels({{6, 20}, {6, 20}, {1, 20}})}}),
                    ContainsSubstring("/levels: a cell may have 6859000 operations; must be at most 10000"));
  CHECK_NOTHROW(open_space({{"resolutions", 5}}));
  CHECK_THROWS_WITH(open_space({{"resolutions", 6}}),
                    ContainsSubstring("input is 3 x 32 x 32; hierarchical needs an image of at least 33 x 33; lower "
                                      "/resolutions, 6"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("hierarchical needs an image"));
}
