#include "weft/torch/version.hpp"

#include <ATen/Context.h>
#include <torch/version.h>

namespace weft {

std::string libtorch_version() { return TORCH_VERSION; }

std::string libtorch_description() {
  std::string text = libtorch_version();
  text += at::globalContext().hasCUDA() ? ", CUDA available" : ", CPU";
  return text;
}

}  // namespace weft

const char* weft_libtorch_description() {
  static const std::string text = weft::libtorch_description();
  return text.c_str();
}
