#include "host/plugins/schema.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <new>
#include <numeric>
#include <set>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/constraint_builder.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "host/plugins/dialect.hpp"
#include "host/plugins/pattern.hpp"
#include "host/plugins/strict_json.hpp"
#include "weft/detail/boundary.hpp"

namespace weft::host {
namespace {

// valijson's path of an error, ["<root>", "[optimizer]", "[args]"], as a JSON pointer.
Json::json_pointer pointer_of(const std::vector<std::string>& context) {
  Json::json_pointer pointer;
  for (const std::string& part : context) {
    if (part == "<root>") continue;
    const bool bracketed = part.size() >= 2 && part.front() == '[' && part.back() == ']';
    pointer /= bracketed ? part.substr(1, part.size() - 2) : part;
  }
  return pointer;
}

// nlohmann's pointers treat numbers in objects and arrays alike as text; resolve without throwing.
const Json* find(const Json& document, const Json::json_pointer& pointer) {
  try {
    return &document.at(pointer);
  } catch (const Json::exception&) {
    return nullptr;
  }
}

// The part of an unfolded schema that governs the value at `pointer`, as far as properties and items lead.
const Json* schema_at(const Json& schema, Json::json_pointer pointer) {
  std::vector<std::string> path;
  for (; !pointer.empty(); pointer.pop_back()) path.push_back(pointer.back());
  const Json* at = &schema;
  for (auto part = path.rbegin(); part != path.rend(); ++part) {
    const Json* next = nullptr;
    if (at->contains("properties") && at->at("properties").contains(*part)) {
      next = &at->at("properties").at(*part);
    } else if (at->contains("items") && at->at("items").is_object()) {
      next = &at->at("items");
    } else if (at->contains("additionalProperties")) {
      next = &at->at("additionalProperties");
    }
    if (next == nullptr || !next->is_object()) return nullptr;
    at = next;
  }
  return at;
}

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

std::string phrase_of(const Json& schema);

std::string joined(const Json& schemas, std::string_view between, std::string (*words)(const Json&)) {
  std::vector<std::string> all;
  for (const Json& schema : schemas) all.push_back(words(schema));
  return fmt::format("{}", fmt::join(all, between));
}

std::string members_of(const Json& schema) {
  return fmt::format("{}", fmt::join(schema.at("required").get<std::vector<std::string>>(), " and "));
}

// A schema that says which members there must be, and no more.
bool names_members_alone(const Json& schema) { return schema.size() == 1 && schema.contains("required"); }

std::string type_of(const Json& schema) {
  const Json type = schema.value("type", Json());
  if (type.is_array())
    return fmt::format("a value of type {}", fmt::join(type.get<std::vector<std::string>>(), " or "));
  if (!type.is_string()) return "";
  std::string name = type;
  if (name == "null") return name;
  return (name == "integer" || name == "array" || name == "object" ? "an " : "a ") + name;
}

// What follows "must be": "an integer >= 2".
std::string phrase_of(const Json& schema) {
  if (!schema.is_object()) return schema == Json(false) ? "left out" : "anything";
  if (schema.contains("enum")) return "one of " + schema.at("enum").dump();
  if (schema.contains("const")) return schema.at("const").dump();
  std::string phrase = type_of(schema);
  for (const char* keyword : {"oneOf", "anyOf"}) {
    if (!schema.contains(keyword)) continue;
    const Json& alternatives = schema.at(keyword);
    const bool members_alone =
        !phrase.empty() && std::all_of(alternatives.begin(), alternatives.end(), names_members_alone);
    phrase += members_alone ? " with " + joined(alternatives, " or ", members_of)
                            : (phrase.empty() ? "" : ": ") + joined(alternatives, " or ", phrase_of);
  }
  if (phrase.empty() && schema.contains("required")) return "one with " + members_of(schema);
  const bool multiple_alone = phrase.empty() && schema.contains("multipleOf");
  if (phrase.empty()) phrase = multiple_alone ? "a multiple of " + schema.at("multipleOf").dump() : "a value";
  const auto bound = [&](const char* keyword, const char* words) {
    if (schema.contains(keyword)) phrase += fmt::format(" {} {}", words, schema.at(keyword).dump());
  };
  bound("minimum", ">=");
  bound("exclusiveMinimum", ">");
  if (schema.contains("maximum") && schema.contains("minimum")) phrase += " and";
  bound("maximum", "<=");
  bound("exclusiveMaximum", "<");
  if (!multiple_alone) bound("multipleOf", "that is a multiple of");
  bound("minItems", "with at least this many items:");
  bound("maxItems", "with at most this many items:");
  if (schema.value("uniqueItems", Json()) == Json(true)) phrase += " without the same item twice";
  bound("minLength", "with at least this many characters:");
  bound("maxLength", "with at most this many characters:");
  bound("pattern", "matching");
  bound("format", "in the format");
  bound("minProperties", "with at least this many members:");
  bound("maxProperties", "with at most this many members:");
  if (schema.contains("patternProperties"))
    phrase +=
        fmt::format(" with members whose names match {}", fmt::join(keys(schema.at("patternProperties")), " or "));
  if (schema.contains("contains")) phrase += fmt::format(" that has {}", phrase_of(schema.at("contains")));
  if (schema.contains("not")) phrase += fmt::format(", but not {}", phrase_of(schema.at("not")));
  if (schema.contains("allOf")) phrase += fmt::format(", and {}", joined(schema.at("allOf"), ", and ", phrase_of));
  return phrase;
}

// The rule of a schema in words: "must be an integer >= 2".
std::string rule_of(const Json& schema) { return "must be " + phrase_of(schema); }

// Members that `value` may not have. Which names a pattern allows is the validator's to say.
void explain_unknown(const Json& value, const Json& schema, const std::string& place,
                     std::vector<std::string>& problems) {
  if (schema.value("additionalProperties", Json(true)) != Json(false) || schema.contains("patternProperties")) return;
  const Json properties = schema.value("properties", Json::object());
  const std::vector<std::string> known = keys(properties);
  for (const auto& [name, member] : value.items()) {
    if (properties.contains(name)) continue;
    problems.push_back(
        fmt::format("{}/{} is unknown; {}{}", place, name,
                    known.empty() ? "nothing can be set here" : fmt::format("known are {}", fmt::join(known, ", ")),
                    did_you_mean(name, known)));
  }
}

void explain_missing(const Json& value, const Json& schema, const std::string& place,
                     std::vector<std::string>& problems) {
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>()))
      problems.push_back(fmt::format("{}/{} is missing; it must be given", place, name.get<std::string>()));
  }
  const Json dependencies = schema.value("dependencies", Json::object());
  for (const auto& [name, others] : dependencies.items()) {
    if (!value.contains(name) || !others.is_array()) continue;
    for (const Json& other : others) {
      if (!value.contains(other.get<std::string>()))
        problems.push_back(
            fmt::format("{}/{} is missing; it must be given with {}", place, other.get<std::string>(), name));
    }
  }
}

