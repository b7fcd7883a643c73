// What the torch tier was built with and runs on.
#pragma once

#include <string>

namespace weft {

// LibTorch's version, as its headers state it: "1.13.1".
std::string libtorch_version();

// Version and devices: "1.13.1, CPU, capability AVX2".
std::string libtorch_description();

}  // namespace weft

// The same for a host that does not link LibTorch and finds this by name. Lives as long as the library.
extern "C" const char* weft_libtorch_description();
