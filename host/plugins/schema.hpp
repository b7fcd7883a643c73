// JSON Schema validation with messages a user can act on.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::host {

// Reads and parses a file, of any kind, as read_strictly() does. Throws InvalidInput naming the file and, for malformed
// JSON, line and column.
Json read_json(const std::filesystem::path& file);

// Checks `document` against `schema`, of which unfolded() says what it may be. Throws InvalidInput listing every
// violation as "FILE: POINTER is VALUE; RULE", with `at` as the pointer of the document itself.
void validate(const Json& document, const Json& schema, const std::string& file, const std::string& at = "");

// What an absent member becomes: `default`; in a document that was complete when it was stored, `before`, if its
// property has that: what happened when there was no such member yet.
enum class Defaults { current, stored };

// Fills absent members of `document` from the schema's properties, recursively.
void fill_defaults(Json& document, const Json& schema, Defaults defaults = Defaults::current);

// The text, or as much of it as fits, and dots: for a value in a message. `most` is in bytes; no character is cut.
std::string shortened(const std::string& text, std::size_t most = 80);

// The known names closest to a mistyped one, best first; those within a third of its length.
std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& known);

// "; did you mean "a" or "b"?", or nothing when nothing is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);
// With a full stop, unless it ends with a question mark.
std::string ended(const std::string& sentence);

}  // namespace weft::host
