// How nodes are called in a picture, as papers print it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weft/architecture.hpp"

namespace weft::host {

// "sep_conv_3x3" as papers print it: "sep conv 3×3".
std::string readable(std::string_view name);

// The components of a group, outermost first.
std::vector<std::string> components(const std::string& group);
// Where the running number of "normal 3" or "edge 0-1" begins, with its space; npos if there is none.
std::size_t running_number(std::string_view component);
std::string without_number(std::string_view component);

// "conv 3×3, 16, /2"; `channels`: with their number.
std::string label(const Architecture& architecture, NodeId id, bool channels);
// ", /2" of a node that has a stride and is not 1 x 1; else nothing.
std::string stride_label(const Node& node);

}  // namespace weft::host
