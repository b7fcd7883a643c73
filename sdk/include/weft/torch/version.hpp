// What the torch tier was built with and runs on.
#pragma once

#include <string>

namespace weft {

// LibTorch's version, as its headers state it: "1.13.1".
std::string libtorch_version();

}  // namespace weft
