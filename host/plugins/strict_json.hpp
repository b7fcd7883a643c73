// JSON as a person writes it: bounded in size and depth, with no key twice in one object, where the first would be
// dropped without a word, and no integer beyond 64 bits, which would be rounded without one.
#pragma once

#include <string_view>

#include "weft/json.hpp"

namespace weft::host {

// Throws InvalidInput: what is wrong, and where in the text.
Json read_strictly(std::string_view text);

}  // namespace weft::host
