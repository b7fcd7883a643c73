// Randomly wired networks: the generators' edges, the paper's counts, stages, notation.

#include <algorithm>
#include <set>
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

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "random_graph"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

using Edges = std::vector<std::pair<std::size_t, std::size_t>>;

// The first stage of a sample.
Edges sample(const Instance& instance, std::uint64_t stream) {
  weft::Rng rng(5, stream);
  return weft::SpaceRef(instance.handle()).sample(rng).opaque.at("stages").at(0).get<Edges>();
}

// Of nodes that edges hang together, counting those that have none.
std::size_t components(const Edges& edges, std::size_t nodes) {
  std::vector<std::size_t> component(nodes);
  for (std::size_t node = 0; node < nodes; ++node) component[node] = node;
  for (const auto& [from, to] : edges) {
    const std::size_t joined = component[from];
    const std::size_t into = component[to];
    std::replace(component.begin(), component.end(), joined, into);
  }
  return std::set<std::size_t>(component.begin(), component.end()).size();
}

// The smaller of the two distances around a ring of 32.
std::size_t ring_distance(const std::pair<std::size_t, std::size_t>& edge) {
  return std::min(edge.second - edge.first, 32 + edge.first - edge.second);
}

}  // namespace

TEST_CASE("random_graph keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  const Json small = {{"nodes", 8}, {"channels", 4}, {"head_channels", 8}, {"stem_stride", 1}};
  weft::testing::check_space(Plugin::open("space", "random_graph"), small, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 2}}, {"classes", 3}};
  Json args = {{"nodes", 12}, {"channels", 3}, {"head_channels", 8}, {"regime", "regular"}, {"generator", "ba"}};
  weft::testing::check_space(Plugin::open("space", "random_graph"), args, {{"task", oblong}});
  args["generator"] = "er";
  args["probability"] = 0.4;
  weft::testing::check_space(Plugin::open("space", "random_graph"), args, {{"task", oblong}});
}

TEST_CASE("random_graph: Erdos-Renyi") {
  const Instance all = open_space({{"generator", "er"}, {"probability", 1}, {"nodes", 10}});
  CHECK(sample(all, 0).size() == 45);
  const Instance sparse = open_space({{"generator", "er"}, {"probability", 0.2}});
  double edges = 0.0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Edges stage = sample(sparse, i);
    edges += static_cast<double>(stage.size()) / 100;
    CHECK(components(stage, 32) == 1);
    for (const auto& [from, to] : stage) CHECK(from < to);
  }
  CHECK(edges == Approx(0.2 * 496).margin(4.0));  // standard deviation of the mean: 0.9
}

TEST_CASE("random_graph: Barabasi-Albert") {
  const Instance instance = open_space({{"generator", "ba"}, {"attachments", 3}});
  std::size_t most = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Edges stage = sample(instance, i);
    CHECK(stage.size() == 3 * 29);  // M (N - M)
    std::vector<std::size_t> entering(32);
    std::vector<std::size_t> degree(32);
    for (const auto& [from, to] : stage) {
      ++entering[to];
      ++degree[from];
      ++degree[to];
    }
    for (std::size_t node = 0; node < 32; ++node) CHECK(entering[node] == (node < 3 ? 0 : 3));
    most = std::max(most, *std::max_element(degree.begin(), degree.end()));
  }
  CHECK(most >= 14);  // the rich get richer; drawn uniformly, degrees come to about 9
  const Instance path = open_space({{"generator", "ba"}, {"attachments", 1}, {"nodes", 2}});
  CHECK(sample(path, 0) == Edges{{0, 1}});
}

TEST_CASE("random_graph: Watts-Strogatz") {
  const Instance ring = open_space({{"probability", 0}});
  for (const auto& edge : sample(ring, 0)) CHECK(ring_distance(edge) <= 2);
  const Instance rewired = open_space();
  std::size_t local = 0;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const Edges stage = sample(rewired, i);
    CHECK(stage.size() == 64);  // N K / 2
    for (const auto& edge : stage) local += ring_distance(edge) <= 2;
  }
  // A quarter stays; of the rewired ones some fall on places that have come free.
  CHECK(static_cast<double>(local) / (50 * 64) == Approx(0.28).margin(0.05));
}

// Xie et al. 2019, Tables 2 and 3: parameters and multiply-adds, in millions, of WS(4, 0.75), mean and deviation of
// five graphs.
TEST_CASE("random_graph: the paper's networks") {
  const auto check = [](const Json& args, double parameters, double multiply_adds, double tolerance) {
    const Instance instance = open_space(args, {3, 224, 224}, 1000);
    const weft::SpaceRef space(instance.handle());
    double mean_parameters = 0.0;
    double mean_multiply_adds = 0.0;
    for (std::uint64_t i = 0; i < 5; ++i) {
      weft::Rng rng(6, i);
      const weft::Cost cost = space.decode(space.sample(rng)).architecture.cost();
      mean_parameters += static_cast<double>(cost.parameters) / 5e6;
      mean_multiply_adds += static_cast<double>(cost.multiply_adds) / 5e6;
    }
    CHECK(mean_parameters == Approx(parameters).epsilon(tolerance));
    CHECK(mean_multiply_adds == Approx(multiply_adds).epsilon(tolerance));
  };
  check({{"channels", 78}}, 5.6, 583, 0.02);                            // 5.6 +- 0.1, 583 +- 6.2
  check({{"regime", "regular"}, {"channels", 109}}, 31.9, 4000, 0.04);  // 31.9 +- 0.66, 4,000 +- 90
  check({{"regime", "regular"}, {"channels", 154}}, 61.5, 7900, 0.04);  // 61.5 +- 1.32, 7,900 +- 180
}

