// Cartesian genetic programming: active and inactive genes, the three mutations, the repairs of unequal inputs.

#include <algorithm>
#include <set>
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

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "cgp"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// A single row, of which each node may read all before it.
Json row(int columns, const Json& more = Json::object()) {
  Json args = {{"rows", 1}, {"columns", columns}, {"levels_back", columns}, {"min_active", 1}};
  args.update(more);
  return args;
}

weft::Architecture decode(const Instance& instance, const std::string& notation) {
  const weft::SpaceRef space(instance.handle());
  return space.decode(space.parse(notation)).architecture;
}

// Shape of what the classifier reads.
weft::Shape result(const weft::Architecture& network) {
  const weft::Node& flatten = network.node(network.node(network.output()).inputs[0]);
  return network.shape(flatten.inputs[0]);
}

std::size_t count(const weft::Architecture& network, const std::string& operation) {
  return static_cast<std::size_t>(std::count_if(network.nodes().begin(), network.nodes().end(),
                                                [&](const weft::Node& node) { return node.operation == operation; }));
}

// Active nodes without the output, by the nodes' groups in the graph. Pooling of a single pixel leaves no node; below,
// no map shrinks so far with fewer than five poolings.
std::size_t active(const weft::Architecture& network) {
  std::set<std::string> groups;
  for (const weft::Node& node : network.nodes()) {
    if (node.group.starts_with("node ")) groups.insert(node.group);
  }
  return groups.size();
}

}  // namespace

TEST_CASE("cgp keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  const Json args = {{"rows", 3}, {"columns", 6}, {"levels_back", 3}, {"min_active", 3}, {"max_active", 12}};
  weft::testing::check_space(Plugin::open("space", "cgp"), args, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 4}}, {"classes", 3}};
  for (const char* mutation : {"point", "neutral"}) {
    weft::testing::check_space(
        Plugin::open("space", "cgp"),
        row(7, {{"functions", "conv_set"}, {"filters", {4, 6}}, {"mutation", mutation}, {"mutation_rate", 0.3}}),
        {{"task", oblong}});
  }
}

TEST_CASE("cgp: the grid's decisions") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  CHECK(genotype.decisions.size() == 3 * 5 * 30 + 1);
  const auto decision = [&](std::size_t at) { return *space.next({genotype.decisions.data(), at}); };
  CHECK(decision(0).options.size() == 10);
  CHECK(decision(1).options == std::vector<std::string>{"0"});
  // Node 50 is the last of column 9 and may read the image; column 10 reads nodes 1 to 50 alone.
  CHECK(decision(3 * 49 + 1).options.size() == 46);
  CHECK(decision(3 * 50 + 2).options.front() == "1");
  CHECK(decision(3 * 50 + 2).options.back() == "50");
  CHECK(decision(450).name == "output");
  CHECK(decision(450).options.front() == "101");
  CHECK(decision(450).kind == weft::Decision::Kind::reference);
}

TEST_CASE("cgp: inactive genes do not change the network") {
  const Instance instance = open_space(row(4));
  const weft::SpaceRef space(instance.handle());
  const std::string genotype = "res_32_3(0,0) max_pool(1,0) concat(1,2) res_64_5(2,1) -> 4";
  const auto hash = [&](const std::string& text) { return space.decode(space.parse(text)).hash(); };
  // Node 3, and the second inputs of functions that take one.
  CHECK(hash("res_32_3(0,0) max_pool(1,1) sum(0,0) res_64_5(2,3) -> 4") == hash(genotype));
  CHECK(hash("res_32_3(0,0) max_pool(1,0) concat(1,2) res_64_5(1,1) -> 4") != hash(genotype));
  CHECK(hash("res_32_3(0,0) max_pool(1,0) concat(1,2) res_64_5(2,1) -> 3") != hash(genotype));
  CHECK(space.notation(space.parse(genotype)) == genotype);
}

TEST_CASE("cgp: the neutral mutation changes the genotype alone") {
  const Instance instance = open_space({{"mutation", "neutral"}});
  const weft::SpaceRef space(instance.handle());
  for (std::uint64_t i = 0; i < 20; ++i) {
    weft::Rng rng(2, i);
    const weft::Genotype parent = space.sample(rng);
    const weft::Genotype child = space.mutate(parent, rng);
    CHECK(child != parent);
    CHECK(space.decode(child).hash() == space.decode(parent).hash());
  }
}

