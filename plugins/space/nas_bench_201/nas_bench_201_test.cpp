// NAS-Bench-201's published counts, and its notation both ways.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/supernet.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/sanitizers.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& task = {{"input", {3, 32, 32}}, {"classes", 10}}) {
  return Instance(Plugin::open("space", "nas_bench_201"), args, {.study = {{"task", task}}});
}

weft::Cost cost(const weft::SpaceRef& space, const std::string& notation) {
  return space.decode(space.parse(notation)).architecture.cost();
}

const std::string all_skip =
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|";
const std::string all_none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
const std::string all_3x3 =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|";

struct Row {
  std::string notation;
  std::int64_t parameters;
  std::int64_t multiply_adds;
};

// The benchmark's table, or nothing where it is absent. Its multiply-adds count the classifier's 10 bias additions.
std::vector<Row> table() {
  const char* data = std::getenv("WEFT_DATA");
  const std::filesystem::path root = data != nullptr ? data : std::string(WEFT_TEST_SOURCE) + "/../shared/data";
  std::ifstream file(root / "nas-bench-201/cifar10.csv");
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> fields;
    std::istringstream text(line);
    for (std::string field; std::getline(text, field, ',');) fields.push_back(field);
    rows.push_back({fields.at(1), std::stoll(fields.at(5)), std::llround(std::stod(fields.at(6)) * 1e6) - 10});
  }
  return rows;
}

// The network without the zeros that sums add; where a sum has nothing else, it stays.
weft::Architecture without_zeros(const weft::Architecture& network) {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> kept;  // by node of the network
  for (const weft::Node& node : network.nodes()) {
    std::vector<weft::NodeId> inputs;
    for (const weft::NodeId input : node.inputs) {
      if (node.operation != "add" || network.node(input).operation != "zero")
        inputs.push_back(kept[static_cast<std::size_t>(input)]);
    }
    kept.push_back(node.operation == "add" && inputs.size() == 1
                       ? inputs.front()
                       : graph.add(node.operation, node.attributes, inputs, node.name));
  }
  return std::move(graph).build(kept[static_cast<std::size_t>(network.output())]);
}

}  // namespace

TEST_CASE("nas_bench_201 keeps the contract of spaces") {
  const Json task = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "nas_bench_201"), {{"cells", 1}, {"channels", 4}}, {{"task", task}});
}

TEST_CASE("nas_bench_201: published counts of single cells") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  // Dong, Yang 2020; NATS-Bench gives 7.78305 M and 220.11969 M including the classifier's biases.
  CHECK(cost(space, all_skip).parameters == 73306);
  CHECK(cost(space, all_skip).multiply_adds == 7783050 - 10);
  CHECK(cost(space, all_3x3).parameters == 1531546);
  CHECK(cost(space, all_3x3).multiply_adds == 220119690 - 10);
  CHECK(cost(space, all_none).parameters == 73306);
}

TEST_CASE("nas_bench_201: an edge that does not reach the output is counted") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  const std::int64_t reached =
      cost(space, "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|").parameters;
  CHECK(cost(space, "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|").parameters == reached);
  CHECK(cost(space, "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|none~2|").parameters == reached);
  CHECK(cost(space, "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|none~2|").parameters == reached);
}

// Cells repeat: what a stage of five costs follows from stages of one, which are counted for every row; whole networks
// are counted for every hundredth.
TEST_CASE("nas_bench_201: counts of all 15,625 rows of the benchmark") {
  const std::vector<Row> rows = table();
  if (rows.empty()) {
    WARN("SKIPPED: nas-bench-201/cifar10.csv is neither in $WEFT_DATA nor in ../shared/data");
    return;
  }
  REQUIRE(rows.size() == 15625);
  const Instance one_instance = open_space({{"cells", 1}});
  const Instance five_instance = open_space();
  const weft::SpaceRef one(one_instance.handle());
  const weft::SpaceRef five(five_instance.handle());
  const weft::Cost empty = cost(five, all_none);
#ifdef WEFT_SANITIZED
  constexpr std::size_t step = 20;  // a row is like the other to a sanitizer, and takes it twenty times as long
#else
  constexpr std::size_t step = 1;
#endif
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rows.size(); i += step) {
    const weft::Cost once = cost(one, rows[i].notation);
    weft::Cost counted{.parameters = empty.parameters + 5 * (once.parameters - empty.parameters),
                       .multiply_adds = empty.multiply_adds + 5 * (once.multiply_adds - empty.multiply_adds)};
    if (i % 100 == 0) counted = cost(five, rows[i].notation);
    if (counted.parameters != rows[i].parameters || counted.multiply_adds != rows[i].multiply_adds) {
      UNSCOPED_INFO(rows[i].notation << ": " << counted.parameters << " parameters, " << counted.multiply_adds
                                     << " multiply-adds");
      ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("nas_bench_201: notation, neighbours and encoding") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(7);
  weft::Genotype other = space.sample(rng);
  CHECK(space.encoding_length() == 30);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
    const weft::Genotype mutant = space.mutate(genotype, rng);
    int changed = 0;
    for (std::size_t edge = 0; edge < 6; ++edge) changed += mutant.decisions[edge] != genotype.decisions[edge];
    CHECK(changed == 1);
    CHECK_NOTHROW(space.decode(space.cross(genotype, other, rng)));
    other = genotype;
  }
  CHECK(space.notation(space.parse(all_3x3)) == all_3x3);
}

