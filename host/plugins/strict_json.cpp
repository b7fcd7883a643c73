#include "host/plugins/strict_json.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "host/plugins/schema.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

// Follows a parser through its document and refuses the second key of a name in one object.
class Keys {
 public:
  void take(Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    switch (event) {
      case Event::key:
        add(parsed.get_ref<const std::string&>());
        break;
      case Event::object_start:
      case Event::array_start:
        begin_element();
        levels_.push_back({event == Event::array_start, {}, {}, 0});
        break;
      case Event::object_end:
      case Event::array_end:
        levels_.pop_back();
        break;
      case Event::value:
        begin_element();
        break;
    }
  }

 private:
  struct Level {
    bool is_array;
    std::set<std::string> keys;
    std::string member;  // the key or index that the parser is at
    std::size_t elements;
  };

  void begin_element() {
    if (!levels_.empty() && levels_.back().is_array) levels_.back().member = std::to_string(levels_.back().elements++);
  }

  void add(const std::string& key) {
    levels_.back().member = key;
    if (levels_.back().keys.insert(key).second) return;
    Json::json_pointer place;
    for (const Level& level : levels_) place /= level.member;
    throw InvalidInput(
        fmt::format("{} is given twice in one object; which of the two is meant? Remove the other", place.to_string()));
  }

  std::vector<Level> levels_;
};

// Of valid JSON.
void check_integers(std::string_view text) {
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (quoted) {
      if (text[at] == '\\') ++at;
      continue;
    }
    if (text[at] != '-' && (text[at] < '0' || text[at] > '9')) continue;
    const std::string_view number = text.substr(at, text.find_first_not_of("+-.0123456789Ee", at) - at);
    at += number.size() - 1;
    if (number.find_first_of(".eE") != std::string_view::npos) continue;
    std::uint64_t natural = 0;
    std::int64_t negative = 0;
    const auto fits = [&](auto& integer) {
      return std::from_chars(number.data(), number.data() + number.size(), integer).ec == std::errc();
    };
    if (fits(natural) || fits(negative)) continue;
    throw InvalidInput(fmt::format(
        "the integer {} is beyond 64 bits; must be {} to {} (where a rounded number is meant, write it with "
        "a point or an exponent)",
        shortened(std::string(number)), std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::uint64_t>::max()));
  }
}

}  // namespace

Json read_strictly(std::string_view text) {
  try {
    detail::check_bounds(text);
    Keys keys;
    Json document = Json::parse(text, [&](int, Json::parse_event_t event, const Json& parsed) {
      keys.take(event, parsed);
      return true;
    });
    check_integers(text);
    return document;
  } catch (const InvalidInput&) {
    throw;
  } catch (const Error& error) {
    throw InvalidInput(error.what());
  } catch (const Json::exception& error) {  // also numbers beyond all bounds
    std::string what = error.what();
    if (const auto at = what.find("parse error at "); at != std::string::npos) what = what.substr(at + 15);
    throw InvalidInput("not valid JSON: " + what);
  }
}

}  // namespace weft::host
