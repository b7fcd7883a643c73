#include "host/plugins/dialect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "host/plugins/pattern.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

constexpr std::size_t largest = std::size_t{1} << 20;  // bytes of the unfolded schema, about
constexpr std::size_t cost_of_schema = 64;

std::string shown(const Json& value) {
  const std::string text = value.dump();
  return text.size() <= 80 ? text : std::string(value.type_name());
}

class Unfolding {
 public:
  // For a validator of `document`, if there is one.
  Unfolding(const Json& root, const Json* document) : root_(root) {
    if (document != nullptr) collect(*document, names_.emplace());
  }

  Json schema(const Json& given, const std::string& place) {
    if (given.is_boolean()) return given.get<bool>() ? Json::object() : Json{{"not", Json::object()}};
    if (!given.is_object()) refuse(place, given, "must be a schema: an object, true or false");
    spend(cost_of_schema + place.size(), place);
    if (++depth_ > detail::deepest_nesting)
      throw InvalidInput(fmt::format("{} is nested deeper than {} levels", place, detail::deepest_nesting));
    Json result = given.contains("$ref") ? referred(given, place + "/$ref") : keywords(given, place);
    --depth_;
    return result;
  }

 private:
  using Read = Json (Unfolding::*)(const Json&, const std::string&);

  Json keywords(const Json& given, const std::string& place) {
    static const std::map<std::string_view, Read> known = {{"type", &Unfolding::type},
                                                           {"enum", &Unfolding::choice},
                                                           {"const", &Unfolding::value},
                                                           {"default", &Unfolding::value},
                                                           {"before", &Unfolding::value},
                                                           {"description", &Unfolding::text},
                                                           {"minimum", &Unfolding::number},
                                                           {"maximum", &Unfolding::number},
                                                           {"exclusiveMinimum", &Unfolding::number},
                                                           {"exclusiveMaximum", &Unfolding::number},
                                                           {"multipleOf", &Unfolding::divisor},
                                                           {"minLength", &Unfolding::count},
                                                           {"maxLength", &Unfolding::count},
                                                           {"minItems", &Unfolding::count},
                                                           {"maxItems", &Unfolding::count},
                                                           {"minProperties", &Unfolding::count},
                                                           {"maxProperties", &Unfolding::count},
                                                           {"uniqueItems", &Unfolding::boolean},
                                                           {"pattern", &Unfolding::pattern},
                                                           {"required", &Unfolding::names},
                                                           {"properties", &Unfolding::schemas_by_name},
                                                           {"additionalProperties", &Unfolding::schema_or_boolean},
                                                           {"propertyNames", &Unfolding::schema},
                                                           {"dependencies", &Unfolding::dependencies},
                                                           {"patternProperties", &Unfolding::schemas_by_pattern},
                                                           {"items", &Unfolding::items},
                                                           {"additionalItems", &Unfolding::schema_or_boolean},
                                                           {"contains", &Unfolding::schema},
                                                           {"allOf", &Unfolding::schemas},
                                                           {"anyOf", &Unfolding::schemas},
                                                           {"oneOf", &Unfolding::schemas},
                                                           {"not", &Unfolding::schema},
                                                           {"if", &Unfolding::schema},
                                                           {"then", &Unfolding::schema},
                                                           {"else", &Unfolding::schema}};
    Json result = Json::object();
    for (const auto& [name, value] : given.items()) {
      const auto keyword = known.find(name);
      if (keyword == known.end()) continue;  // says nothing about validity
      Json read = (this->*keyword->second)(value, fmt::format("{}/{}", place, name));
      if (name != "description") result[name] = std::move(read);
    }
    if (names_) spell_out_patterns(result);
    return result;
  }

  // Of a schema that is unfolded, for the names that the document has.
  void spell_out_patterns(Json& schema) const {
    if (schema.contains("pattern")) {
      schema["matches"] = schema.at("pattern");
      schema.erase("pattern");
    }
    if (!schema.contains("patternProperties")) return;
    Json properties = schema.value("properties", Json::object());
    for (const auto& [expression, rule] : schema.at("patternProperties").items()) {
      const Pattern pattern(expression);
      for (const std::string& name : *names_) {
        if (!pattern.is_found_in(name)) continue;
        properties[name] = properties.contains(name) ? Json{{"allOf", {properties.at(name), rule}}} : rule;
      }
    }
    schema["properties"] = std::move(properties);
    schema.erase("patternProperties");
  }

  static void collect(const Json& document, std::set<std::string>& names) {
    if (!document.is_structured()) return;
    for (const auto& [name, member] : document.items()) {
      if (document.is_object()) names.insert(name);
      collect(member, names);
    }
  }

  // What stands beside a reference is not read, but for what an absent value becomes, which may differ from use to use.
  Json referred(const Json& given, const std::string& place) {
    const Json& reference = given.at("$ref");
    if (!reference.is_string() || !reference.get_ref<const std::string&>().starts_with('#'))
      refuse(place, reference, "must be '#' and a JSON pointer into this schema, such as \"#/definitions/size\"");
    const Json* target = nullptr;
    try {
      target = &root_.at(Json::json_pointer(reference.get_ref<const std::string&>().substr(1)));
    } catch (const Json::exception&) {
      refuse(place, reference, "leads nowhere");
    }
    if (std::find(open_.begin(), open_.end(), target) != open_.end())
      refuse(place, reference, "leads back to where it came from; a schema must end");
    open_.push_back(target);
    Json result = schema(*target, place);
    open_.pop_back();
    for (const char* own : {"default", "before"}) {
      if (given.contains(own)) result[own] = value(given.at(own), place);
    }
    return result;
  }

