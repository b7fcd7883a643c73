#include "weft/torch/version.hpp"

#include <torch/csrc/api/include/torch/version.h>

namespace weft {

std::string libtorch_version() { return TORCH_VERSION; }

}  // namespace weft
