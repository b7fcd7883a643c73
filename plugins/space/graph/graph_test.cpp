// The space of graphs: where it starts, what each morph makes, and what it refuses.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Architecture;
using weft::Genotype;
using weft::Json;
using weft::Morphisms;
using weft::Rng;
using weft::testing::Instance;
using weft::testing::Plugin;

const Json task = {{"task", {{"input", {3, 16, 16}}, {"classes", 10}}}};
const Json large_scale = {"alter_lr",       "train_on",    "reset_weights",     "insert_convolution",
                          "remove_convolution", "alter_stride", "alter_channels", "filter_size",
                          "insert_one_to_one", "add_skip",  "remove_skip"};

struct Opened {
  explicit Opened(const Json& args = Json::object())
      : instance(Plugin::open("space", "graph"), args, {.study = task}), space(instance.handle()) {}
  Architecture start() { return space.decode(space.parse("start")).architecture; }
  Morphisms::Child morph(const Json& morph) { return space.morph(space.parse("start"), morph, rng); }
  Architecture child(const Json& morph) { return space.decode(this->morph(morph).genotype).architecture; }

  Instance instance;
  weft::SpaceRef space;
  Rng rng{1};
};

std::int64_t count(const Architecture& graph, const std::string& operation) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(),
                       [&](const weft::Node& node) { return node.operation == operation; });
}

const weft::Node& node(const Architecture& graph, const std::string& name) {
  return *std::find_if(graph.nodes().begin(), graph.nodes().end(), [&](const auto& node) { return node.name == name; });
}

}  // namespace

TEST_CASE("graph keeps the contract of spaces") {
  const Json small = {{"start", "C(4,3) P(2) C(6,3) FC(5)"}, {"max_channels", 24}, {"sampled_morphs", 6}};
  weft::testing::check_space(Plugin::open("space", "graph"), small, task);
  Json all = small;
  all["morphs"] = {"deepen", "deepen_separable", "deepen_linear", "widen",       "widen_by_zeros", "enlarge_kernel",
                   "skip",   "replicate",        "split",         "remove_layer", "remove_term",    "prune"};
  all["kernels"] = {3, 5, 7};
  weft::testing::check_space(Plugin::open("space", "graph"), all, task);
  weft::testing::check_space(Plugin::open("space", "graph"),
                             {{"start", ""}, {"morphs", large_scale}, {"lr", 0.1}, {"max_channels", 12}}, task);
}

TEST_CASE("graph: networks to start from") {
  // Convolutions without bias 3*3*3*8 and 3*3*8*16, batch norms 2*8 and 2*16, a linear layer 16*32 and its batch norm, the
  // classifier 32*10 + 10.
  Opened chain(Json{{"start", "C(8,3) P(2) C(16,3) FC(32)"}});
  CHECK(chain.start().cost().parameters == 216 + 16 + 1152 + 32 + 512 + 64 + 330);
  CHECK(node(chain.start(), "layer 3/conv2d").shape == weft::Shape::image(16, 8, 8));
  Opened trivial(Json{{"start", ""}});
  CHECK(trivial.start().cost().parameters == 3 * 10 + 10);

  const std::filesystem::path file = std::filesystem::temp_directory_path() / "weft_graph_test.json";
  std::ofstream(file) << chain.start().to_json();
  Opened given(Json{{"architecture", file.string()}});
  CHECK(given.start().canonical_hash() == chain.start().canonical_hash());
  std::ofstream(file) << "{\"architecture\": 1, \"nodes\": [], \"output\": \"no\"}";
  const auto refused = [](const Json& args) { Opened opened(args); };
  CHECK_THROWS_WITH(refused({{"architecture", file.string()}}), ContainsSubstring("/architecture: " + file.string()));
  std::filesystem::remove(file);
  CHECK_THROWS_WITH(refused({{"architecture", file.string()}}), ContainsSubstring(file.string()));
  CHECK_THROWS_WITH(refused({{"start", "C(8,2)"}}), ContainsSubstring("an odd kernel"));
  CHECK_THROWS_WITH(refused({{"start", "FC(8) C(8,3)"}}), ContainsSubstring("a fully connected layer"));
  CHECK_THROWS_WITH(refused({{"start", "P(99)"}}), ContainsSubstring("does not fit"));
  CHECK_THROWS_WITH(refused({{"morphs", {"alter_lr"}}}), ContainsSubstring("/lr is null"));
  CHECK_THROWS_WITH(refused({{"kernels", {4}}}), ContainsSubstring("must be odd"));
}

TEST_CASE("graph: what morphs make, and what they say of it") {
  Opened opened({{"start", "C(8,3) P(2) C(16,3)"}, {"max_channels", 32}});
  const Morphisms::Child wider = opened.morph({{"morph", "widen"}, {"at", "layer 1/conv2d"}, {"factor", 2}});
  const Architecture graph = opened.space.decode(wider.genotype).architecture;
  CHECK(node(graph, "layer 1/conv2d").shape.channels == 16);
  CHECK(wider.transfer.steps.at(0).morph == "widen layer 1/conv2d, factor 2");
  CHECK(node(opened.child({{"morph", "widen"}, {"at", "layer 1/conv2d"}, {"to", 11}}), "layer 1/conv2d").shape.channels ==
        11);
  const Architecture deeper = opened.child({{"morph", "deepen"}, {"at", "layer 1/activation"}, {"kernel", 5}});
  CHECK(count(deeper, "conv2d") == 3);
  CHECK(count(deeper, "activation") == 3);

  const auto refused = [&](const Json& morph, const char* why) {
    CHECK_THROWS_WITH(opened.morph(morph), ContainsSubstring(why));
  };
  refused({{"morph", "widen"}, {"at", "layer 1/conv2d"}, {"factor", 8}}, "/max_channels is 32");
  refused({{"morph", "widen"}, {"at", "layer 1/conv2d"}, {"to", 8}}, "has 8 channels already");
  refused({{"morph", "widen"}, {"at", "no such layer"}, {"factor", 2}}, "no node no such layer");
  refused({{"morph", "widen"}, {"at", "layer 1/conv2d"}}, "cannot be read");
  refused({{"morph", "prune"}, {"at", "layer 1/conv2d"}}, "is none of /morphs: deepen, widen, skip");
}

