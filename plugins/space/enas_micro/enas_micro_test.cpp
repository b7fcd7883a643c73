// ENAS's micro space: the released cells, both networks, the published code's notation.

#include <cmath>
#include <map>
#include <optional>
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

// Without zeros that are added, and without sums and concatenations of one.
weft::Architecture simplified(const weft::Architecture& network) {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> kept;  // by node of the network
  const auto at = [&](weft::NodeId id) { return kept[static_cast<std::size_t>(id)]; };
  for (const weft::Node& node : network.nodes()) {
    std::vector<weft::NodeId> inputs;
    for (const weft::NodeId input : node.inputs) {
      if (node.operation != "add" || network.node(input).operation != "zero") inputs.push_back(at(input));
    }
    const bool merges = node.operation == "add" || node.operation == "concat";
    kept.push_back(merges && inputs.size() == 1 ? inputs.front()
                                                : graph.add(node.operation, node.attributes, inputs, node.name));
  }
  const std::optional<weft::NodeId> auxiliary = network.auxiliary();
  return std::move(graph).build(at(network.output()), auxiliary ? std::optional(at(*auxiliary)) : std::nullopt);
}

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

TEST_CASE("enas_micro: the supernet has weights for every operation on every state") {
  const Instance instance = open_space({{"layers", 1}, {"filters", 4}, {"blocks", 1}, {"dropout", 0}});
  const weft::Architecture supernet = weft::SpaceRef(instance.handle()).supernet();
  const auto conv = [](std::int64_t from, std::int64_t to) { return from * to + 2 * to; };  // 1x1 with batch norm
  // Two sides of two states, with separable convolutions that are applied twice; a 1x1 convolution of three states.
  const auto separable = [](std::int64_t kernel, std::int64_t c) { return 2 * (kernel * kernel * c + c * c + 2 * c); };
  const auto cell = [&](std::int64_t c) { return 2 * 2 * (separable(3, c) + separable(5, c)) + 3 * c * c + 2 * c; };
  const std::int64_t stem = 27 * 12 + 24;
  CHECK(supernet.cost().parameters == stem + 2 * conv(12, 8) + cell(8) + 2 * conv(8, 16) + cell(16) + cell(16) + 160);

  std::map<std::string, weft::SupernetChoice> choices;
  for (const weft::SupernetChoice& choice : weft::choices_of(supernet)) choices[choice.decision] = choice;
  CHECK(choices.size() == 2 * 6);
  const weft::SupernetChoice& operation = choices.at("reduction/block 1/operation 2");
  CHECK(operation.options ==
        std::vector<std::string>{"sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "identity"});
  CHECK(operation.nodes.size() == 4);  // two cells, two states
  CHECK(choices.at("reduction/block 1/input 2").options == std::vector<std::string>{"0", "1"});
  CHECK(choices.at("reduction/block 1/input 2").nodes.size() == 2);
  CHECK(choices.at("normal/block 1/operation 1").nodes.size() == 2);
  CHECK(choices.at("normal/output of 1").options == std::vector<std::string>{"loose", "used"});
}

TEST_CASE("enas_micro: a path takes the genotype's decisions, and from them which states are loose") {
  const Instance instance = open_space({{"blocks", 2}});
  const weft::SpaceRef space(instance.handle());
  const weft::SupernetPath path = space.path(space.parse("1 0 1 3 2 4 1 2 0 0 1 0 0 0 1 0"));
  CHECK(path.size() == 2 * (8 + 3));
  CHECK(path.at("normal/block 1/operation 2") == std::vector{3});
  CHECK(path.at("normal/block 2/input 1") == std::vector{2});
  CHECK(path.at("normal/output of 0") == std::vector{0});
  CHECK(path.at("normal/output of 1") == std::vector{1});
  CHECK(path.at("normal/output of 2") == std::vector{1});
  CHECK(path.at("reduction/output of 2") == std::vector{0});
}

// Where a cell leaves several states loose the supernet has a 1x1 convolution of each, added up, and the network one of
// all: of as many weights, and the same function. Elsewhere they are the same graph, but for what adds nothing.
TEST_CASE("enas_micro: a path of the supernet is the network with shared weights") {
  Json args = {{"layers", 3}, {"filters", 2}, {"blocks", 3}, {"auxiliary", true}};
  const Instance search = open_space(args);
  const weft::SpaceRef space(search.handle());
  const weft::Architecture supernet = space.supernet();
  const std::string chained = "0 0 1 4 2 3 2 1 3 2 2 1 ";
  const weft::Genotype chain = space.parse(chained + chained);
  CHECK(simplified(weft::restricted(supernet, space.path(chain))).canonical_hash() ==
        simplified(space.decode(chain).architecture).canonical_hash());
  weft::Rng rng(5);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CAPTURE(space.notation(genotype));
    const weft::Cost part = weft::restricted(supernet, space.path(genotype)).cost();
    const weft::Cost whole = space.decode(genotype).architecture.cost();
    CHECK(part.parameters == whole.parameters);
    CHECK(part.multiply_adds == whole.multiply_adds);
  }
  // Whatever network is decoded, the supernet is that of the search.
  args["network"] = "final";
  CHECK(weft::SpaceRef(open_space(args).handle()).supernet().to_json() == supernet.to_json());
}
