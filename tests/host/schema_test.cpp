#include "host/plugins/schema.hpp"

#include "tests/catch.hpp"
#include "weft/error.hpp"

using namespace weft::host;
using weft::Json;

namespace {

const Json schema = Json::parse(R"({
  "type": "object", "additionalProperties": false, "required": ["size"],
  "properties": {
    "size": {"type": "integer", "minimum": 2, "maximum": 9},
    "mode": {"enum": ["fast", "slow"], "default": "fast"},
    "nested": {"type": "object", "additionalProperties": false, "properties": {"rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.5}}},
    "list": {"type": "array", "items": {"type": "integer", "minimum": 1}}
  }
})");

std::string problems(const Json& document) {
  try {
    validate(document, schema, "file.json", "/args");
  } catch (const weft::InvalidInput& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a valid document passes") {
  CHECK(problems({{"size", 3}, {"list", {1, 2}}, {"nested", {{"rate", 0.1}}}}).empty());
}

TEST_CASE("a violation is told with file, pointer, value and rule") {
  CHECK(problems({{"size", 1}}) == "file.json: /args/size is 1; must be an integer >= 2 <= 9");
  CHECK(problems({{"size", "x"}}) == "file.json: /args/size is \"x\"; must be an integer >= 2 <= 9");
  CHECK(problems(Json::object()) == "file.json: /args/size is missing; it must be given");
  CHECK(problems({{"size", 3}, {"mode", "fst"}}) ==
        "file.json: /args/mode is \"fst\"; must be one of [\"fast\",\"slow\"]");
  CHECK(problems({{"size", 3}, {"nested", {{"rate", 0}}}}) ==
        "file.json: /args/nested/rate is 0; must be a number > 0");
  CHECK(problems({{"size", 3}, {"list", {1, 0}}}) == "file.json: /args/list/1 is 0; must be an integer >= 1");
  CHECK_THAT(problems({{"size", 3}, {"mod", "fast"}}),
             ContainsSubstring("/args/mod is unknown; known are list, mode, nested, size; did you mean \"mode\"?"));
}

TEST_CASE("all violations are told at once") {
  const std::string text = problems({{"size", 1}, {"mode", 3}, {"other", 1}});
  CHECK_THAT(text,
             ContainsSubstring("/args/size") && ContainsSubstring("/args/mode") && ContainsSubstring("/args/other"));
}

TEST_CASE("defaults are filled in, also in nested objects, and never over what is given") {
  Json document = {{"size", 3}, {"nested", Json::object()}};
  fill_defaults(document, schema);
  CHECK(document == Json{{"size", 3}, {"mode", "fast"}, {"nested", {{"rate", 0.5}}}});
  Json given = {{"mode", "slow"}};
  fill_defaults(given, schema);
  CHECK(given.at("mode") == "slow");
  CHECK_FALSE(given.contains("nested"));
}

TEST_CASE("a stored document takes what happened before a parameter existed, a new one its default") {
  const Json newer = Json::parse(R"({"properties": {"nested": {"properties": {
      "fair": {"default": true, "before": false}, "rate": {"default": 0.5}}}}})");
  Json stored = {{"nested", Json::object()}}, current = stored, given = {{"nested", {{"fair", true}}}};
  fill_defaults(stored, newer, Defaults::stored);
  fill_defaults(current, newer);
  fill_defaults(given, newer, Defaults::stored);
  CHECK(stored == Json{{"nested", {{"fair", false}, {"rate", 0.5}}}});
  CHECK(current == Json{{"nested", {{"fair", true}, {"rate", 0.5}}}});
  CHECK(given == Json{{"nested", {{"fair", true}, {"rate", 0.5}}}});
}

TEST_CASE("nearest names") {
  const std::vector<std::string> known = {"regularized_evolution", "random_search", "reinforce"};
  CHECK(nearest("regularised_evolution", known).front() == "regularized_evolution");
  CHECK(nearest("evolution", known).front() == "regularized_evolution");
  CHECK(nearest("bayes", known).empty());
  CHECK(did_you_mean("bayes", known).empty());
}
