// DARTS: auxiliary classifier, notation, space.

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "plugins/space/darts/published_genotypes.hpp"
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
using weft::testing::Plugin;

Instance open_space(const Json& args, const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "darts"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

using darts::darts_v1;
using darts::nasnet;

// Numbers of quark0/darts, or null where the file is absent.
Json golden() {
  const char* data = std::getenv("WEFT_DATA");
  const std::filesystem::path root = data != nullptr ? data : std::string(WEFT_TEST_SOURCE) + "/../shared/data";
  std::ifstream file(root / "darts/golden.json");
  return file ? Json::parse(file) : Json();
}

// Calls visit(name of the decision, number of the edge) for the edges of a cell in the order of DARTS's alphas.
template <typename Visit>
void for_each_edge(const std::string& type, Visit&& visit) {
  std::size_t edge = 0;
  for (int node = 2; node < 6; ++node) {
    for (int from = 0; from < node; ++from)
      visit(type + "/edge " + std::to_string(from) + "-" + std::to_string(node), edge++);
  }
}

// Equal weights for every operation.
weft::OptionWeights equal_weights() {
  weft::OptionWeights weights;
  for (const std::string type : {"normal", "reduce"})
    for_each_edge(type, [&](const std::string& decision, std::size_t) { weights[decision].assign(8, 0.125); });
  return weights;
}

// What DARTS makes of alphas: their softmax edge by edge.
void add_softmax(weft::OptionWeights& weights, const std::string& type, const Json& alphas) {
  for_each_edge(type, [&](const std::string& decision, std::size_t edge) {
    std::vector<double> exponentials;
    double sum = 0.0;
    for (const double alpha : alphas.at(edge)) sum += exponentials.emplace_back(std::exp(alpha));
    for (double& exponential : exponentials) exponential /= sum;
    weights[decision] = exponentials;
  });
}

}  // namespace

TEST_CASE("darts keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "darts"), {{"layers", 3}, {"channels", 4}, {"auxiliary", true}},
                             {{"task", grey}});
  const Json large = {{"input", {3, 64, 64}}, {"classes", 12}};
  weft::testing::check_space(Plugin::open("space", "darts"), {{"layers", 2}, {"channels", 4}, {"template", "imagenet"}},
                             {{"task", large}});
}

// What the networks cost without it is in tests/torch/published_numbers_test.cpp.
TEST_CASE("darts: the auxiliary classifier is an output of its own and costs nothing of the network's") {
  for (const std::string& genotype : {nasnet, darts_v1}) {
    CAPTURE(genotype);
    const Instance plain = open_space({{"channels", 16}, {"layers", 8}, {"auxiliary", false}});
    const Instance auxiliary = open_space({{"channels", 16}, {"layers", 8}, {"auxiliary", true}});
    const weft::Architecture network = decode(auxiliary, genotype);
    CHECK(network.auxiliary().has_value());
    CHECK_FALSE(decode(plain, genotype).auxiliary().has_value());
    CHECK(network.cost().parameters == decode(plain, genotype).cost().parameters);
    CHECK(network.cost().multiply_adds == decode(plain, genotype).cost().multiply_adds);
  }
}