TEST_CASE("graph: the mutations of Real et al. 2017 repair shapes and keep the weights that fit") {
  Opened opened({{"start", "C(8,3) C(8,3)"}, {"morphs", large_scale}, {"lr", 0.1}});
  const Architecture before = opened.start();
  const auto kept = [&](const Json& morph) {
    const Morphisms::Child child = opened.morph(morph);
    std::set<std::string> fresh;
    for (const auto& [name, rule] : child.transfer.steps.at(0).tensors) fresh.insert(name);
    return fresh;
  };
  // A stride behind the first convolution: the skip that reads its input is resized to what the sum's first input is.
  Genotype genotype = opened.space.parse("start");
  const auto apply = [&](const Json& morph) {
    const Morphisms::Child child = opened.space.morph(genotype, morph, opened.rng);
    weft::check_transfer(opened.space.decode(genotype).architecture, opened.space.decode(child.genotype).architecture,
                         child.transfer);
    genotype = child.genotype;
    return opened.space.decode(genotype).architecture;
  };
  Architecture graph =
      apply({{"morph", "add_skip"}, {"from", "layer 1/activation"}, {"at", "layer 2/activation"}});
  CHECK(count(graph, "add") == 1);
  CHECK(count(graph, "resize") == 0);
  graph = apply({{"morph", "alter_stride"}, {"at", "layer 2/conv2d"}, {"stride", 2}});
  CHECK(count(graph, "resize") == 1);
  CHECK(node(graph, "add 1").shape == weft::Shape::image(8, 8, 8));
  graph = apply({{"morph", "alter_stride"}, {"at", "layer 2/conv2d"}, {"stride", 1}});
  CHECK(count(graph, "resize") == 0);
  graph = apply({{"morph", "alter_channels"}, {"at", "layer 2/conv2d"}, {"channels", 12}});
  CHECK(node(graph, "add 1/resize 1").shape.channels == 12);
  graph = apply({{"morph", "remove_skip"}, {"at", "add 1"}, {"term", 1}});
  CHECK(count(graph, "resize") == 0);
  graph = apply({{"morph", "filter_size"}, {"at", "layer 1/conv2d"}, {"side", 0}, {"kernel", 5}});
  CHECK(node(graph, "layer 1/conv2d").attributes.at("kernel") == Json{5, 3});
  graph = apply({{"morph", "insert_convolution"}, {"at", "layer 1/activation"}, {"stride", 2}, {"activated", true}});
  CHECK(count(graph, "conv2d") == 3);
  CHECK(count(graph, "batch_norm") == 3);
  graph = apply({{"morph", "insert_one_to_one"}, {"at", "layer 1/activation"}, {"activated", false}});
  CHECK(count(graph, "identity") == 1);
  graph = apply({{"morph", "remove_convolution"}, {"at", "layer 2/conv2d"}});
  CHECK(count(graph, "conv2d") == 2);

  CHECK(kept({{"morph", "train_on"}}).empty());
  CHECK(kept({{"morph", "reset_weights"}}).size() == weft::tensor_extents(before).size());
  CHECK(kept({{"morph", "filter_size"}, {"at", "layer 2/conv2d"}, {"side", 1}, {"kernel", 5}}) ==
        std::set<std::string>{"layer 2/conv2d.weight"});
  CHECK(opened.space.decode(opened.morph({{"morph", "alter_lr"}, {"lr", 0.15}}).genotype).recipe == Json{{"lr", 0.15}});
  std::set<double> rates;
  for (int i = 0; i < 400; ++i) {
    const Json drawn = *opened.space.draw_morph(opened.space.parse("start"), opened.rng);
    if (drawn.at("morph") == "alter_lr") rates.insert(drawn.at("lr").get<double>());
  }
  CHECK(rates.size() > 10);
  CHECK(*rates.begin() >= 0.05);
  CHECK(*rates.rbegin() <= 0.2);
}

TEST_CASE("graph: a mutation is a morph that is drawn, and each name is equally likely") {
  Opened opened({{"start", "C(8,3) P(2) C(16,3)"}, {"max_channels", 64}});
  const Genotype start = opened.space.parse("start");
  std::map<std::string, int> drawn;
  for (std::uint64_t i = 0; i < 600; ++i) {
    Rng one(5, i), other(5, i);
    const Json morph = *opened.space.draw_morph(start, one);
    ++drawn[morph.at("morph").get<std::string>()];
    CHECK(opened.space.mutate(start, other) == opened.space.morph(start, morph, one).genotype);
  }
  for (const char* name : {"deepen", "widen", "skip"}) CHECK(std::abs(drawn[name] - 200) < 60);
}
