#include "host/plugins/schema.hpp"

#include "host/plugins/dialect.hpp"
#include "host/plugins/pattern.hpp"
#include "host/plugins/strict_json.hpp"
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

TEST_CASE("a reference is read as what it leads to, with a default of its own where it has one") {
  const Json size = {{"type", "integer"}, {"minimum", 1}, {"default", 2}};
  const Json referring = {
      {"definitions", {{"size", size}}},
      {"properties",
       {{"x", {{"$ref", "#/definitions/size"}}}, {"y", {{"$ref", "#/definitions/size"}, {"default", 3}}}}}};
  Json document = Json::object();
  fill_defaults(document, referring);
  CHECK(document == Json{{"x", 2}, {"y", 3}});
  CHECK_THROWS_WITH(validate({{"x", 0}}, referring, "file.json"),
                    ContainsSubstring("/x is 0; must be an integer >= 1"));
}

TEST_CASE("a schema that cannot be used safely is refused with its place") {
  const std::pair<const char*, const char*> schemas[] = {
      {R"({"$ref": "#"})", "/$ref is \"#\"; leads back"},
      {R"({"properties": {"x": {"items": {"$ref": "#/properties/x"}}}})", "/properties/x/items/$ref"},
      {R"({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"not": {"$ref": "#/definitions/a"}}},
           "allOf": [{"$ref": "#/definitions/a"}]})",
       "leads back"},
      {R"({"properties": {"x": {"$ref": "#/definitions/absent"}}})", "leads nowhere"},
      {R"({"properties": {"x": {"$ref": "other.json#/a"}}})", "into this schema"},
      {R"({"properties": {"x": {"$ref": 7}}})", "into this schema"},
      {R"({"properties": {"x": {"multipleOf": 0}}})", "/properties/x/multipleOf is 0; must be a number > 0"},
      {R"({"properties": {"x": {"type": "int"}}})", "/properties/x/type"},
      {R"({"properties": {"x": {"minLength": -1}}})", "/properties/x/minLength"},
      {R"({"properties": {"x": {"pattern": "((a?){90}){90}"}}})", "/properties/x/pattern"},
      {R"({"properties": {"x": {"pattern": "("}}})", "/properties/x/pattern"},
      {R"({"properties": {"x": 7}})", "/properties/x is 7; must be a schema"}};
  for (const auto& [text, words] : schemas) {
    INFO(text);
    CHECK_THROWS_WITH(unfolded(Json::parse(text)), ContainsSubstring(words));
  }
}

TEST_CASE("a schema that would not end when its references are written out is refused") {
  Json definitions = {{"0", {{"type", "integer"}}}};
  for (int i = 1; i < 60; ++i) {
    const Json below = {{"$ref", "#/definitions/" + std::to_string(i - 1)}};
    definitions[std::to_string(i)] = {{"allOf", {below, below}}};
  }
  CHECK_THROWS_WITH(unfolded({{"definitions", definitions}, {"$ref", "#/definitions/59"}}),
                    ContainsSubstring("larger than 1 MiB"));
}

TEST_CASE("patterns match as ECMAScript's do") {
  CHECK(Pattern("^[a-z][a-z0-9_]*$").is_found_in("regularized_evolution"));
  CHECK_FALSE(Pattern("^[a-z][a-z0-9_]*$").is_found_in("Regularized"));
  CHECK(Pattern("^(cpu:[1-9][0-9]*|cuda:[0-9]+)$").is_found_in("cuda:12"));
  CHECK_FALSE(Pattern("^(cpu:[1-9][0-9]*|cuda:[0-9]+)$").is_found_in("cpu:0"));
  CHECK(Pattern("^[0-9a-f]{64}$").is_found_in(std::string(64, 'a')));
  CHECK_FALSE(Pattern("^[0-9a-f]{64}$").is_found_in(std::string(65, 'a')));
  CHECK(Pattern("b+c").is_found_in("abbbcd"));
  CHECK(Pattern("^(\\d{4})-(\\d{2})$").is_found_in("2026-11"));
  CHECK_FALSE(Pattern("^(?!weft_)").is_found_in("weft_name"));
}

TEST_CASE("a pattern ends on any text") {
  CHECK_FALSE(Pattern("^(a+)+$").is_found_in(std::string(4000, 'a') + "b"));
  CHECK(Pattern("^[a-z]*$").is_found_in(std::string(Pattern::longest_text, 'a')));
  CHECK_FALSE(Pattern("^[a-z]*$").is_found_in(std::string(50000, 'a')));
  const Json schema_of_name = {{"properties", {{"name", {{"type", "string"}, {"pattern", "^[a-z]*$"}}}}}};
  CHECK_THROWS_WITH(validate({{"name", std::string(50000, 'a')}}, schema_of_name, "file.json"),
                    ContainsSubstring("/name is \"aaa") && ContainsSubstring("matching \"^[a-z]*$\""));
}

TEST_CASE("properties that are described by patterns of their names are checked") {
  const Json named = {{"patternProperties", {{"^x", {{"type", "integer"}}}, {"y$", {{"minimum", 3}}}}},
                      {"properties", {{"xa", {{"minimum", 1}}}}},
                      {"additionalProperties", false}};
  CHECK_NOTHROW(validate({{"xa", 1}, {"xy", 3}, {"y", "text"}}, named, "file.json"));
  CHECK_THROWS_AS(validate({{"xa", 0}}, named, "file.json"), weft::InvalidInput);
  CHECK_THROWS_AS(validate({{"xa", 1.5}}, named, "file.json"), weft::InvalidInput);
  CHECK_THROWS_AS(validate({{"xy", 2}}, named, "file.json"), weft::InvalidInput);
  CHECK_THROWS_AS(validate({{"z", 2}}, named, "file.json"), weft::InvalidInput);
  const Json patient = {{"patternProperties", {{"^(a+)+$", {{"type", "integer"}}}}}};
  CHECK_NOTHROW(validate({{std::string(4000, 'a') + "b", "text"}}, patient, "file.json"));
}

TEST_CASE("a key that is given twice is refused with its place") {
  CHECK_THROWS_WITH(read_strictly(R"({"a": [{"x": {}}, {"b": 1, "c": {"a": 2}, "b": 3}]})"),
                    ContainsSubstring("/a/1/b is given twice"));
  CHECK_THROWS_WITH(read_strictly(R"({"a/b": 1, "a/b": {}})"), ContainsSubstring("/a~1b is given twice"));
  CHECK(read_strictly(R"([{"a": 1}, {"a": 1}, {"b": {"a": 1}, "a": 2}])").size() == 3);
}

TEST_CASE("an integer that would be rounded is refused as it was written") {
  CHECK_THROWS_WITH(read_strictly("[-9223372036854775809]"), ContainsSubstring("the integer -9223372036854775809"));
  CHECK_THROWS_WITH(read_strictly(R"({"a": 1.5, "b": 123456789012345678901234})"),
                    ContainsSubstring("123456789012345678901234 is beyond 64 bits"));
  for (const char* kept : {"-9223372036854775808", "18446744073709551615", "1e30", "123456789012345678901234.0",
                           R"(["99999999999999999999999", "\\", "\"99999999999999999999999"])"})
    CHECK_NOTHROW(read_strictly(kept));
}

TEST_CASE("what is too deep or no JSON is refused") {
  CHECK_THROWS_WITH(read_strictly(std::string(60000, '[') + std::string(60000, ']')), ContainsSubstring("256 levels"));
  CHECK_THROWS_WITH(read_strictly("{\"a\": }"), ContainsSubstring("not valid JSON: line 1, column 7"));
  CHECK_THROWS_AS(read_strictly("1e999"), weft::InvalidInput);
}

TEST_CASE("a value in a message is not cut within a character") {
  CHECK(shortened(std::string(76, 'a') + "\u00e9\u00e9\u00e9") == std::string(76, 'a') + "...");
}

TEST_CASE("nearest names") {
  const std::vector<std::string> known = {"regularized_evolution", "random_search", "reinforce"};
  CHECK(nearest("regularised_evolution", known).front() == "regularized_evolution");
  CHECK(nearest("evolution", known).front() == "regularized_evolution");
  CHECK(nearest("bayes", known).empty());
  CHECK(did_you_mean("bayes", known).empty());
}
