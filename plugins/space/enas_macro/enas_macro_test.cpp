// ENAS's macro space: its size, the released architecture, both networks, the published code's notation.

#include <algorithm>
#include <cmath>
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
  return Instance(Plugin::open("space", "enas_macro"), args,
                  {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

// The architecture of the published scripts (cifar10_macro_final.sh), 24 layers.
const std::string released =
    "0 3 0 0 1 0 2 0 0 1 2 0 0 0 0 3 1 1 0 1 0 2 0 0 0 0 0 1 2 0 1 1 0 1 1 1 1 0 1 1 1 0 1 0 1 0 0 0 0 0 0 0 0 0 0 "
    "2 0 0 0 0 0 1 0 0 0 0 0 1 0 0 1 1 0 0 0 0 1 1 2 0 1 0 0 0 0 0 1 0 1 1 0 1 0 0 1 0 0 0 1 1 1 0 1 0 1 "
    "0 1 1 0 1 0 1 0 0 0 0 0 1 0 0 2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1 2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0 "
    "2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1 3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0 "
    "3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1 0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0 "
    "3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0 0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0 "
    "0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0";

// Without zeros that are added, and without sums of one.
weft::Architecture without_zeros(const weft::Architecture& network) {
  weft::ArchitectureBuilder graph;
  std::vector<weft::NodeId> kept;  // by node of the network
  const auto at = [&](weft::NodeId id) { return kept[static_cast<std::size_t>(id)]; };
  for (const weft::Node& node : network.nodes()) {
    std::vector<weft::NodeId> inputs;
    for (const weft::NodeId input : node.inputs) {
      if (node.operation != "add" || network.node(input).operation != "zero") inputs.push_back(at(input));
    }
    const bool merges = node.operation == "add";
    kept.push_back(merges && inputs.size() == 1 ? inputs.front()
                                                : graph.add(node.operation, node.attributes, inputs, node.name));
  }
  return std::move(graph).build(at(network.output()));
}

}  // namespace

TEST_CASE("enas_macro keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "enas_macro"), {{"layers", 4}, {"filters", 4}}, {{"task", grey}});
  const Json oblong = {{"input", {3, 9, 2}}, {"classes", 3}};
  const Json args = {{"layers", 7},
                     {"filters", 2},
                     {"network", "final"},
                     {"dropout", 0},
                     {"operations", {"max_pool_3x3", "sep_conv_5x5", "conv_3x3"}}};
  weft::testing::check_space(Plugin::open("space", "enas_macro"), args, {{"task", oblong}});
}

// Pham et al. 2018, section 2.3: 12 layers make 1.6 x 10^29 networks.
TEST_CASE("enas_macro: the size of the space") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  double size = 1.0;
  for (std::size_t at = 0; at < genotype.decisions.size(); ++at) {
    const auto decision = space.next({genotype.decisions.data(), at});
    size *= static_cast<double>(decision->options.size());
    CHECK((decision->kind == weft::Decision::Kind::reference) == (decision->group == "skip"));
  }
  CHECK(size == Approx(1.6e29).epsilon(0.01));
}

TEST_CASE("enas_macro: what a network costs") {
  // Stem 3 -> 4, a 1x1 and a 3x3 convolution, each with batch norm; the classifier has no bias.
  const std::int64_t stem = 27 * 4 + 8;
  const std::int64_t narrow = 16 + 8;
  const std::int64_t wide = 9 * 16 + 8;
  const Instance one = open_space({{"layers", 1}, {"filters", 4}}, {3, 8, 8});
  CHECK(decode(one, "0").cost().parameters == stem + narrow + wide + 40);
  CHECK(decode(one, "0").cost().multiply_adds == 64 * (27 * 4 + 16 + 9 * 16) + 40);
  CHECK(decode(one, "1").cost().parameters == stem + narrow + (9 * 4 + 16 + 8) + 40);
  CHECK(decode(one, "5").cost().parameters == stem + narrow + 40);
  // The second layer adds its skip, or concatenates it and brings 8 channels back to 4.
  const Instance search = open_space({{"layers", 2}, {"filters", 4}}, {3, 8, 8});
  CHECK(decode(search, "0 0 1").cost().parameters == stem + 2 * (narrow + wide) + 8 + 40);
  const Instance final_network = open_space({{"layers", 2}, {"filters", 4}, {"network", "final"}}, {3, 8, 8});
  CHECK(decode(final_network, "0 0 1").cost().parameters == stem + 2 * (narrow + wide) + (8 * 4 + 8) + 40);
  CHECK(decode(final_network, "0 0 0").cost().parameters == stem + 2 * (narrow + wide) + (4 * 4 + 8) + 40);
}

