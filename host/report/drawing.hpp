// The picture of an architecture, as papers draw it: the skeleton of the whole network, and beside it each kind of cell
// once, with composite operations such as a separable convolution folded into one box.
#pragma once

#include <chrono>
#include <string>

#include "weft/architecture.hpp"

namespace weft::host {

struct DrawingOptions {
  bool whole = false;  // every node, with all groups as nested clusters, instead of skeleton and kinds of cells
  std::chrono::milliseconds limit = std::chrono::minutes(2);  // that Graphviz may take
};

// Graphviz's language; the same text for the same architecture.
std::string to_dot(const Architecture& architecture, const DrawingOptions& options = {});

// An <svg> element, laid out by Graphviz's `dot` as a child process. Throws Error if there is no
// picture, for whatever reason.
std::string to_svg(const Architecture& architecture, const DrawingOptions& options = {});

}  // namespace weft::host