// On each of the six edges of a cell of c channels a 1x1 and a 3x3 convolution: 60 c^2, at c = 16, 32 and 64.
TEST_CASE("nas_bench_201: the supernet has every operation on every edge") {
  const Instance plain_instance = open_space();
  const weft::Architecture plain = weft::SpaceRef(plain_instance.handle()).supernet();
  CHECK(plain.cost().parameters == 73306 + 5 * 60 * (16 * 16 + 32 * 32 + 64 * 64));
  const Instance affine_instance = open_space({{"supernet_affine", true}});
  // Twelve batch norms a cell, of two parameters each channel.
  CHECK(weft::SpaceRef(affine_instance.handle()).supernet().cost().parameters ==
        plain.cost().parameters + 5 * 24 * (16 + 32 + 64));

  const std::vector<weft::SupernetChoice> choices = weft::choices_of(plain);
  REQUIRE(choices.size() == 6);
  CHECK(choices[0].decision == "edge 0-1");
  CHECK(choices[5].decision == "edge 2-3");
  for (const weft::SupernetChoice& choice : choices) {
    CHECK(choice.options ==
          std::vector<std::string>{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"});
    CHECK(choice.nodes.size() == 15);
  }
}

// With affine batch norms a path is the architecture's own network, but for the zeros of its `none` edges. Where decode
// has zeros itself, as a node is not read or reads nothing, the two hold different ones.
TEST_CASE("nas_bench_201: a path of the supernet is the architecture") {
  const Instance instance = open_space({{"supernet_affine", true}, {"cells", 1}});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  weft::Rng rng(53);
  int equal = 0;
  for (int i = 0; i < 200; ++i) {
    const weft::Genotype genotype = i == 0 ? space.parse(all_3x3) : space.sample(rng);
    CAPTURE(space.notation(genotype));
    const weft::Architecture network = space.decode(genotype).architecture;
    const weft::Architecture part = weft::restricted(supernet, space.path(genotype));
    CHECK(part.cost().parameters == network.cost().parameters);
    CHECK(part.cost().multiply_adds == network.cost().multiply_adds);
    if (std::ranges::any_of(network.nodes(), [](const weft::Node& node) { return node.operation == "zero"; })) continue;
    CHECK(without_zeros(part).canonical_hash() == network.canonical_hash());
    ++equal;
  }
  CHECK(equal > 100);
}

TEST_CASE("nas_bench_201: weights mean the best operation of each edge") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::OptionWeights weights = {
      {"edge 0-1", {0.1, 0.1, 0.1, 0.6, 0.1}},   {"edge 0-2", {0.9, 0.1, 0.0, 0.0, 0.0}},
      {"edge 1-2", {0.0, 0.3, 0.1, 0.3, 0.3}},   {"edge 0-3", {-3.0, -2.0, -1.0, -4.0, -5.0}},
      {"edge 1-3", {0.2, 0.2, 0.2, 0.19, 0.21}}, {"edge 2-3", {0.2, 0.2, 0.2, 0.2, 0.2}}};
  CHECK(space.notation(space.derive(weights)) ==
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|none~2|");
  weights["edge 1-3"].pop_back();
  CHECK_THROWS_WITH(space.derive(weights), ContainsSubstring("\"edge 1-3\" must be 5"));
}

TEST_CASE("nas_bench_201: other tasks") {
  const Instance grey = open_space(Json::object(), {{"input", {1, 28, 28}}, {"classes", 10}});
  CHECK(cost(weft::SpaceRef(grey.handle()), all_3x3).parameters == 1531546 - 2 * 9 * 16);
  const Instance odd = open_space(Json::object(), {{"input", {3, 31, 3}}, {"classes", 7}});
  CHECK_NOTHROW(cost(weft::SpaceRef(odd.handle()), all_3x3));
  CHECK_THROWS_WITH(open_space(Json::object(), {{"input", {3, 32, 2}}, {"classes", 10}}),
                    ContainsSubstring("at least 3 x 3"));
  CHECK_THROWS_WITH(open_space(Json::object(), {{"input", {128}}, {"classes", 10}}),
                    ContainsSubstring("needs one of at least"));
}

TEST_CASE("nas_bench_201: malformed input is refused with its place") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("|skip_connect~0|+|skip~0|none~1|+|none~0|none~1|none~2|"),
                    ContainsSubstring("position 18") && ContainsSubstring("avg_pool_3x3"));
  CHECK_THROWS_WITH(space.parse("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|"),
                    ContainsSubstring("position 6: expected \"0\""));
  CHECK_THROWS_WITH(space.parse(all_skip + "|"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(space.parse(""), ContainsSubstring("found the end"));
  CHECK_THROWS_WITH(space.decode(weft::Genotype({0, 1, 2, 3, 4, 5})), ContainsSubstring("edge 2-3"));
  CHECK_THROWS_WITH(space.decode(weft::Genotype({0, 1, 2})), ContainsSubstring("ends after 3"));
}
