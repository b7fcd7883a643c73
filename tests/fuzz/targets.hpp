// What is fuzzed: readers of what others may have written. Each ends with a value or an exception, whatever the
// bytes.
#pragma once

#include <string_view>

namespace weft::fuzz {

void manifest(std::string_view bytes);
void pipeline(std::string_view bytes);
// Lines of what stands behind --set, on a sound pipeline.
void setting(std::string_view bytes);
// A manifest's schema of parameters on the first line, the arguments of a pipeline on the others.
void parameters(std::string_view bytes);
void elf(std::string_view bytes);
// A first byte 'D': the rest is a database file. Else: lines of kind, trial and body, as the database would hold them.
void journal(std::string_view bytes);
// What a worker sends.
void messages(std::string_view bytes);

}  // namespace weft::fuzz
