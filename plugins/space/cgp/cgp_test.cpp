// Cartesian genetic programming: active and inactive genes, mutation, the repairs of unequal inputs.

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
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
  return Instance(Plugin::open("space", "cgp"), args, {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// A single row, of which each node may read all before it.
Json row(int columns, const Json& more = Json::object()) {
  Json args = {{"rows", 1}, {"columns", columns}, {"levels_back", columns}, {"min_active", 1}};
  args.update(more);
  return args;
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
    if (!node.group.empty() && node.group != "classifier") groups.insert(node.group);
  }
  return groups.size();
}

// For each gene of a genotype whether it is active, traced from the output through the notation.
std::vector<bool> active_genes(const std::string& notation) {
  struct Node {
    bool binary;
    std::size_t inputs[2];
  };
  std::vector<Node> nodes;
  static const std::regex form(R"((\w+)\((\d+),(\d+)\))");
  for (std::sregex_iterator at(notation.begin(), notation.end(), form), end; at != end; ++at) {
    const std::smatch& match = *at;
    nodes.push_back({match[1] == "sum" || match[1] == "concat", {std::stoul(match[2]), std::stoul(match[3])}});
  }
  std::vector<bool> active(3 * nodes.size() + 1);
  active.back() = true;
  std::vector<std::size_t> open = {std::stoul(notation.substr(notation.rfind(' ')))};
  while (!open.empty()) {
    const std::size_t number = open.back();
    open.pop_back();
    if (number == 0 || active[3 * (number - 1)]) continue;
    const Node& node = nodes[number - 1];
    active[3 * (number - 1)] = true;
    for (std::size_t input = 0; input < (node.binary ? 2 : 1); ++input) {
      active[3 * (number - 1) + 1 + input] = true;
      open.push_back(node.inputs[input]);
    }
  }
  return active;
}

}  // namespace

TEST_CASE("cgp keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  const Json args = {{"rows", 3}, {"columns", 6}, {"levels_back", 3}, {"min_active", 3}, {"max_active", 12}};
  weft::testing::check_space(Plugin::open("space", "cgp"), args, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 4}}, {"classes", 3}};
  weft::testing::check_space(
      Plugin::open("space", "cgp"),
      row(7, {{"functions", "conv_set"}, {"filters", {4, 6}}, {"mutation", "point"}, {"mutation_rate", 0.3}}),
      {{"task", oblong}});
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
  // References name earlier steps, each of which is a node.
  CHECK(decision(3 * 50 + 2).step == 50);
  CHECK(decision(450).name == "output");
  CHECK(decision(450).options.front() == "101");
  CHECK(decision(450).kind == weft::Decision::Kind::reference);
}

// A genotype such as Figure 13 of the survey and Figure 2 of the paper show: two rows, three columns, node 5 inactive,
// and a summation whose first input has to be pooled. Decoded by hand.
TEST_CASE("cgp: a genotype with inactive genes and its phenotype") {
  const Instance instance =
      open_space({{"rows", 2}, {"columns", 3}, {"levels_back", 2}, {"functions", "conv_set"}, {"min_active", 1}});
  const weft::SpaceRef space(instance.handle());
  const std::string genotype =
      "conv_32_3(0,0) conv_64_3(0,0) max_pool(1,2) conv_64_5(2,1) conv_32_3(3,4) sum(4,3) -> 6";
  weft::ArchitectureBuilder graph;
  using weft::blocks::conv_bn_relu;
  using weft::blocks::Convolution;
  const weft::NodeId image = graph.input(weft::Shape::image(3, 32, 32));
  const weft::NodeId one = conv_bn_relu(graph, image, Convolution::square(32, 3));
  const weft::NodeId two = conv_bn_relu(graph, image, Convolution::square(64, 3));
  const weft::NodeId three = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {one});
  const weft::NodeId four = conv_bn_relu(graph, two, Convolution::square(64, 5));
  const weft::NodeId pooled = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {four});
  const weft::NodeId padded = graph.add("pad", {{"channels", 32}}, {three});
  const weft::NodeId flat = graph.add("flatten", {}, {graph.add("add", {}, {pooled, padded})});
  const weft::NodeId classes = graph.add("linear", {{"features", 10}}, {flat});
  const weft::Candidate phenotype{std::move(graph).build(classes)};
  const auto hash = [&](const std::string& text) { return space.decode(space.parse(text)).hash(); };
  CHECK(hash(genotype) == phenotype.hash());
  CHECK(space.notation(space.parse(genotype)) == genotype);
  // Node 5, and the second inputs of functions that take one.
  CHECK(hash("conv_32_3(0,0) conv_64_3(0,0) max_pool(1,1) conv_64_5(2,2) sum(4,3) sum(4,3) -> 6") == hash(genotype));
  CHECK(hash("conv_32_3(0,0) conv_64_3(0,0) max_pool(1,2) conv_64_5(1,1) conv_32_3(3,4) sum(4,3) -> 6") !=
        hash(genotype));
  CHECK(hash("conv_32_3(0,0) conv_64_3(0,0) max_pool(1,2) conv_64_5(2,1) conv_32_3(3,4) sum(4,3) -> 5") !=
        hash(genotype));
}

