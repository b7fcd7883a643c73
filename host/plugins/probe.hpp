// The first use of a library, tried in a child process (docs/plugin-contract.md, rule 6): code that runs while a
// library is opened may throw, abort, hang or exit, and must not take the host with it.
#pragma once

#include <string>

#include "host/plugins/inspection.hpp"
#include "host/plugins/manifest.hpp"

namespace weft::host {

// Opens the library in a child and waits for word that it is open: 20 seconds, or as many as the environment's
// WEFT_PROBE_SECONDS says. Throws Refusal: E050 to E052, or what the child found.
void probe(const Manifest& manifest);

// As probe(), unless a library of this hash has been tried by this build of the host before: the verdict is kept in the
// user's cache folder, where there is one that can be read and written.
void probe_once(const Manifest& manifest, const LibraryFile& file);

// What the child does: `weft probe-plugin MANIFEST`.
int run_probe(const std::string& manifest);

}  // namespace weft::host
