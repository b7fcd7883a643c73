// What users name, as text. Names cross to workers, into the journal and into JSON as UTF-8; one that is not would
// arrive as another.
#pragma once

#include <string_view>

namespace weft::host {

// Throws InvalidInput unless `text` is UTF-8: `what` is what to call it, `remedy` what to do about it.
void check_utf8(std::string_view text, std::string_view what, std::string_view remedy);

}  // namespace weft::host
