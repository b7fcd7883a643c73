// The part of JSON Schema (draft 7) that manifests may use for their `parameters`, read so that using it is safe
// whoever wrote it.
#pragma once

#include <string>

#include "weft/json.hpp"

namespace weft::host {

// The schema with every `$ref` replaced by what it leads to, and without what is no rule but `default` and `before`.
// What it accepts is what the given one accepts. Throws InvalidInput, with `place` before the pointer: for a keyword
// whose value is of the wrong kind, a reference that leads nowhere, to another document or back to itself, and a schema
// that is not bounded when all of it is written out.
Json unfolded(const Json& schema, const std::string& place = "");

// The same for a validator whose regular expressions are not to be used: `pattern` is called `matches` (see Pattern),
// and `patternProperties` are `properties`, of the names that `document` has.
Json unfolded_for(const Json& document, const Json& schema);

}  // namespace weft::host