TEST_CASE("random_graph: what a network costs") {
  const Instance instance =
      open_space({{"nodes", 3}, {"neighbors", 2}, {"channels", 4}, {"head_channels", 5}}, {3, 64, 64});
  // Stages: a path; two nodes that read the input and one that weighs and adds them; three that are on their own.
  const weft::Architecture network = decode(instance, "0-1 1-2; 0-2 1-2; ");
  const auto node = [](std::int64_t from, std::int64_t to) { return 9 * from + from * to + 2 * to; };
  const std::int64_t stem = (27 * 2 + 4) + (9 * 2 * 4 + 8);
  CHECK(network.cost().parameters ==
        stem + 3 * node(4, 4) + 2 * node(4, 8) + 2 + node(8, 8) + 3 * node(8, 16) + (16 * 5 + 10) + (5 * 10 + 10));
  std::vector<std::pair<std::string, weft::Shape>> sums;
  for (const weft::Node& at : network.nodes()) {
    if (at.operation == "add" || at.operation == "weighted_sum") sums.emplace_back(at.operation, at.shape);
  }
  CHECK(sums == std::vector<std::pair<std::string, weft::Shape>>{{"weighted_sum", weft::Shape::image(8, 4, 4)},
                                                                 {"add", weft::Shape::image(16, 2, 2)}});
}

TEST_CASE("random_graph: the regular regime") {
  const Instance instance = open_space({{"nodes", 6}, {"neighbors", 2}, {"channels", 4}, {"regime", "regular"}});
  const weft::Architecture network = decode(instance, "0-1 1-2; 0-1; 0-1; 0-1");
  std::size_t dropped = 0;
  std::int64_t widest = 0;
  for (const weft::Node& node : network.nodes()) {
    dropped += node.operation == "drop_path";  // on edges between nodes
    if (node.group.starts_with("stage ")) widest = std::max(widest, node.shape.channels);
  }
  CHECK(dropped == 5);
  CHECK(widest == 32);
  CHECK_THROWS_WITH(decode(instance, "0-3; 0-1; 0-1; 0-1"), ContainsSubstring("both from 0 to 2, before this"));
}

TEST_CASE("random_graph: mutation and crossover work on whole stages") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(7);
  const weft::Genotype first = space.sample(rng);
  const weft::Genotype second = space.sample(rng);
  const auto differing = [](const weft::Genotype& one, const weft::Genotype& other) {
    int stages = 0;
    for (int i = 0; i < 3; ++i) stages += one.opaque.at("stages").at(i) != other.opaque.at("stages").at(i);
    return stages;
  };
  for (int i = 0; i < 20; ++i) {
    CHECK(differing(space.mutate(first, rng), first) == 1);
    const weft::Genotype child = space.cross(first, second, rng);
    CHECK(differing(child, first) + differing(child, second) == 3);
  }
}

TEST_CASE("random_graph: notation and encoding") {
  const Instance instance = open_space({{"nodes", 6}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(8);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
    const std::vector<double> code = space.encode(genotype);
    CHECK(code.size() == 3 * 15);
    CHECK(std::count(code.begin(), code.end(), 1.0) == 3 * 12);
  }
}

TEST_CASE("random_graph: what is malformed or cannot be is refused with its place") {
  const Instance instance = open_space({{"nodes", 6}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("0-1; 2-1; 0-1"), ContainsSubstring("position 8: expected an edge from a lower"));
  CHECK_THROWS_WITH(space.parse("0-1; 0-1"), ContainsSubstring("expected \";\", found the end"));
  weft::Genotype genotype;
  genotype.opaque = Json::parse(R"({"stages": [[[0, 1]], [[0, 6]], [[0, 1]]]})");
  CHECK_THROWS_WITH(space.decode(genotype), ContainsSubstring("the edge [0,6] in stage 2"));
  genotype.opaque = Json::parse(R"({"stages": [[[0, 1]]]})");
  CHECK_THROWS_WITH(space.decode(genotype), ContainsSubstring("has 1 stages, not 3"));
  genotype.opaque = Json::parse(R"({"stages": [[[0, 1.5]], [], []]})");
  CHECK_THROWS_WITH(space.decode(genotype), ContainsSubstring("the edge [0,1.5] in stage 1"));
  genotype.opaque = Json::parse(R"({"stages": [[], null, []]})");
  CHECK_THROWS_WITH(space.decode(genotype), ContainsSubstring("has null in stage 2; must be a list of edges"));
  CHECK_THROWS_WITH(open_space({{"generator", "er"}, {"probability", 0.1}}),
                    ContainsSubstring("/probability is 0.1") && ContainsSubstring("raise it"));
  CHECK_THROWS_WITH(open_space({{"generator", "ba"}, {"attachments", 32}}),
                    ContainsSubstring("/attachments is 32; a stage of 32 nodes needs fewer"));
  CHECK_THROWS_WITH(open_space({{"neighbors", 5}}),
                    ContainsSubstring("/neighbors is 5; a stage of 32 nodes needs an even"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("random_graph needs an image"));
}
