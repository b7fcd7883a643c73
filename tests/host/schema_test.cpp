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

std::string problems(const Json& document, const Json& rules = schema) {
  try {
    validate(document, rules, "file.json", "/args");
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
  CHECK(problems({{"size", 1}}) == "file.json: /args/size is 1; must be an integer >= 2 and <= 9");
  CHECK(problems({{"size", "x"}}) == "file.json: /args/size is \"x\"; must be an integer >= 2 and <= 9");
  CHECK(problems(Json::object()) == "file.json: /args/size is missing; it must be given");
  CHECK(problems({{"size", 3}, {"mode", "fst"}}) ==
        "file.json: /args/mode is \"fst\"; must be one of [\"fast\",\"slow\"]");
  CHECK(problems({{"size", 3}, {"nested", {{"rate", 0}}}}) ==
        "file.json: /args/nested/rate is 0; must be a number > 0");
  CHECK(problems({{"size", 3}, {"list", {1, 0}}}) == "file.json: /args/list/1 is 0; must be an integer >= 1");
  CHECK_THAT(problems({{"size", 3}, {"mod", "fast"}}),
             ContainsSubstring("/args/mod is unknown; known are list, mode, nested, size; did you mean \"mode\"?"));
}

TEST_CASE("what an object lacks or has too much of is said") {
  const Json metrics = {{"type", "object"}, {"required", {"accuracy"}}, {"additionalProperties", {{"type", "string"}}}};
  CHECK(problems({{"acc", "acc"}}, metrics) == "file.json: /args/accuracy is missing; it must be given");
  CHECK(problems({{"accuracy", 3}}, metrics) == "file.json: /args/accuracy is 3; must be a string");
  Json budget = {{"type", "object"},
                 {"minProperties", 1},
                 {"maxProperties", 1},
                 {"properties", {{"seconds", Json::object()}, {"trials", Json::object()}}}};
  CHECK(problems(Json::object(), budget) == "file.json: /args has 0 members; must have at least 1 of seconds, trials");
  CHECK(problems({{"seconds", 1}, {"trials", 1}}, budget) ==
        "file.json: /args has 2 members; must have at most 1 of seconds, trials");
  budget.erase("properties");
  CHECK(problems(Json::object(), budget) == "file.json: /args has 0 members; must have at least 1");
  const Json together = {{"dependencies", {{"mean", {"deviation"}}}}};
  CHECK(problems({{"mean", 1}}, together) == "file.json: /args/deviation is missing; it must be given with mean");
  const Json named = {
      {"type", "object"}, {"patternProperties", {{"^x", Json::object()}}}, {"additionalProperties", false}};
  CHECK(problems({{"y", 1}}, named) ==
        "file.json: /args is {\"y\":1}; must be an object with members whose names match ^x");
}

TEST_CASE("every kind of rule is said in words") {
  const auto rule = [](const Json& value, const char* rules) {
    const std::string text = problems({{"it", value}}, {{"properties", {{"it", Json::parse(rules)}}}});
    const std::size_t at = text.find("; ");
    return at == std::string::npos ? text : text.substr(at + 2);
  };
  CHECK(rule(4, R"({"type": "integer", "minimum": 1, "not": {"multipleOf": 2}})") ==
        "must be an integer >= 1, but not a multiple of 2");
  CHECK(rule(3, R"({"type": "integer", "minimum": 2, "multipleOf": 2})") ==
        "must be an integer >= 2 that is a multiple of 2");
  CHECK(rule({1, 1}, R"({"type": "array", "minItems": 1, "uniqueItems": true})") ==
        "must be an array with at least this many items: 1 without the same item twice");
  CHECK(rule("x", R"({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]})") ==
        "must be an integer >= 1 or \"auto\"");
  CHECK(rule(7, R"({"oneOf": [{"type": "integer", "minimum": 1}, {"minimum": 5}]})") ==
        "must be an integer >= 1 or a value >= 5");
  CHECK(rule({{"rate", "x"}},
             R"({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"rate": {"type": "number"}}}]})") ==
        "must be null or an object");
  CHECK(rule(true, R"({"type": ["integer", "string"]})") == "must be a value of type integer or string");
  CHECK(rule("abc", R"({"type": "string", "maxLength": 2})") ==
        "must be a string with at most this many characters: 2");
  CHECK(rule({1}, R"({"contains": {"const": 2}})") == "must be a value that has 2");
  CHECK(rule(1, R"({"allOf": [{"minimum": 2}, {"maximum": 3}]})") ==
        "must be a value, and a value >= 2, and a value <= 3");
  CHECK(rule({"x"}, R"({"items": [{"type": "integer"}]})") != "");
}

TEST_CASE("integers up to 2^64 - 1 are what they are") {
  const Json seed =
      Json::parse(R"({"properties": {"seed": {"type": "integer", "minimum": 0, "maximum": 18446744073709551615}}})");
  CHECK(problems(Json::parse(R"({"seed": 18446744073709551615})"), seed).empty());
  CHECK(problems(Json::parse(R"({"seed": 1})"), seed).empty());
  const std::string rule = "must be an integer >= 0 and <= 18446744073709551615";
  CHECK(problems({{"seed", -1}}, seed) == "file.json: /args/seed is -1; " + rule);
  CHECK_THAT(problems(Json::parse(R"({"seed": 18446744073709551616})"), seed), ContainsSubstring(rule));
  CHECK(problems(Json::parse(R"({"size": 18446744073709551615})")) ==
        "file.json: /args/size is 18446744073709551615; must be an integer >= 2 and <= 9");
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
