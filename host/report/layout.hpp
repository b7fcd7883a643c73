// Graphviz's `dot` as a child process.
#pragma once

#include <chrono>
#include <string>

namespace weft::host {

// What `dot -Tsvg` makes of `text`. Throws Error if it is absent, cannot be run, fails, or has not ended after `limit`,
// when it is killed.
std::string lay_out(const std::string& text, std::chrono::milliseconds limit);

}  // namespace weft::host