TEST_CASE("darts: notation") {
  const Instance instance = open_space({{"layers", 3}, {"channels", 4}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.parse(darts_v1).opaque.is_null());
  CHECK(space.notation(space.parse(darts_v1)) == darts_v1);
  CHECK(space.parse(nasnet).opaque.at("reduce_concat") == Json({4, 5, 6}));
  CHECK(space.notation(space.parse(nasnet)) == nasnet);
  std::string printed = darts_v1;
  for (std::size_t at; (at = printed.find("[2, 3, 4, 5]")) != std::string::npos;)
    printed.replace(at, 12, "range(2, 6)");
  CHECK(space.parse(printed) == space.parse(darts_v1));
}

// Section 3.1.1: (product over k of (k+1)k/2 x 7^2), about 10^9 cells of each kind. Here the two operations of a node
// come in an order, which doubles the count at each of four nodes.
TEST_CASE("darts: size of the space") {
  const Instance instance = open_space(Json::object());
  const weft::SpaceRef space(instance.handle());
  double size = 1;
  std::vector<std::int32_t> taken;
  while (taken.size() < 16) {
    size *= static_cast<double>(space.next(taken)->options.size());
    taken.push_back(0);
  }
  CHECK(size / 16 == 180.0 * 49 * 49 * 49 * 49);
}

TEST_CASE("darts: the order of a node's operations is not encoded") {
  const Instance instance = open_space(Json::object());
  const weft::SpaceRef space(instance.handle());
  CHECK(space.encoding_length() == 2 * 14 * 7);
  std::string swapped = darts_v1;
  swapped.replace(swapped.find("('sep_conv_3x3', 1), ('sep_conv_3x3', 0)"), 40,
                  "('sep_conv_3x3', 0), ('sep_conv_3x3', 1)");
  REQUIRE(space.parse(swapped) != space.parse(darts_v1));
  CHECK(space.encode(space.parse(swapped)) == space.encode(space.parse(darts_v1)));
  CHECK(space.decode(space.parse(swapped)).hash() == space.decode(space.parse(darts_v1)).hash());
  CHECK_THROWS_AS(space.encode(space.parse(nasnet)), weft::InvalidInput);
}

// quark0/darts, cnn/model_search.py: Network(16, 10, 8) and Network(4, 10, 2), whose cells both reduce.
TEST_CASE("darts: the supernet is as large as the authors'") {
  const Instance instance = open_space({{"channels", 16}, {"layers", 8}, {"auxiliary", true}});
  const weft::Architecture supernet = weft::SpaceRef(instance.handle()).supernet();
  CHECK(supernet.cost().parameters == 1930618);
  CHECK_FALSE(supernet.auxiliary().has_value());
  const Instance small = open_space({{"channels", 4}, {"layers", 2}});
  CHECK(weft::SpaceRef(small.handle()).supernet().cost().parameters == 65606);
  CHECK(weft::choices_of(weft::SpaceRef(small.handle()).supernet()).size() == 14);

  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  REQUIRE(choices.size() == 28);
  const auto node_of = [&](const weft::SupernetChoice& choice) { return supernet.node(choice.target); };
  for (std::size_t edge = 0; edge < choices.size(); ++edge) {
    CAPTURE(choices[edge].decision);
    CHECK(choices[edge].options == std::vector<std::string>{"none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
                                                            "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3",
                                                            "dil_conv_5x5"});
    CHECK(choices[edge].nodes.size() == (edge < 14 ? 6 : 2));
    CHECK(node_of(choices[edge]).operation == "add");
  }
  CHECK(choices[4].decision == "normal/edge 2-3");
  CHECK(node_of(choices[4]).inputs.size() == 3);
  CHECK(choices[4].target == choices[2].target);
  CHECK(choices[27].decision == "reduce/edge 4-5");
}

// What a part of the supernet lacks of the evaluation network are the scales and shifts of its cells' batch norms.
TEST_CASE("darts: a path of the supernet has the architecture's operations") {
  const Instance instance = open_space({{"channels", 4}, {"layers", 4}});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  weft::Rng rng(59);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = i == 0 ? space.parse(darts_v1) : space.sample(rng);
    CAPTURE(space.notation(genotype));
    const weft::Architecture network = space.decode(genotype).architecture;
    const weft::Architecture part = weft::restricted(supernet, space.path(genotype));
    std::int64_t affine = 0;
    for (const weft::Node& node : network.nodes())
      affine += node.operation == "batch_norm" && node.group != "stem" ? 2 * node.shape.channels : 0;
    CHECK(part.cost().parameters == network.cost().parameters - affine);
    CHECK(part.cost().multiply_adds == network.cost().multiply_adds);
    for (const char* operation : {"conv2d", "max_pool", "avg_pool", "shift"}) {
      const auto count = [&](const weft::Architecture& of) {
        return std::ranges::count(of.nodes(), operation, &weft::Node::operation);
      };
      CHECK(count(part) == count(network));
    }
  }
}

TEST_CASE("darts: what the supernet lacks is refused with the reason") {
  const Instance instance = open_space({{"layers", 3}, {"channels", 4}});
  const weft::SpaceRef space(instance.handle());
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = darts_v1;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK_THROWS_WITH(space.path(space.parse(nasnet)), ContainsSubstring("normal cell") && ContainsSubstring("5 nodes"));
  CHECK_THROWS_WITH(space.path(space.parse(with("('sep_conv_3x3', 0)", "('sep_conv_7x7', 0)"))),
                    ContainsSubstring("not sep_conv_7x7"));
  CHECK_THROWS_WITH(space.path(space.parse(with("('sep_conv_3x3', 0)", "('sep_conv_3x3', 1)"))),
                    ContainsSubstring("node 2 reads state 1 twice"));
  CHECK_THROWS_WITH(space.path(space.parse(with("reduce_concat=[2, ", "reduce_concat=["))),
                    ContainsSubstring("reduce cell") && ContainsSubstring("concatenate all nodes"));
  CHECK(space.path(space.parse(with("sep_conv_3x3", "none"))).at("normal/edge 1-2") == std::vector<int>{0});
}

TEST_CASE("darts: weights mean the two strongest edges of each node") {
  const Instance instance = open_space({{"layers", 8}, {"channels", 16}});
  const weft::SpaceRef space(instance.handle());
  weft::OptionWeights weights = equal_weights();
  weights["normal/edge 0-5"] = {0.9, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0};  // `none` does not count
  weights["normal/edge 2-5"] = {0.0, 0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2};
  weights["normal/edge 4-5"] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0};
  CHECK(space.notation(space.derive(weights))
            .starts_with(
                "Genotype(normal=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), "
                "('max_pool_3x3', 0), ('max_pool_3x3', 1), ('dil_conv_5x5', 4), ('skip_connect', 2)], normal_concat="));
  weights["reduce/edge 0-2"].pop_back();
  CHECK_THROWS_WITH(space.derive(weights), ContainsSubstring("\"reduce/edge 0-2\" must be 8"));
}