TEST_CASE("cgp: inactive genes never change the network, however far they drift") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  for (std::uint64_t i = 0; i < 10; ++i) {
    weft::Rng rng(2, i);
    weft::Genotype genotype = space.sample(rng);
    const std::uint64_t hash = space.decode(genotype).hash();
    const std::vector<bool> active = active_genes(space.notation(genotype));
    std::size_t mutations = 0;
    for (int step = 0; step < 20; ++step) {
      for (std::size_t gene = 0; gene < active.size(); ++gene) {
        if (active[gene] || !rng.bernoulli(0.05)) continue;
        const std::size_t count = space.next(std::span(genotype.decisions).first(gene))->options.size();
        genotype.decisions[gene] = static_cast<std::int32_t>(rng.below(count));
        ++mutations;
      }
      REQUIRE(space.decode(genotype).hash() == hash);
    }
    CHECK(mutations > 200);  // of 20 times about 380 inactive genes
  }
}

TEST_CASE("cgp: the active mutation changes the network and keeps its size in range") {
  const Instance instance = open_space({{"min_active", 12}, {"max_active", 20}});
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
  for (const char* sum : {"sum(1,2)", "sum(2,1)"}) {
    const weft::Architecture network =
        decode(instance, "conv_32_3(0,0) conv_128_3(0,0) " + std::string(sum) + " concat(2,1) -> 3");
    CHECK(result(network) == weft::Shape::image(128, 4, 4));
    CHECK(count(network, "pad") == 1);
    CHECK(network.cost().parameters == (27 * 32 + 64) + (27 * 128 + 256) + 2048 * 10 + 10);
  }
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
  CHECK_THROWS_WITH(open_space({{"max_active", 9}}), ContainsSubstring("/max_active is 9; must not be less"));
  CHECK_THROWS_WITH(open_space({{"kernels", {4}}}), ContainsSubstring("/kernels holds 4; must be odd"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("cgp needs an image"));
}

TEST_CASE("cgp: numbers of active nodes that no genotype has are refused, and the last that one has is found") {
  const auto sampled = [](const Instance& instance) {
    weft::Rng rng(7);
    const weft::SpaceRef space(instance.handle());
    return active(space.decode(space.sample(rng)).architecture) + 1;
  };
  // The output reads one node of the last column, that two of the second, those two of the first.
  Json args = {{"rows", 2}, {"columns", 3}, {"levels_back", 2}, {"min_active", 6}, {"max_active", 7}};
  CHECK(sampled(open_space(args)) == 6);
  args["min_active"] = 7;
  CHECK_THROWS_WITH(open_space(args), ContainsSubstring("/min_active is 7; a grid of 2 x 3 with /levels_back 2 has at "
                                                        "most 6 active nodes, the output counted; lower it"));
  // The output reads a node of the third column, that one of the first, that the image.
  args = {{"rows", 2}, {"columns", 4}, {"levels_back", 2}, {"min_active", 1}, {"max_active", 3}};
  CHECK(sampled(open_space(args)) == 3);
  args["max_active"] = 2;
  CHECK_THROWS_WITH(open_space(args), ContainsSubstring("/max_active is 2; a grid of 2 x 4 with /levels_back 2 has at "
                                                        "least 3 active nodes, the output counted; raise it"));
  // Possible, but nothing that chance comes across.
  const Instance rare = open_space(row(100, {{"min_active", 101}, {"max_active", 101}}));
  CHECK_THROWS_WITH(sampled(rare), ContainsSubstring("no random genotype with 101 to 101 active nodes; widen"));
}
