// The JSON type of the C++ layer. It is compiled into each side of the boundary; only its text crosses.
#pragma once

#include <nlohmann/json.hpp>

namespace weft {

using Json = nlohmann::json;

}  // namespace weft
