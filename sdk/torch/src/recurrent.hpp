// The module of the operation `recurrent`, and the mask of dropout, which it shares with other modules.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "weft/torch/modules.hpp"

namespace weft {

std::shared_ptr<OperationModule> make_recurrent(const ModuleArguments& arguments);

// 0 with this probability, else what keeps the mean; of the type and device of `like`.
at::Tensor dropout_mask(at::IntArrayRef sizes, double probability, const at::Tensor& like);

}  // namespace weft
