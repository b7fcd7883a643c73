// Genetic CNN: the lengths of its codes, how codes become stages, crossover by stages, the notation.

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
  return Instance(Plugin::open("space", "genetic_cnn"), args,
                  {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

std::size_t bits(const Json& nodes, const Json& filters) {
  const Instance instance = open_space({{"nodes", nodes}, {"filters", filters}});
  weft::Rng rng(1);
  return weft::SpaceRef(instance.handle()).sample(rng).decisions.size();
}

// The convolutions of a stage whose outputs reach the convolution of `node`, by their own groups. "pool" stands for the
// stage's output.
std::set<std::string> feeding(const weft::Architecture& network, const std::string& stage, const std::string& node) {
  std::vector<weft::NodeId> open;
  for (weft::NodeId id = 0; id < static_cast<weft::NodeId>(network.nodes().size()); ++id) {
    const weft::Node& at = network.node(id);
    const bool wanted = node == "pool" ? at.operation == "max_pool" && at.group == stage
                                       : at.operation == "conv2d" && at.group == stage + "/" + node;
    if (wanted) open = at.inputs;
  }
  std::set<std::string> found;
  while (!open.empty()) {
    const weft::Node& at = network.node(open.back());
    open.pop_back();
    if (at.operation == "conv2d") {
      found.insert(at.group.substr(at.group.rfind('/') + 1));
    } else {
      open.insert(open.end(), at.inputs.begin(), at.inputs.end());
    }
  }
  return found;
}

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("genetic_cnn keeps the contract of spaces") {
  const Json task = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "genetic_cnn"), {{"filters", {4, 4, 8}}}, {{"task", task}});
  const Json small = {{"input", {3, 9, 4}}, {"classes", 3}};
  const Json args = {
      {"nodes", {2, 3}}, {"filters", {4, 6}}, {"neurons", Json::array()}, {"pool_kernel", 3}, {"input_kernel", 5}};
  weft::testing::check_space(Plugin::open("space", "genetic_cnn"), args, {{"task", small}});
}

// Xie, Yuille 2017, section 4: 19 bits on CIFAR-10, 13 on MNIST.
TEST_CASE("genetic_cnn: lengths of the codes") {
  CHECK(bits({3, 4, 5}, {64, 128, 256}) == 19);
  CHECK(bits({3, 5}, {20, 50}) == 13);
}

// The two-stage network of Xie, Yuille 2017, Figure 1. Node 2 of its second stage is isolated.
TEST_CASE("genetic_cnn: a code becomes stages") {
  const Instance instance = open_space({{"nodes", {4, 5}}, {"filters", {4, 8}}});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture network = space.decode(space.parse("1-00-111|0-10-000-0011")).architecture;
  CHECK(feeding(network, "stage 1", "node 1") == Names{"node 0"});
  CHECK(feeding(network, "stage 1", "node 2") == Names{"node 1"});
  CHECK(feeding(network, "stage 1", "node 3") == Names{"node 0"});
  CHECK(feeding(network, "stage 1", "node 4") == Names{"node 1", "node 2", "node 3"});
  CHECK(feeding(network, "stage 1", "node 5") == Names{"node 4"});
  CHECK(feeding(network, "stage 1", "pool") == Names{"node 5"});
  CHECK(feeding(network, "stage 2", "node 0") == Names{"node 5"});
  CHECK(feeding(network, "stage 2", "node 1") == Names{"node 0"});
  CHECK(feeding(network, "stage 2", "node 2").empty());
  CHECK(feeding(network, "stage 2", "node 3") == Names{"node 1"});
  CHECK(feeding(network, "stage 2", "node 4") == Names{"node 0"});
  CHECK(feeding(network, "stage 2", "node 5") == Names{"node 3", "node 4"});
  CHECK(feeding(network, "stage 2", "node 6") == Names{"node 5"});
}

