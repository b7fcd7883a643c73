// Opening a library from the bytes that were checked: a copy in memory that nobody can change. What becomes of the file
// afterwards, replaced, written over or removed, does not matter to who has opened it.
#pragma once

#include "host/plugins/inspection.hpp"

namespace weft::host {

// Of a library that was inspected, after its companions and what it finds from its own place; with RTLD_NOW and
// RTLD_LOCAL, never to be closed. Throws Refusal (E040).
void* open_sealed(const LibraryFile& file);

}  // namespace weft::host
