// CondenseNet: published parameter counts, its template, the notation.

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), const Json& input = {3, 32, 32}) {
  return Instance(Plugin::open("space", "condensenet"), args,
                  {.study = {{"task", {{"input", input}, {"classes", 10}}}}});
}

weft::Architecture decode(const Json& args, const std::string& notation) {
  return weft::testing::decode(open_space(args), notation);
}

}  // namespace

TEST_CASE("condensenet keeps the contract of spaces") {
  const Json grey = {{"input", {1, 28, 28}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "condensenet"), {{"depths", {1, 2}}, {"growths", {4, 8}}},
                             {{"task", grey}});
  const Json args = {{"depths", {1, 2}},  {"growths", {6, 12}}, {"stages", 2},    {"groups", 2},
                     {"condensation", 3}, {"stem_stride", 2},   {"dropout", 0.1}, {"bottleneck", 1}};
  const Json oblong = {{"input", {3, 7, 4}}, {"classes", 3}};
  weft::testing::check_space(Plugin::open("space", "condensenet"), args, {{"task", oblong}});
}

// The published table for CIFAR-10 (ShichenLiu/CondenseNet): 0.22, 0.41, 0.52, 0.65, 0.79 and 0.95 M parameters after
// condensation for depths from 50 to 122, which are 6 n + 2 with n layers in each stage.
TEST_CASE("condensenet: published parameter counts") {
  const Instance instance = open_space({{"depths", {8, 12, 14, 16, 18, 20}}});
  const weft::SpaceRef space(instance.handle());
  const auto hundredths = [&](const std::string& depth) {
    const std::string notation = "stages " + depth + "-" + depth + "-" + depth + " growth 8-16-32";
    return (space.decode(space.parse(notation)).architecture.cost().parameters + 5000) / 10000;
  };
  CHECK(hundredths("8") == 22);
  CHECK(hundredths("12") == 41);
  CHECK(hundredths("14") == 52);
  CHECK(hundredths("16") == 65);
  CHECK(hundredths("18") == 79);
  CHECK(hundredths("20") == 95);
}

TEST_CASE("condensenet: CondenseNet-182 has 4.2 M parameters") {
  const Json args = {{"depths", {30}}, {"growths", {12, 24, 48}}};
  const std::int64_t parameters = decode(args, "stages 30-30-30 growth 12-24-48").cost().parameters;
  CHECK((parameters + 50000) / 100000 == 42);
}

// One stage of one layer with growth 8: 16 channels from the stem, 32 between the convolutions, 24 out.
TEST_CASE("condensenet: what a network costs") {
  const std::int64_t stem = 27 * 16;
  const std::int64_t wide = 9 * 32 * 8 / 4;
  const std::int64_t norms = 2 * 16 + 2 * 32 + 2 * 24;
  const auto cost = [](int condensation) {
    const Json args = {{"stages", 1}, {"depths", {1}}, {"growths", {8}}, {"condensation", condensation}};
    return decode(args, "stages 1 growth 8").cost();
  };
  CHECK(cost(4).parameters == stem + 16 * 32 / 4 + wide + norms + 24 * 10 + 10);
  CHECK(cost(8).parameters == stem + 16 * 32 / 8 + wide + norms + 24 * 10 + 10);
  CHECK(cost(4).multiply_adds == 32 * 32 * (stem + 16 * 32 / 4 + wide) + 24 * 10);
}

TEST_CASE("condensenet: dense connections reach across stages") {
  const weft::Architecture network = decode({{"depths", {6, 8}}}, "stages 6-8-6 growth 4-8-16");
  std::vector<std::string> pooled;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation == "avg_pool") pooled.push_back(node.shape.to_string());
    if (node.operation == "global_avg_pool") CHECK(node.shape == weft::Shape::features(8 + 6 * 4 + 8 * 8 + 6 * 16));
  }
  CHECK(pooled == std::vector<std::string>{"32 x 16 x 16", "96 x 8 x 8"});
}

TEST_CASE("condensenet: decisions and notation") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  // Five depths and five growths for each of three stages.
  std::size_t size = 1;
  for (std::size_t at = 0; at < 6; ++at) size *= space.next(std::vector<std::int32_t>(at))->options.size();
  CHECK(size == 15625);
  CHECK(space.next(std::vector<std::int32_t>(3))->name == "stage 2/growth");
  CHECK(space.encoding_length() == 30);
  weft::Rng rng(3);
  for (int i = 0; i < 20; ++i) {
    const weft::Genotype genotype = space.sample(rng);
    CHECK(space.parse(space.notation(genotype)) == genotype);
  }
  CHECK(space.notation(space.parse("stages 14-6-14 growth 8-16-32")) == "stages 14-6-14 growth 8-16-32");
}

TEST_CASE("condensenet: what is malformed or does not fit is refused") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("stages 14-7-14 growth 8-16-32"),
                    ContainsSubstring("position 10") && ContainsSubstring("one of 6, 8, 10, 12, 14"));
  CHECK_THROWS_WITH(space.parse("stages 14-14 growth 8-16"), ContainsSubstring("of 3 stages"));
  CHECK_THROWS_WITH(open_space({{"growths", {8, 10}}}),
                    ContainsSubstring("/growths holds 10; must be a multiple of /groups, 4"));
  CHECK_THROWS_WITH(open_space({{"growths", {8, 12}}, {"condensation", 8}}),
                    ContainsSubstring("/growths holds 12; must be a multiple of /condensation, 8"));
}

// Six stages halve 32 pixels five times.
TEST_CASE("condensenet: an image that is pooled away is refused") {
  CHECK_NOTHROW(open_space({{"stages", 6}}));
  CHECK_THROWS_WITH(open_space({{"stages", 7}}),
                    ContainsSubstring("3 x 32 x 32; condensenet needs an image of at least 64 x 64") &&
                        ContainsSubstring("give fewer /stages"));
  CHECK_NOTHROW(open_space({{"stem_stride", 2}}, {3, 7, 7}));
  CHECK_THROWS_WITH(open_space({{"stem_stride", 2}}, {3, 7, 6}),
                    ContainsSubstring("at least 7 x 7") && ContainsSubstring("/stem_stride"));
  CHECK_THROWS_WITH(open_space(Json::object(), {128}), ContainsSubstring("condensenet needs an image"));
}
