// ProxylessNAS: the size of its space, the published networks' counts, skips, the supernet, the notation.

#include <algorithm>
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
using weft::testing::Instance;
using weft::testing::nodes_of;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 224, 224}, int classes = 1000) {
  return Instance(Plugin::open("space", "proxyless"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

Json stages(const std::vector<std::int64_t>& filters) {
  Json stages = Json::array();
  for (std::size_t i = 0; i < filters.size(); ++i)
    stages.push_back({{"filters", filters[i]}, {"layers", i == 5 ? 1 : 4}, {"stride", i == 3 || i == 5 ? 1 : 2}});
  return stages;
}

// Three layers on 4 channels, of which the second and third may be skipped.
const Json tiny = {{"stages", {{{"filters", 4}, {"layers", 3}, {"stride", 2}}}},
                   {"stem_filters", 4},
                   {"first_filters", 4},
                   {"head_filters", 8}};

}  // namespace

TEST_CASE("proxyless keeps the contract of spaces") {
  const Plugin plugin = Plugin::open("space", "proxyless");
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(plugin, tiny, {{"task", grey}});
  const Json oblong = {{"input", {3, 5, 3}}, {"classes", 3}};
  const Json other = {
      {"stages", {{{"filters", 3}, {"layers", 1}, {"stride", 1}}, {{"filters", 5}, {"layers", 2}, {"stride", 2}}}},
      {"stem_filters", 2},
      {"stem_stride", 1},
      {"first_filters", 3},
      {"head_filters", 4},
      {"kernels", {1, 3}},
      {"expansions", {1, 2}},
      {"skip", false},
      {"dropout", 0.1}};
  weft::testing::check_space(plugin, other, {{"task", oblong}});
}

// Six operations where the extent or the width changes, in six layers, and a skip besides in the fifteen others.
TEST_CASE("proxyless: the size of the space") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  std::vector<std::int32_t> taken;
  std::int64_t size = 1;
  while (const std::optional<weft::Decision> decision = space.next(taken)) {
    size *= static_cast<std::int64_t>(decision->options.size());
    taken.push_back(0);
  }
  CHECK(taken.size() == 21);
  CHECK(size == 221502229807900608);  // 6^6 7^15
  CHECK(space.encoding_length() == 6 * 6 + 15 * 7);
  CHECK(space.next(std::vector<std::int32_t>(0))->options == std::vector<std::string>{"mbconv3_3x3", "mbconv6_3x3",
                                                                                      "mbconv3_5x5", "mbconv6_5x5",
                                                                                      "mbconv3_7x7", "mbconv6_7x7"});
  CHECK(space.next(std::vector<std::int32_t>(1))->options.back() == "skip");
}

// The released networks: Cai et al. 2019, Figure 4, and their published files; parameters as others count them
// (osmr/imgclsmob), multiply-adds of the first two the paper's 320 M and 465 M.
TEST_CASE("proxyless: the networks found for a phone, a GPU and a CPU") {
  struct Found {
    std::vector<std::int64_t> filters;
    std::int64_t stem, first, head;
    std::string notation;
    std::int64_t parameters, multiply_adds;
  };
  const std::vector<Found> all = {
      {{32, 40, 80, 96, 192, 320},
       32,
       16,
       1280,
       "mbconv3_5x5 mbconv3_3x3 skip skip | mbconv3_7x7 mbconv3_3x3 mbconv3_5x5 mbconv3_5x5 | "
       "mbconv6_7x7 mbconv3_5x5 mbconv3_5x5 mbconv3_5x5 | mbconv6_5x5 mbconv3_5x5 mbconv3_5x5 mbconv3_5x5 | "
       "mbconv6_7x7 mbconv6_7x7 mbconv3_7x7 mbconv3_7x7 | mbconv6_7x7",
       4080512,
       320427584},
      {{32, 56, 112, 128, 256, 432},
       40,
       24,
       1728,
       "mbconv3_5x5 skip skip skip | mbconv3_7x7 skip skip mbconv3_3x3 | mbconv6_7x7 skip skip mbconv3_5x5 | "
       "mbconv6_5x5 skip mbconv3_3x3 mbconv3_5x5 | mbconv6_7x7 mbconv6_7x7 mbconv6_7x7 mbconv6_5x5 | mbconv6_7x7",
       7119848,
       465260160},
      {{32, 48, 88, 104, 216, 360},
       40,
       24,
       1432,
       "mbconv6_3x3 mbconv3_3x3 mbconv3_3x3 mbconv3_3x3 | mbconv6_3x3 mbconv3_3x3 mbconv3_3x3 mbconv3_5x5 | "
       "mbconv6_3x3 skip skip mbconv3_3x3 | mbconv6_5x5 mbconv3_3x3 mbconv3_3x3 mbconv3_3x3 | "
       "mbconv6_5x5 mbconv3_5x5 mbconv3_5x5 mbconv3_3x3 | mbconv6_5x5",
       4361648,
       439243864}};
  for (const Found& found : all) {
    const Instance instance = open_space({{"stages", stages(found.filters)},
                                          {"stem_filters", found.stem},
                                          {"first_filters", found.first},
                                          {"head_filters", found.head}});
    const weft::Architecture network = weft::testing::decode(instance, found.notation);
    CHECK(network.cost().parameters == found.parameters);
    CHECK(network.cost().multiply_adds == found.multiply_adds);
  }
}

// MobileNetV2 (Sandler et al. 2018) is a network of these layers, too: torchvision's counts.
TEST_CASE("proxyless: MobileNetV2") {
  const Json sandler = {
      {{"filters", 24}, {"layers", 2}, {"stride", 2}},  {{"filters", 32}, {"layers", 3}, {"stride", 2}},
      {{"filters", 64}, {"layers", 4}, {"stride", 2}},  {{"filters", 96}, {"layers", 3}, {"stride", 1}},
      {{"filters", 160}, {"layers", 3}, {"stride", 2}}, {{"filters", 320}, {"layers", 1}, {"stride", 1}}};
  const Instance instance =
      open_space({{"stages", sandler}, {"kernels", {3}}, {"expansions", {6}}, {"skip", false}, {"dropout", 0.2}});
  const weft::SpaceRef space(instance.handle());
  const weft::Cost cost = space.decode(weft::Genotype(std::vector<std::int32_t>(16))).architecture.cost();
  CHECK(cost.parameters == 3504872);
  CHECK(cost.multiply_adds == 300774272);
}

TEST_CASE("proxyless: a layer that is skipped hands on its input, and others add it where nothing changes") {
  const Instance instance = open_space(tiny);
  const auto stage_parameters = [&](const std::string& notation) {
    const weft::Architecture network = weft::testing::decode(instance, notation);
    std::int64_t sum = 0;
    for (const weft::Node& node : network.nodes()) {
      if (node.group.starts_with("stage")) sum += node.cost.parameters;
    }
    return sum;
  };
  const auto mbconv = [](std::int64_t expansion, std::int64_t kernel) {
    const std::int64_t width = 4 * expansion;
    return 4 * width + 2 * width + kernel * kernel * width + 2 * width + width * 4 + 8;
  };
  CHECK(stage_parameters("mbconv3_5x5 skip skip") == mbconv(3, 5));
  CHECK(stage_parameters("mbconv3_5x5 mbconv6_7x7 skip") == mbconv(3, 5) + mbconv(6, 7));
  const weft::Architecture network = weft::testing::decode(instance, "mbconv3_5x5 mbconv6_7x7 mbconv3_3x3");
  CHECK(nodes_of(network, "add", "stage 1/layer 1").empty());
  CHECK(nodes_of(network, "add", "stage 1/layer 2").size() == 1);
  CHECK(nodes_of(network, "add", "stage 1/layer 3").size() == 1);
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "activation") CHECK(node.attributes.at("function") == "relu6");
  }
}