TEST_CASE("cgp: the active mutation changes the network and keeps its size in range") {
  const Instance instance = open_space({{"min_active", 12}, {"max_active", 20}, {"drift", false}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  weft::Genotype parent = space.sample(rng);
  std::size_t genes = 0;
  for (int i = 0; i < 100; ++i) {
    const weft::Genotype child = space.mutate(parent, rng);
    const weft::Candidate decoded = space.decode(child);
    CHECK(decoded.hash() != space.decode(parent).hash());
    CHECK(active(decoded.architecture) <= 19);
    if (count(decoded.architecture, "max_pool") + count(decoded.architecture, "avg_pool") < 5) {
      CHECK(active(decoded.architecture) >= 11);
    }
    for (std::size_t at = 0; at < child.decisions.size(); ++at) genes += child.decisions[at] != parent.decisions[at];
    parent = child;
  }
  // 0.05 of 451 genes, somewhat more since mutations that touch nothing active are drawn again.
  CHECK(genes / 100 > 18);
  CHECK(genes / 100 < 30);
}

TEST_CASE("cgp: a parent out of range has children that are not further out") {
  const Instance instance = open_space(row(4, {{"min_active", 4}, {"mutation_rate", 0.5}}));
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(4);
  const weft::Genotype parent = space.parse("res_32_3(0,0) max_pool(1,0) concat(1,2) res_64_5(2,1) -> 1");
  CHECK(active(space.decode(space.mutate(parent, rng)).architecture) >= 1);
}

TEST_CASE("cgp: the point mutation may leave the network as it is") {
  const Instance instance = open_space({{"mutation", "point"}, {"mutation_rate", 0.01}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(5);
  const weft::Genotype parent = space.sample(rng);
  int same = 0;
  for (int i = 0; i < 50; ++i) same += space.decode(space.mutate(parent, rng)).hash() == space.decode(parent).hash();
  CHECK(same > 0);
  CHECK(same < 50);
}

TEST_CASE("cgp: of unequal maps the larger one is pooled") {
  const Instance instance = open_space(row(5, {{"functions", "conv_set"}}));
  const weft::Architecture network =
      decode(instance, "conv_32_3(0,0) max_pool(1,0) avg_pool(2,0) conv_64_3(3,0) concat(1,4) -> 5");
  CHECK(result(network) == weft::Shape::image(96, 8, 8));
  CHECK(count(network, "max_pool") == 3);
  // 28, 14, 7, 3, 1, and there pooling ends.
  const Instance odd = open_space(row(6, {{"functions", "conv_set"}}), {3, 28, 28});
  const weft::Architecture single =
      decode(odd, "max_pool(0,0) max_pool(1,0) max_pool(2,0) max_pool(3,0) avg_pool(4,0) concat(0,5) -> 6");
  CHECK(result(single) == weft::Shape::image(6, 1, 1));
  CHECK(count(single, "avg_pool") == 0);
  CHECK(count(single, "max_pool") == 8);
}

TEST_CASE("cgp: of unequal numbers of channels the smaller is filled up with zeros") {
  const Instance instance = open_space(row(4, {{"functions", "conv_set"}}), {3, 4, 4});
  const weft::Architecture exact = decode(instance, "conv_32_3(0,0) conv_128_3(0,0) sum(1,2) sum(2,1) -> 3");
  CHECK(result(exact) == weft::Shape::image(128, 4, 4));
  CHECK(count(exact, "zero") == 1);
  const std::int64_t blocks = (27 * 32 + 64) + (27 * 128 + 256);
  CHECK(exact.cost().parameters == blocks + 2048 * 10 + 10);
  // 29 channels are no multiple of the image's 3.
  const weft::Architecture image = decode(instance, "conv_32_3(0,0) conv_128_3(0,0) sum(0,1) sum(2,1) -> 3");
  CHECK(result(image) == weft::Shape::image(32, 4, 4));
  CHECK(image.cost().parameters == (27 * 32 + 64) + 29 * 3 + 512 * 10 + 10);
}

TEST_CASE("cgp: a residual block keeps the wider of its two sides") {
  const Instance instance = open_space(row(2), {64, 4, 4});
  const weft::Architecture network = decode(instance, "res_32_3(0,0) res_128_5(1,0) -> 2");
  CHECK(result(network) == weft::Shape::image(128, 4, 4));
  // The first block's output has the image's 64 channels.
  CHECK(network.cost().parameters ==
        (9 * 64 * 32 + 64) + (9 * 32 * 32 + 64) + (25 * 64 * 128 + 256) + (25 * 128 * 128 + 256) + 2048 * 10 + 10);
}

TEST_CASE("cgp: notation") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(6);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
}

TEST_CASE("cgp: what is malformed or cannot be is refused with its place") {
  const Instance instance = open_space(row(2));
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("sum(0,0) sum(2,0) -> 2"), ContainsSubstring("a number from 0 to 1 before this"));
  CHECK_THROWS_WITH(space.parse("sum(0,0) conv(0,0) -> 2"), ContainsSubstring("position 9: expected a function"));
  CHECK_THROWS_WITH(space.parse("sum(0,0) sum(1,0)"), ContainsSubstring("expected \"->\""));
  CHECK_THROWS_WITH(open_space(row(2, {{"min_active", 4}})),
                    ContainsSubstring("/min_active is 4; a grid of 1 x 2 has 3 nodes, the output counted; lower it"));
  CHECK_THROWS_WITH(open_space({{"max_active", 9}}), ContainsSubstring("/max_active is 9; must not be less"));
  CHECK_THROWS_WITH(open_space({{"kernels", {4}}}), ContainsSubstring("/kernels holds 4; must be odd"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("cgp needs an image"));
  // Nodes of a single column read nothing but the image.
  const Instance stuck = open_space({{"rows", 4}, {"columns", 1}, {"min_active", 4}});
  weft::Rng rng(7);
  CHECK_THROWS_WITH(weft::SpaceRef(stuck.handle()).sample(rng), ContainsSubstring("widen /min_active"));
}
