// Standard output belongs to the host's answers: what a plugin prints must not end up in the middle of a script's JSON.
#pragma once

#include <cstdio>

namespace weft::host {

// Where answers go. The first call takes standard output for the host and points descriptor 1 at standard error, so
// call it before any plugin is opened.
std::FILE* output();

}  // namespace weft::host
