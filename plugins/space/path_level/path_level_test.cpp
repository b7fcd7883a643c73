// The space of trees in a DenseNet: a published count, what trees make of the network, what morphs change and keep, and
// what is refused.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Architecture;
using weft::Genotype;
using weft::Json;
using weft::Morphisms;
using weft::testing::Instance;
using weft::testing::nodes_of;
using weft::testing::Plugin;

Json task(const Json& input) { return {{"task", {{"input", input}, {"classes", 10}}}}; }

struct Opened {
  explicit Opened(const Json& args = Json::object())
      : instance(Plugin::open("space", "path_level"), args, {.study = task({3, 32, 32})}), space(instance.handle()) {}

  Architecture decode(const std::string& tree) const { return space.decode(space.parse(tree)).architecture; }
  Morphisms::Child morph(const std::string& tree, const Json& morph) {
    return space.morph(space.parse(tree), morph, rng);
  }
  std::string morphed(const std::string& tree, const Json& morph) {
    return space.notation(this->morph(tree, morph).genotype);
  }

  Instance instance;
  weft::SpaceRef space;
  weft::Rng rng{1};
};

Json merge(const char* at, const char* merge, int branches) {
  return {{"morph", "set_merge_type"}, {"at", at}, {"merge", merge}, {"branches", branches}};
}
Json replace(const char* at, const char* operation) {
  return {{"morph", "replace_identity"}, {"at", at}, {"operation", operation}};
}
Json insert(const char* at) { return {{"morph", "insert_node"}, {"at", at}}; }

Json channels(const std::vector<weft::Node>& nodes) {
  Json all = Json::array();
  for (const weft::Node& node : nodes) all.push_back(node.shape.channels);
  return all;
}

}  // namespace

TEST_CASE("path_level keeps the contract of spaces") {
  weft::testing::check_space(Plugin::open("space", "path_level"), {{"growth", 4}}, task({1, 28, 28}));
  const Json args = {{"growth", 3},
                     {"groups", 3},
                     {"stages", 2},
                     {"layers", 2},
                     {"max_height", 4},
                     {"bottleneck", 1},
                     {"compression", 0.01},
                     {"concat_branches", {2, 3}},
                     {"add_branches", Json::array()}};
  weft::testing::check_space(Plugin::open("space", "path_level"), args, task({3, 7, 4}));
}

// DenseNet-BC of 100 layers with growth 12 has 769,162 parameters (Huang et al. 2017: 0.8 M); each of the 48 layers has
// a batch norm of 12 channels more.
TEST_CASE("path_level: without branches it is a DenseNet-BC") {
  const Opened densenet({{"layers", 16}, {"groups", 1}});
  CHECK(densenet.decode("start").cost().parameters == 769162 + 48 * 2 * 12);
  const std::int64_t dense = Opened({{"growth", 48}, {"groups", 1}}).decode("start").cost().parameters;
  const std::int64_t grouped = Opened(Json{{"growth", 48}}).decode("start").cost().parameters;
  CHECK(dense - grouped == 3 * (9 * 192 * 48) / 2);
}

// Seven channels, of which the first branch gets four; of these again two and two.
TEST_CASE("path_level: the same tree grows behind every layer") {
  const Opened opened({{"growth", 7}, {"groups", 7}, {"layers", 2}});
  const Architecture graph =
      opened.decode("add(sep_conv_5x5, identity > concat(conv_1x1 > concat(identity, max_pool_3x3), avg_pool_3x3))");
  for (const std::string layer : {"stage 1/layer 1/cell", "stage 1/layer 2/cell", "stage 3/layer 2/cell"}) {
    INFO(layer);
    CHECK(channels(nodes_of(graph, "conv2d", layer + "/branch 1/sep_conv_5x5")) == Json{7, 7});
    CHECK(channels(nodes_of(graph, "conv2d", layer + "/branch 2")) == Json{4});
    CHECK(channels(nodes_of(graph, "slice", layer)) == Json{4, 2, 2, 3});
    CHECK(channels(nodes_of(graph, "max_pool", layer + "/branch 2/branch 1/branch 2")) == Json{2});
    CHECK(channels(nodes_of(graph, "avg_pool", layer + "/branch 2/branch 2/avg_pool_3x3")) == Json{3});
    CHECK(channels(nodes_of(graph, "mean", layer)) == Json{7});
  }
  CHECK(nodes_of(graph, "mean", "").empty());
  const std::int64_t cell = 25 * 7 + 49 + 14 + 16 + 8;
  CHECK(graph.cost().parameters == opened.decode("start").cost().parameters + 6 * cell);
}

