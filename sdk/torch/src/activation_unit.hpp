// The module of the operation `activation_unit`.
#pragma once

#include <memory>

#include "weft/torch/modules.hpp"

namespace weft {

std::shared_ptr<OperationModule> make_activation_unit(const ModuleArguments& arguments);

}  // namespace weft
