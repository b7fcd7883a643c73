// A genotype as JSON: what the journal keeps and what goes to workers.
#include "weft/genotype.hpp"

#include <set>

#include "tests/catch.hpp"

using namespace weft;

namespace {

Genotype opaque(const Json& json) {
  Genotype genotype;
  genotype.opaque = json;
  return genotype;
}

}  // namespace

TEST_CASE("a genotype's JSON leads back to it, whatever a space holds in it") {
  const Json wrapped = {{"weft.opaque", {1, 2}}};
  const std::vector<Genotype> genotypes = {Genotype({1, 2}),
                                           Genotype(std::vector<std::int32_t>{}),
                                           opaque({1, 2}),
                                           opaque(Json::array()),
                                           opaque({3000000000}),
                                           opaque({-1}),
                                           opaque({1.0, 2.0}),
                                           opaque({1, Json::array({2})}),
                                           opaque({{"weft.opaque", 7}}),
                                           opaque(wrapped),
                                           opaque({{"weft.opaque", wrapped}}),
                                           opaque({{"weft.opaque", {1, 2}}, {"more", 1}}),
                                           opaque("1, 2"),
                                           opaque(12)};
  std::set<std::string> keys;
  for (const Genotype& genotype : genotypes) {
    const Json json = Json::parse(genotype.to_json().dump());
    INFO(json);
    const Genotype again = Genotype::from_json(json);
    CHECK(again == genotype);
    CHECK(again.opaque.is_array() == genotype.opaque.is_array());
    CHECK(keys.insert(genotype.key()).second);
  }
}

TEST_CASE("what journals hold of genotypes reads as it always did") {
  CHECK(Genotype::from_json(Json::parse("[0, 4, 2]")) == Genotype({0, 4, 2}));
  CHECK(Genotype({0, 4, 2}).key() == "[0,4,2]");
  CHECK(opaque({{"stages", {1, 2}}}).key() == "{\"stages\":[1,2]}");
  for (const char* text : {"{\"stages\":[[0,1]]}", "[[1,2],[3]]", "[1,2.5]", "\"cell\"", "{}"}) {
    const Json json = Json::parse(text);
    const Genotype read = Genotype::from_json(json);
    CHECK(read.opaque == json);
    CHECK(read.decisions.empty());
    CHECK(read.key() == text);
  }
  CHECK_THROWS_WITH(Genotype::from_json({1, 3000000000}), ContainsSubstring("3000000000 is out of range"));
}