void explain_number(const Json& value, const Json& schema, const std::string& place,
                    std::vector<std::string>& problems) {
  const std::vector<std::string> known = keys(schema.value("properties", Json::object()));
  const auto refuse = [&](const char* rule, const Json& count) {
    problems.push_back(fmt::format("{} has {} members; must have at {} {}{}", place, value.size(), rule, count.dump(),
                                   known.empty() ? "" : fmt::format(" of {}", fmt::join(known, ", "))));
  };
  if (value.size() < schema.value("minProperties", std::size_t{0})) refuse("least", schema.at("minProperties"));
  if (value.size() > schema.value("maxProperties", value.size())) refuse("most", schema.at("maxProperties"));
}

// What is wrong with the value at `pointer`, seen from its own schema; empty if nothing can be said from there alone.
std::vector<std::string> explain(const Json& value, const Json& schema, const std::string& place) {
  std::vector<std::string> problems;
  if (!value.is_object() || !schema.is_object()) return problems;
  explain_unknown(value, schema, place, problems);
  explain_missing(value, schema, place, problems);
  explain_number(value, schema, place, problems);
  return problems;
}

// valijson reads an integer beyond 63 bits as a negative one. That no bound of ours lies between the two is why the
// largest one it knows can stand for it.
Json within_63_bits(Json json) {
  constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > largest) return largest;
  if (json.is_structured()) {
    for (Json& member : json) member = within_63_bits(std::move(member));
  }
  return json;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

void fill_unfolded(Json& document, const Json& schema, Defaults defaults) {
  if (!document.is_object() || !schema.contains("properties")) return;
  for (const auto& [name, property] : schema.at("properties").items()) {
    const bool older = defaults == Defaults::stored && property.contains("before");
    const char* source = older ? "before" : "default";
    if (!document.contains(name) && property.contains(source)) document[name] = property.at(source);
    if (document.contains(name)) fill_unfolded(document[name], property, defaults);
  }
}

// valijson's own `pattern` recurses once per character.
class Matches final : public valijson::constraints::PolyConstraint {
 public:
  explicit Matches(Pattern pattern) : pattern_(std::move(pattern)) {}

  bool validate(const valijson::adapters::Adapter& target, const std::vector<std::string>& context,
                valijson::ValidationResults* results) const override {
    if (!target.isString() || pattern_.is_found_in(target.asString())) return true;
    if (results != nullptr) results->pushError(context, "does not match the pattern");
    return false;
  }

 private:
  Constraint* cloneInto(void* place) const override { return new (place) Matches(*this); }
  std::size_t sizeOf() const override { return sizeof(Matches); }

  Pattern pattern_;
};