TEST_CASE("enas_macro: every stored output is reduced after a third and two thirds of the layers") {
  const std::string reads_first = "0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 1 0 0 0 0";  // layers 4 and 6 read layer 1
  const Instance search = open_space({{"layers", 6}, {"filters", 4}});
  const weft::Architecture network = decode(search, reads_first);
  // Layer 1 and the layer before the pooling; what nobody reads any more is gone.
  CHECK(nodes_of(network, "shift", "pooling 1").size() == 2);
  CHECK(nodes_of(network, "shift", "pooling 2").size() == 2);
  const weft::Node sum = nodes_of(network, "add", "skips 6").at(0);
  CHECK(sum.shape == weft::Shape::image(4, 8, 8));
  CHECK(sum.inputs.size() == 2);
  const Instance final_network = open_space({{"layers", 6}, {"filters", 4}, {"network", "final"}});
  CHECK(nodes_of(decode(final_network, reads_first), "concat", "skips 6").at(0).shape ==
        weft::Shape::image(2 * 16, 8, 8));
}

TEST_CASE("enas_macro: the released architecture") {
  const Instance instance = open_space({{"layers", 24}, {"filters", 96}, {"network", "final"}, {"dropout", 0.5}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.notation(space.parse(released)) == released);
  const weft::Architecture network = decode(instance, released);
  CHECK(network.shape(network.nodes().back().inputs[0]) == weft::Shape::features(384));
  // Derived here by hand from the shapes in the published code (melodyguan/enas), not printed by its authors, whose
  // code was not run; with full convolutions, as that code has them here, it is larger.
  CHECK(network.cost().parameters == 30854112);
  weft::Genotype full = space.parse(released);
  for (std::size_t layer = 1; layer <= 24; ++layer) {
    std::int32_t& operation = full.decisions[layer * (layer - 1) / 2];
    if (operation == 1 || operation == 3) --operation;
  }
  CHECK(space.decode(full).architecture.cost().parameters == 42466080);
}

TEST_CASE("enas_macro: numbers of operations are the published code's, whichever are chosen from") {
  const Instance instance = open_space({{"layers", 2}, {"filters", 4}, {"operations", {"max_pool_3x3", "conv_5x5"}}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.parse("2 5 1") == weft::Genotype({1, 0, 1}));
  CHECK(space.notation(weft::Genotype({1, 0, 1})) == "2 5 1");
  CHECK_THROWS_WITH(space.parse("0 5 1"), ContainsSubstring("layer 1 that is one of 5 (max_pool_3x3), 2 (conv_5x5)"));
}

TEST_CASE("enas_macro: what is malformed is refused with its place") {
  const Instance instance = open_space({{"layers", 2}, {"filters", 4}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("0 3"), ContainsSubstring("position 3: expected bit 1 of layer 2"));
  CHECK_THROWS_WITH(space.parse("0 3 2"), ContainsSubstring("bits that are 0 or 1"));
  CHECK_THROWS_WITH(space.parse("0 3 1 1"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space({{"filters", 35}}), ContainsSubstring("/filters is 35; must be even"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("enas_macro needs an image"));
}

TEST_CASE("enas_macro: the supernet has every operation in every layer") {
  const std::int64_t stem = 27 * 4 + 8;
  // Six 1x1 convolutions, full and separable convolutions of 3x3 and 5x5, each with batch norm.
  const std::int64_t layer = 6 * (16 + 8) + (9 * 16 + 8) + (9 * 4 + 16 + 8) + (25 * 16 + 8) + (25 * 4 + 16 + 8);
  const Instance instance = open_space({{"layers", 3}, {"filters", 4}});
  const weft::Architecture supernet = weft::SpaceRef(instance.handle()).supernet();
  // Two layers with skips end in a batch norm; layer 1 is reduced twice, layer 2 once.
  CHECK(supernet.cost().parameters == stem + 3 * layer + 2 * 8 + 3 * (16 + 8) + 40);
  std::vector<std::string> decisions;
  for (const weft::SupernetChoice& choice : weft::choices_of(supernet)) {
    decisions.push_back(choice.decision);
    CHECK(choice.nodes.size() == 1);
    CHECK(choice.options.size() == (choice.decision.ends_with("/operation") ? 6 : 2));
  }
  CHECK(decisions == std::vector<std::string>{"layer 1/operation", "layer 2/operation", "layer 2/skip 1",
                                              "layer 3/operation", "layer 3/skip 1", "layer 3/skip 2"});
}

TEST_CASE("enas_macro: a path of the supernet is the network with shared weights") {
  Json args = {{"layers", 7}, {"filters", 2}, {"operations", {"max_pool_3x3", "sep_conv_5x5", "conv_3x3"}}};
  const Instance search = open_space(args);
  const weft::SpaceRef space(search.handle());
  const weft::Architecture supernet = space.supernet();
  weft::Rng rng(5);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CAPTURE(space.notation(genotype));
    CHECK(without_zeros(weft::restricted(supernet, space.path(genotype))).canonical_hash() ==
          space.decode(genotype).architecture.canonical_hash());
  }
  // Whatever network is decoded, the supernet is that of the search.
  args["network"] = "final";
  CHECK(weft::SpaceRef(open_space(args).handle()).supernet().to_json() == supernet.to_json());
}