TEST_CASE("path_level: morphs in the paper's order") {
  Opened opened;
  CHECK(opened.space.notation(opened.space.parse("start")) == "identity");
  CHECK(opened.space.morphs(opened.space.parse("start")).size() == 3 + 6 + 1);
  CHECK(opened.morphed("start", merge("root", "add", 3)) == "add(identity, identity, identity)");
  CHECK(opened.morphed("concat(identity, identity)", replace("root/2", "sep_conv_7x7")) ==
        "concat(identity, sep_conv_7x7)");
  CHECK(opened.morphed("add(conv_1x1, identity)", insert("root/1")) == "add(conv_1x1 > identity, identity)");
  CHECK(opened.morphed("add(conv_1x1 > identity, identity)", merge("root/1", "concat", 2)) ==
        "add(conv_1x1 > concat(identity, identity), identity)");
  const Genotype genotype = opened.space.parse("add(conv_1x1 > identity, identity)");
  CHECK(genotype.opaque == Json::parse(R"({"merge": "add", "branches": [{"operation": "conv_1x1", "node":
      {"branches": [{"operation": "identity"}]}}, {"operation": "identity"}]})"));
}

TEST_CASE("path_level: a transfer holds what is new, in every place, and nothing is renamed") {
  Opened opened({{"layers", 2}, {"noise", 0.01}});
  for (const Json& without_weights : {merge("root", "add", 3), insert("root/1"), replace("root/1", "max_pool_3x3")}) {
    const weft::WeightTransfer transfer = opened.morph("start", without_weights).transfer;
    CHECK(transfer.steps.at(0).tensors.empty());
    CHECK(transfer.steps.at(0).removed.empty());
  }
  const weft::WeightTransfer transfer =
      opened.morph("concat(conv_1x1, identity)", replace("root/2", "sep_conv_3x3")).transfer;
  const auto& tensors = transfer.steps.at(0).tensors;
  CHECK(transfer.steps.at(0).morph == "replace_identity root/2, sep_conv_3x3");
  CHECK(tensors.size() == 6 * 6);  // layers; two convolutions and a batch norm
  const auto& depthwise =
      std::get<weft::WeightTransfer::Identity>(tensors.at("stage 3/layer 2/cell/branch 2/sep_conv_3x3/conv2d.weight"));
  CHECK(depthwise.extents == weft::WeightTransfer::Extents{6, 1, 3, 3});
  CHECK(depthwise.noise == 0.01);
}

TEST_CASE("path_level: the recipe of the start is its own") {
  const Opened opened(Json{{"start_recipe", {{"epochs", 300}, {"lr", 0.1}}}});
  CHECK(opened.space.decode(opened.space.parse("start")).recipe == Json{{"epochs", 300}, {"lr", 0.1}});
  CHECK(opened.space.decode(opened.space.parse("conv_1x1")).recipe == Json::object());
}

TEST_CASE("path_level: what is malformed or cannot be done is refused") {
  Opened opened({{"growth", 2}, {"max_height", 2}, {"operations", {"identity", "conv_1x1"}}});
  const auto notation = [&](const char* text, const char* why) {
    INFO(text);
    CHECK_THROWS_WITH(opened.space.parse(text), ContainsSubstring(why));
  };
  notation("add(identity)", "a second branch of add");
  notation("sum(identity, identity)", "/merge is \"sum\"; must be add or concat");
  notation("concat(identity, identity, identity)", "one of /concat_branches, [2]");
  notation("sep_conv_3x3", "must be identity or one of /operations");
  notation("identity > identity > identity", "the tree is too high");
  notation("concat(identity > concat(identity, identity), identity)",
           "/branches/0/node/branches are 2; concat cannot split 1 channels");
  const auto genotype = [&](const char* json, const char* why) {
    Genotype tree;
    tree.opaque = Json::parse(json);
    INFO(json);
    CHECK_THROWS_WITH(opened.space.decode(tree), ContainsSubstring(why));
  };
  genotype("{}", "must have branches, at least one");
  genotype(R"({"branches": [{"operation": "identity", "node": {}}]})", "the tree/branches/0/node must have branches");
  genotype(R"({"merge": "add", "branches": [{"operation": "identity"}]})", "/merge must be left out");
  genotype(R"({"branches": [{"operation": "identity", "kernel": 3}]})", "/branches/0/kernel is nothing that belongs");
  const auto morph = [&](const char* tree, const Json& json, const char* why) {
    INFO(tree << " " << json);
    CHECK_THROWS_WITH(opened.morph(tree, json), ContainsSubstring(why));
  };
  morph("start", replace("root/2", "conv_1x1"), "a place of the tree identity such as \"root/1\"");
  morph("conv_1x1", replace("root/1", "conv_1x1"), "cannot be done to the tree conv_1x1");
  morph("conv_1x1", merge("root", "add", 2), "there nothing can be done");
  morph("identity > identity", insert("root/1/1"), "cannot be done");
  CHECK_THROWS_WITH(Opened(Json{{"growth", 5}}),
                    ContainsSubstring("/growth holds 5; must be a multiple of /groups, 2"));
  CHECK_THROWS_WITH(Instance(Plugin::open("space", "path_level"), Json::object(), {.study = task({3, 3, 3})}),
                    ContainsSubstring("at least 4 x 4") && ContainsSubstring("give fewer /stages"));
}