  Json type(const Json& given, const std::string& place) {
    static const std::vector<std::string_view> known = {"string", "number", "integer", "boolean",
                                                        "object", "array",  "null"};
    const auto is_known = [&](const Json& name) {
      return name.is_string() &&
             std::find(known.begin(), known.end(), name.get_ref<const std::string&>()) != known.end();
    };
    const bool valid =
        given.is_array() ? !given.empty() && std::all_of(given.begin(), given.end(), is_known) : is_known(given);
    if (!valid)
      refuse(place, given, "must be one, or a list, of string, number, integer, boolean, object, array, null");
    return given;
  }

  Json choice(const Json& given, const std::string& place) {
    if (!given.is_array() || given.empty()) refuse(place, given, "must be a list of values");
    return value(given, place);
  }

  Json value(const Json& given, const std::string& place) {
    spend(given.dump().size(), place);
    return given;
  }

  Json text(const Json& given, const std::string& place) {
    if (!given.is_string()) refuse(place, given, "must be a text");
    return given;
  }

  Json number(const Json& given, const std::string& place) {
    if (!given.is_number()) refuse(place, given, "must be a number");
    return given;
  }

  Json divisor(const Json& given, const std::string& place) {
    const bool positive =
        given.is_number_integer() ? given.get<std::int64_t>() > 0 : given.is_number() && given.get<double>() > 0.0;
    if (!positive) refuse(place, given, "must be a number > 0, and below 2^63");
    return given;
  }

  Json count(const Json& given, const std::string& place) {
    if (!given.is_number_integer() || given.get<std::int64_t>() < 0) refuse(place, given, "must be an integer >= 0");
    return given;
  }

  Json boolean(const Json& given, const std::string& place) {
    if (!given.is_boolean()) refuse(place, given, "must be true or false");
    return given;
  }

  Json pattern(const Json& given, const std::string& place) {
    try {
      Pattern(text(given, place).get_ref<const std::string&>());
    } catch (const InvalidInput& error) {
      throw InvalidInput(fmt::format("{} {}", place, error.what()));
    }
    return given;
  }

  Json names(const Json& given, const std::string& place) {
    const auto is_text = [](const Json& name) { return name.is_string(); };
    if (!given.is_array() || !std::all_of(given.begin(), given.end(), is_text))
      refuse(place, given, "must be a list of names");
    return value(given, place);
  }

  Json schemas_by_name(const Json& given, const std::string& place) {
    if (!given.is_object()) refuse(place, given, "must be an object of schemas");
    Json result = Json::object();
    for (const auto& [name, each] : given.items()) {
      spend(name.size(), place);
      result[name] = schema(each, fmt::format("{}/{}", place, name));
    }
    return result;
  }

  Json schemas(const Json& given, const std::string& place) {
    if (!given.is_array() || given.empty()) refuse(place, given, "must be a list of schemas");
    Json result = Json::array();
    for (std::size_t i = 0; i < given.size(); ++i) result.push_back(schema(given[i], fmt::format("{}/{}", place, i)));
    return result;
  }

  Json schema_or_boolean(const Json& given, const std::string& place) {
    return given.is_boolean() ? given : schema(given, place);
  }

  Json items(const Json& given, const std::string& place) {
    return given.is_array() ? schemas(given, place) : schema(given, place);
  }

  Json dependencies(const Json& given, const std::string& place) {
    if (!given.is_object()) refuse(place, given, "must be an object of schemas or lists of names");
    Json result = Json::object();
    for (const auto& [name, each] : given.items()) {
      const std::string at = fmt::format("{}/{}", place, name);
      result[name] = each.is_array() ? names(each, at) : schema(each, at);
    }
    return result;
  }

  Json schemas_by_pattern(const Json& given, const std::string& place) {
    Json result = schemas_by_name(given, place);
    for (const auto& [expression, rule] : result.items()) pattern(expression, fmt::format("{}/{}", place, expression));
    // Of what may become of it, for each name.
    if (names_) spend(result.dump().size() * names_->size(), place);
    return result;
  }

  void spend(std::size_t bytes, const std::string& place) {
    spent_ += bytes;
    if (spent_ > largest)
      throw InvalidInput(fmt::format("{} makes the schema larger than {} MiB when its references are written out",
                                     place, largest >> 20));
  }

  [[noreturn]] static void refuse(const std::string& place, const Json& given, const char* rule) {
    throw InvalidInput(fmt::format("{} is {}; {}", place.empty() ? "the schema" : place, shown(given), rule));
  }

  const Json& root_;
  std::optional<std::set<std::string>> names_;  // of all members in the document, if it is for a validator
  std::vector<const Json*> open_;               // targets of the references that are being followed
  int depth_ = 0;
  std::size_t spent_ = 0;
};

}  // namespace

Json unfolded(const Json& schema, const std::string& place) { return Unfolding(schema, nullptr).schema(schema, place); }

Json unfolded_for(const Json& document, const Json& schema) { return Unfolding(schema, &document).schema(schema, ""); }

}  // namespace weft::host