// Decoded by hand. 1-01-101: 1->2, 2->3, 1->4, 3->4, a chain with a shortcut over two nodes.
TEST_CASE("genetic_cnn: codes of one stage") {
  const Instance instance = open_space({{"nodes", {4}}, {"filters", {4}}});
  const weft::SpaceRef space(instance.handle());
  const auto feeds = [&](const std::string& code) {
    const weft::Architecture network = space.decode(space.parse(code)).architecture;
    std::vector<Names> found;
    for (int node = 1; node <= 5; ++node) found.push_back(feeding(network, "stage 1", "node " + std::to_string(node)));
    return found;
  };
  CHECK(feeds("1-01-101") == std::vector<Names>{{"node 0"}, {"node 1"}, {"node 2"}, {"node 1", "node 3"}, {"node 4"}});
  // What nobody reads goes to the default output.
  CHECK(feeds("1-10-010") == std::vector<Names>{{"node 0"}, {"node 1"}, {"node 1"}, {"node 2"}, {"node 3", "node 4"}});
  CHECK(feeds("0-00-000") == std::vector<Names>(5));
}

TEST_CASE("genetic_cnn: what networks cost") {
  const Instance instance = open_space({{"nodes", {3, 3}}, {"filters", {8, 16}}, {"neurons", {128}}});
  const weft::SpaceRef space(instance.handle());
  const auto convolution = [](std::int64_t from, std::int64_t to) { return 9 * from * to + 2 * to; };
  const std::int64_t head = 8 * 8 * 16 * 128 + 128 + 128 * 10 + 10;
  // A stage without connections is its default input alone.
  CHECK(space.decode(space.parse("0-00|0-00")).architecture.cost().parameters ==
        convolution(3, 8) + convolution(8, 16) + head);
  // One connection: two nodes and the default output besides.
  CHECK(space.decode(space.parse("0-01|0-00")).architecture.cost().parameters ==
        convolution(3, 8) + 3 * convolution(8, 8) + convolution(8, 16) + head);
  CHECK(space.decode(space.parse("1-11|0-00")).architecture.cost().multiply_adds ==
        32 * 32 * 9 * (3 * 8 + 4 * 8 * 8) + 16 * 16 * 9 * 8 * 16 + 8 * 8 * 16 * 128 + 128 * 10);
}

TEST_CASE("genetic_cnn: crossover exchanges whole stages") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  const std::string zeros = "0-00|0-00-000|0-00-000-0000";
  const std::string ones = "1-11|1-11-111|1-11-111-1111";
  std::set<std::string> children;
  weft::Rng rng(3);
  for (int i = 0; i < 200; ++i) {
    children.insert(space.notation(space.cross(space.parse(zeros), space.parse(ones), rng)));
  }
  std::set<std::string> expected;
  for (int mask = 0; mask < 8; ++mask) {
    expected.insert(std::string(mask & 1 ? "1-11" : "0-00") + (mask & 2 ? "|1-11-111" : "|0-00-000") +
                    (mask & 4 ? "|1-11-111-1111" : "|0-00-000-0000"));
  }
  CHECK(children == expected);
}

TEST_CASE("genetic_cnn: decisions, notation and encoding") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK(space.next({})->name == "stage 1/1-2");
  CHECK(space.next(std::vector<std::int32_t>(5))->name == "stage 2/2-3");
  CHECK(space.next(std::vector<std::int32_t>(18))->name == "stage 3/4-5");
  CHECK(space.encoding_length() == 2 * 19);
  weft::Rng rng(5);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.notation(space.parse("1-01|0-10-111|0-00-000-1001")) == "1-01|0-10-111|0-00-000-1001");
}

TEST_CASE("genetic_cnn: what is malformed or does not fit is refused") {
  const Instance instance = open_space({{"nodes", {3}}, {"filters", {4}}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("1-2"),
                    ContainsSubstring("position 2") && ContainsSubstring("whether node 1 feeds node 3"));
  CHECK_THROWS_WITH(space.parse("1-01|1"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(space.parse("1"), ContainsSubstring("nodes in the stages: [3]"));
  CHECK_THROWS_WITH(open_space({{"nodes", {3, 4}}}),
                    ContainsSubstring("/filters has 3 entries") && ContainsSubstring("2 stages"));
}

// Three stages halve an image three times.
TEST_CASE("genetic_cnn: an image that is pooled away is refused") {
  CHECK_NOTHROW(open_space(Json::object(), {3, 32, 8}));
  CHECK_THROWS_WITH(open_space(Json::object(), {3, 32, 7}),
                    ContainsSubstring("3 x 32 x 7; genetic_cnn needs an image of at least 8 x 8") &&
                        ContainsSubstring("fewer stages"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("genetic_cnn needs an image"));
}