struct MatchesBuilder final : valijson::ConstraintBuilder {
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& pattern) const override {
    return new Matches(Pattern(pattern.asString()));
  }
};

}  // namespace

Json read_json(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::error_code ignored;
  if (!stream || std::filesystem::is_directory(file, ignored)) {
    throw InvalidInput(fmt::format("{}: cannot be read; does it exist, and may you read it?", file.string()));
  }
  std::string text;
  std::array<char, 65536> piece;
  // What is too much will be refused, and some files never end.
  while (stream && text.size() <= detail::most_text) {
    stream.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  try {
    return read_strictly(text);
  } catch (const InvalidInput& error) {
    throw InvalidInput(fmt::format("{}: {}", file.string(), error.what()));
  }
}

void validate(const Json& document, const Json& given_schema, const std::string& file, const std::string& at) {
  valijson::Schema compiled;
  try {
    const Json rules = within_63_bits(unfolded_for(document, given_schema));
    valijson::SchemaParser parser;
    parser.addConstraintBuilder("matches", new MatchesBuilder);
    parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(rules), compiled);
  } catch (const std::exception& error) {
    throw InvalidInput(
        fmt::format("{}: the schema for {} cannot be used: {}", file, at.empty() ? "it" : at, error.what()));
  }
  const Json bounded_document = within_63_bits(document);
  const valijson::adapters::NlohmannJsonAdapter document_adapter(bounded_document);
  valijson::Validator validator;
  valijson::ValidationResults results;
  if (validator.validate(compiled, document_adapter, &results)) return;
  const Json schema = unfolded(given_schema);

  // valijson reports a violation at every level on the way up; the deepest say what is wrong.
  struct Violation {
    Json::json_pointer pointer;
    std::string description;
  };
  std::vector<Violation> violations;
  valijson::ValidationResults::Error error;
  while (results.popError(error)) violations.push_back({pointer_of(error.context), error.description});
  const auto is_above = [](const Violation& a, const Violation& b) {
    const std::string prefix = a.pointer.to_string() + "/";
    return b.pointer.to_string().compare(0, prefix.size(), prefix) == 0;
  };
  // What one of several alternatives holds against a part is no rule for that part.
  const auto has_alternatives = [](const Json* rule) {
    return rule != nullptr && (rule->contains("anyOf") || rule->contains("oneOf"));
  };
  const auto within_alternatives = [&](const Violation& violation) {
    return std::any_of(violations.begin(), violations.end(), [&](const Violation& other) {
      return is_above(other, violation) && has_alternatives(schema_at(schema, other.pointer));
    });
  };
  std::set<std::string> messages;
  for (const Violation& violation : violations) {
    const std::string place = at + violation.pointer.to_string();
    const Json* value = find(document, violation.pointer);
    const Json* rule = schema_at(schema, violation.pointer);
    if (rule == nullptr && within_alternatives(violation)) continue;
    if (value != nullptr && rule != nullptr) {
      const std::vector<std::string> problems = explain(*value, *rule, place);
      if (!problems.empty()) {
        for (const std::string& problem : problems) messages.insert(fmt::format("{}: {}", file, problem));
        continue;
      }
    }
    const bool explained_below =
        !has_alternatives(rule) && std::any_of(violations.begin(), violations.end(),
                                               [&](const Violation& other) { return is_above(violation, other); });
    if (explained_below) continue;
    messages.insert(fmt::format("{}: {} is {}; {}", file, place.empty() ? "the document" : place,
                                value ? shortened(value->dump()) : "absent",
                                rule ? rule_of(*rule) : violation.description));
  }
  throw InvalidInput(fmt::format("{}", fmt::join(messages, "\n")));
}

void fill_defaults(Json& document, const Json& schema, Defaults defaults) {
  fill_unfolded(document, unfolded(schema), defaults);
}

std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not within a character
  return text.substr(0, end) + "...";
}

std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& known) {
  std::vector<std::pair<std::size_t, std::string>> close;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(name, candidate);
    const bool part = candidate.size() > 3 && name.size() > 3 &&
                      (candidate.find(name) != std::string::npos || name.find(candidate) != std::string_view::npos);
    if (part || distance <= std::max<std::size_t>(1, std::max(name.size(), candidate.size()) / 3))
      close.emplace_back(distance, candidate);
  }
  std::sort(close.begin(), close.end());
  if (close.size() > 3) close.resize(3);
  std::vector<std::string> names;
  names.reserve(close.size());
  for (auto& [distance, candidate] : close) names.push_back(std::move(candidate));
  return names;
}

std::string ended(const std::string& sentence) { return sentence.ends_with('?') ? sentence : sentence + "."; }

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string> close = nearest(name, known);
  return close.empty() ? "" : fmt::format("; did you mean \"{}\"?", fmt::join(close, "\" or \""));
}

}  // namespace weft::host
