// What is fuzzed: readers of files that others may have written. Each ends with a value or an exception, whatever the
// bytes.
#pragma once

#include <string_view>

namespace weft::fuzz {

void manifest(std::string_view bytes);
void pipeline(std::string_view bytes);
void elf(std::string_view bytes);
// A first byte 'D': the rest is a database file. Else: lines of kind, trial and body, as the database would hold them.
void journal(std::string_view bytes);

}  // namespace weft::fuzz
