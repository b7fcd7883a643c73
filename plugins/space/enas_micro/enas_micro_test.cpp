// ENAS's micro space: the released cells, both networks, the published code's notation.

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
  return Instance(Plugin::open("space", "enas_micro"), args,
                  {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// The cells of the published scripts (cifar10_micro_final.sh).
const std::string released =
    "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 "
    "1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1";

}  // namespace

TEST_CASE("enas_micro keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "enas_micro"), {{"layers", 1}, {"filters", 4}, {"auxiliary", true}},
                             {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 2}}, {"classes", 3}};
  weft::testing::check_space(
      Plugin::open("space", "enas_micro"),
      {{"layers", 3}, {"filters", 2}, {"blocks", 3}, {"network", "final"}, {"dropout", 0}, {"auxiliary", true}},
      {{"task", oblong}});
}

TEST_CASE("enas_micro: decisions") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  CHECK(genotype.decisions.size() == 40);
  double size = 1.0;
  for (std::size_t at = 0; at < 40; ++at) {
    size *= static_cast<double>(space.next({genotype.decisions.data(), at})->options.size());
  }
  // Two cells; in each, two states of 2, 3, .. 6 and two operations of 5 for five blocks. (The paper's section 2.4
  // prints (5 x 5!)^4 = 1.3 x 10^11, one operation for all five.)
  CHECK(size == Approx(std::pow(720.0 * 3125.0, 4)));
}

TEST_CASE("enas_micro: the released cells") {
  const Instance instance =
      open_space({{"layers", 15}, {"filters", 36}, {"network", "final"}, {"dropout", 0.2}, {"auxiliary", true}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.notation(space.parse(released)) == released);
  const weft::Architecture network = decode(instance, released);
  // Derived here by hand from the shapes in the published code (melodyguan/enas), not printed by its authors, whose
  // code was not run; the auxiliary classifier is not included. (The paper prints 4.6 M.)
  CHECK(network.cost().parameters == 3894372);
  CHECK(network.auxiliary().has_value());
}

TEST_CASE("enas_micro: what a network costs") {
  // One block of two identities, two reductions and a normal cell. Both inputs are read, so the block is the output.
  const std::string identities = "0 4 1 4 0 4 1 4";
  const Json small = {{"layers", 1}, {"filters", 4}, {"blocks", 1}, {"dropout", 0}};
  const auto conv = [](std::int64_t from, std::int64_t to) { return from * to + 2 * to; };  // 1x1 with batch norm
  const std::int64_t stem = 27 * 12 + 24;
  // With shared weights a reduction cell reads what comes before it twice, reduced: the stem from 12 channels to 8, the
  // first cell from 8 to 16. After that nothing needs adapting. Each cell ends with a 1x1 convolution.
  const std::int64_t search = stem + 2 * conv(12, 8) + conv(8, 8) + 2 * conv(8, 16) + conv(16, 16) + conv(16, 16) + 160;
  const Instance shared = open_space(small);
  CHECK(decode(shared, identities).cost().parameters == search);
}

TEST_CASE("enas_micro: unused inputs of a reduction cell are reduced into its output") {
  Json args = {{"layers", 3}, {"filters", 4}, {"blocks", 2}, {"network", "final"}};
  const Instance final_network = open_space(args);
  // Both blocks read state 1 alone, block 2 also block 1.
  const std::string cells = "1 0 1 0 1 2 2 4 1 0 1 0 1 2 2 4";
  const weft::Architecture network = decode(final_network, cells);
  // Layers 0 and 2 are normal, 1 and 3 reduce; state 0 comes from layer 0, of twice the extent, through the concat.
  const weft::Node output = nodes_of(network, "concat", "reduction 2").back();
  CHECK(output.shape == weft::Shape::image(2 * 8, 16, 16));
  CHECK(network.node(output.inputs[0]).group == "reduction 2/factorized_reduction");
  args["network"] = "search";
  const Instance shared = open_space(args);
  const weft::Architecture other = decode(shared, cells);
  CHECK(other.node(nodes_of(other, "conv2d", "reduction 2").back().inputs[0]).shape ==
        weft::Shape::image(2 * 8, 16, 16));
  CHECK(nodes_of(other, "batch_norm", "reduction 2").back().shape == weft::Shape::image(8, 16, 16));
  for (const weft::Node& node : nodes_of(other, "conv2d", "reduction 2/block 1")) {
    CHECK(node.attributes.at("stride") == Json({1, 1}));
  }
}

TEST_CASE("enas_micro: drop-path grows with depth and spares identities") {
  Json args = {{"layers", 2}, {"filters", 4}, {"blocks", 1}, {"network", "final"}};
  const weft::Architecture network = decode(open_space(args), "0 4 1 0 0 4 1 0");
  std::vector<double> scales;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "drop_path") scales.push_back(node.attributes.at("scale"));
  }
  CHECK(scales == std::vector<double>{0.25, 0.5, 0.75, 1.0});
  args["network"] = "search";
  CHECK(nodes_of(decode(open_space(args), "0 4 1 0 0 4 1 0"), "drop_path", "normal 2").empty());
}

TEST_CASE("enas_micro: what is malformed is refused with its place") {
  const Instance instance = open_space({{"blocks", 1}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("0 0 2 0 0 0 0 0"),
                    ContainsSubstring("position 5: expected normal/block 1/input 2 from 0 to 1"));
  CHECK_THROWS_WITH(space.parse("0 0 1 0"), ContainsSubstring("reduction/block 1/input 1, found the end"));
  CHECK_THROWS_WITH(space.parse("0 0 1 0 0 0 0 0 0"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space({{"filters", 5}}), ContainsSubstring("/filters is 5; must be even"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("enas_micro needs an image"));
}
