#include <string>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

const Json study = {{"task", {{"input", {3, 32, 32}}, {"classes", 10}}}};

Plugin plugin() { return Plugin::open("space", "randaugment"); }

Json args_of(bool given) {
  Json args = {{"architecture", {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}}},
               {"counts", {3, 1, 2, 1}},
               {"magnitudes", {9, 4}}};
  if (given) args["genotype"] = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";
  return args;
}

}  // namespace

TEST_CASE("randaugment keeps the contract of spaces, alone and together with a network") {
  check_space(plugin(), args_of(true), study);
  check_space(plugin(), args_of(false), study);
}

TEST_CASE("randaugment is a grid of two numbers, in order and each once") {
  const Company company(plugin(), args_of(true), {.study = study});
  const Instance instance(plugin(), args_of(true), company.surroundings());
  const SpaceRef space(instance.handle());
  CHECK(space.next({})->options == std::vector<std::string>{"1", "2", "3"});
  CHECK(space.next(std::vector<std::int32_t>{0})->options == std::vector<std::string>{"4", "9"});
  const Genotype genotype = space.parse("2 at 9");
  CHECK(genotype.decisions == std::vector<std::int32_t>{1, 1});
  CHECK(space.decode(genotype).recipe == Json::parse(R"({"augmentation": [
    {"name": "randaugment", "args": {"count": 2, "magnitude": 9, "bins": 31, "magnitudes": "tv"}}]})"));
  CHECK_THROWS_WITH(space.parse("2 at 10"), ContainsSubstring("a magnitude of the grid, [4,9]"));
  CHECK_THROWS_WITH(space.parse("4 at 9"), ContainsSubstring("a number of operations of the grid, [1,2,3]"));
}

TEST_CASE("randaugment hands the unit of its magnitudes on, and goes beyond the strongest as the paper does") {
  Json args = args_of(true);
  args.update({{"magnitudes", {5, 28}}, {"bins", 11}, {"map", "paper"}});
  const Company company(plugin(), args, {.study = study});
  const Instance instance(plugin(), args, company.surroundings());
  const SpaceRef space(instance.handle());
  CHECK(space.decode(space.parse("2 at 28")).recipe == Json::parse(R"({"augmentation": [
    {"name": "randaugment", "args": {"count": 2, "magnitude": 28, "bins": 11, "magnitudes": "paper"}}]})"));
  args["magnitudes"] = {5, 101};
  CHECK_THROWS_WITH(Instance(plugin(), args, company.surroundings()),
                    ContainsSubstring("/magnitudes has 101; must not exceed 100, ten times the strongest of /bins"));
}
