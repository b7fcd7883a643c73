// DARTS: auxiliary classifier, notation, space.

#include "plugins/space/darts/published_genotypes.hpp"
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

Instance open_space(const Json& args, const Json& input = {3, 32, 32}, int classes = 10) {
  return Instance(Plugin::open("space", "darts"), args,
                  {.study = {{"task", {{"input", input}, {"classes", classes}}}}});
}

using darts::darts_v1;
using darts::nasnet;

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
