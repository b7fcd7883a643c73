#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

const Json study = {{"task", {{"input", {3, 32, 32}}, {"classes", 10}}}};
const Json args = {{"architecture", {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}}},
                   {"genotype", "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"}};

Plugin plugin() { return Plugin::open("space", "pba"); }

}  // namespace

TEST_CASE("pba keeps the contract of spaces") { check_space(plugin(), args, study); }

TEST_CASE("pba decides 60 integers, probabilities 0 to 10 and magnitudes 0 to 9 in turns") {
  const Company company(plugin(), args, {.study = study});
  const Instance instance(plugin(), args, company.surroundings());
  const SpaceRef space(instance.handle());
  std::vector<std::int32_t> policy;
  while (const std::optional<Decision> decision = space.next(policy)) {
    const bool probability = policy.size() % 2 == 0;
    CHECK(decision->kind == Decision::Kind::ordinal);
    CHECK(decision->options.size() == (probability ? 11 : 10));
    CHECK(decision->options.back() == (probability ? "10" : "9"));
    policy.push_back(static_cast<std::int32_t>(policy.size() % 10));
  }
  REQUIRE(policy.size() == 60);
  CHECK(space.next(std::span(policy).first(2))->name == "Equalize 1/probability");
  CHECK(space.next(std::span(policy).first(59))->name == "Cutout 2/magnitude");
  CHECK(space.decode(Genotype(policy)).recipe ==
        Json{{"augmentation", Json::array({{{"name", "pba"}, {"args", {{"policy", policy}}}}})}});
}