TEST_CASE("proxyless: a path of the supernet is the architecture's network, under the same names") {
  const Instance instance = open_space(tiny);
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  REQUIRE(choices.size() == 3);
  CHECK(choices[1].decision == "stage 1/layer 2");
  CHECK(choices[0].options.size() == 6);
  CHECK(choices[1].options.size() == 7);
  CHECK(supernet.node(supernet.node(choices[1].nodes[0]).inputs.back()).operation == "zero");
  weft::Rng rng(61);
  for (int i = 0; i < 30; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CAPTURE(space.notation(genotype));
    const weft::Architecture network = space.decode(genotype).architecture;
    const weft::Architecture part = weft::restricted(supernet, space.path(genotype));
    CHECK(part.cost().parameters == network.cost().parameters);
    CHECK(part.cost().multiply_adds == network.cost().multiply_adds);
    for (const weft::Node& node : network.nodes()) {
      if (node.cost.parameters > 0) CHECK(std::ranges::count(part.nodes(), node.name, &weft::Node::name) == 1);
    }
  }
}

TEST_CASE("proxyless: weights mean the strongest option of each layer") {
  const Instance instance = open_space(tiny);
  const weft::SpaceRef space(instance.handle());
  weft::OptionWeights weights = {{"stage 1/layer 1", {0.1, 0.3, 0.2, 0.3, 0.05, 0.05}},
                                 {"stage 1/layer 2", {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4}},
                                 {"stage 1/layer 3", {0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1}}};
  CHECK(space.notation(space.derive(weights)) == "mbconv6_3x3 skip mbconv6_7x7");
  weights["stage 1/layer 2"].pop_back();
  CHECK_THROWS_WITH(space.derive(weights), ContainsSubstring("\"stage 1/layer 2\" must be 7"));
}

TEST_CASE("proxyless: what is malformed or does not fit is refused with its place") {
  const Instance instance = open_space(tiny);
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("skip skip skip"), ContainsSubstring("position 0") && ContainsSubstring("mbconv6_7x7"));
  CHECK_THROWS_WITH(space.parse("mbconv3_3x3 skip"), ContainsSubstring("the operation of stage 1/layer 3"));
  CHECK_THROWS_WITH(space.parse("mbconv3_3x3 skip skip | skip"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space({{"kernels", {3, 4}}}), ContainsSubstring("/kernels holds 4; must be odd"));
  CHECK_NOTHROW(open_space(Json::object(), {3, 17, 32}));
  CHECK_THROWS_WITH(open_space(Json::object(), {3, 32, 16}),
                    ContainsSubstring("proxyless needs an image of at least 17 x 17; set /stem_stride"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("proxyless needs an image"));
}