// Alphas, in millionths, and what quark0/darts, cnn/model_search.py, made of them.
TEST_CASE("darts: alphas mean the cell of the authors' code") {
  const Json millionths = {
      {1764, 400, 979, 2241, 1868, -977, 950, -151},    {-103, 411, 144, 1454, 761, 122, 444, 334},
      {1494, -205, 313, -854, -2553, 654, 864, -742},   {2270, -1454, 46, -187, 1533, 1469, 155, 378},
      {-888, -1981, -348, 156, 1230, 1202, -387, -302}, {-1049, -1420, -1706, 1951, -510, -438, -1253, 777},
      {-1614, -213, -895, 387, -511, -1181, -28, 428},  {67, 302, -634, -363, -672, -360, -813, -1726},
      {177, -402, -1630, 463, -907, 52, 729, 129},      {1139, -1235, 402, -685, -871, -579, -312, 56},
      {-1165, 901, 466, -1536, 1488, 1896, 1179, -180}, {-1071, 1054, -403, 1222, 208, 977, 356, 707},
      {11, 1786, 127, 402, 1883, -1348, -1270, 969},    {-1173, 1944, -414, -747, 1923, 1481, 1868, 906}};
  Json alphas = millionths;
  for (Json& edge : alphas) {
    for (Json& alpha : edge) alpha = alpha.get<double>() * 1e-6;
  }
  const Instance instance = open_space({{"layers", 8}, {"channels", 16}});
  const weft::SpaceRef space(instance.handle());
  weft::OptionWeights weights = equal_weights();
  add_softmax(weights, "normal", alphas);
  CHECK(space.notation(space.derive(weights))
            .starts_with(
                "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 2), ('sep_conv_3x3', 1), "
                "('skip_connect', 0), ('dil_conv_3x3', 3), ('sep_conv_3x3', 3), ('sep_conv_5x5', 1)], normal_concat="));
}

TEST_CASE("darts: alphas mean all genotypes of the authors' code") {
  const Json numbers = golden();
  if (numbers.is_null()) {
    WARN("SKIPPED: darts/golden.json is neither in $WEFT_DATA nor in ../shared/data");
    return;
  }
  const Instance instance = open_space({{"layers", 8}, {"channels", 16}});
  const weft::SpaceRef space(instance.handle());
  CHECK(numbers.at("alphas_to_genotype").size() == 16);
  for (const Json& one : numbers.at("alphas_to_genotype")) {
    weft::OptionWeights weights;
    add_softmax(weights, "normal", one.at("alphas_normal"));
    add_softmax(weights, "reduce", one.at("alphas_reduce"));
    const Json cells = {{"normal", one.at("normal")},
                        {"normal_concat", {2, 3, 4, 5}},
                        {"reduce", one.at("reduce")},
                        {"reduce_concat", {2, 3, 4, 5}}};
    weft::Genotype authors;
    authors.opaque = cells;
    CHECK(space.notation(space.derive(weights)) == space.notation(authors));
  }
  for (const Json& one : numbers.at("supernets")) {
    const Instance supernet = open_space({{"channels", one.at("C")}, {"layers", one.at("layers")}});
    CHECK(weft::SpaceRef(supernet.handle()).supernet().cost().parameters == one.at("weights"));
  }
}

TEST_CASE("darts: what is malformed is refused with its place") {
  const Instance instance = open_space({{"layers", 3}, {"channels", 4}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("Genotype(normal=[('sep_conv_3x3' 1)"),
                    ContainsSubstring("position 33: expected \",\""));
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = darts_v1;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK_THROWS_WITH(space.parse(with("sep_conv_3x3", "sep_conv_9x9")),
                    ContainsSubstring("unknown operation \"sep_conv_9x9\""));
  CHECK_THROWS_WITH(space.parse(with("('sep_conv_3x3', 1)", "('sep_conv_3x3', 2)")),
                    ContainsSubstring("node 2 reads state 2"));
  CHECK_THROWS_WITH(space.parse(with("normal_concat=[2", "normal_concat=[3")),
                    ContainsSubstring("concatenates state 3 twice"));
  CHECK_THROWS_WITH(space.parse(with("('sep_conv_3x3', 1), ", "")), ContainsSubstring("has 7 operations"));
  CHECK_THROWS_WITH(space.decode(space.parse(with("reduce_concat=[2", "reduce_concat=[0"))),
                    ContainsSubstring("channels only"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("darts needs an image"));
}
