// How the operation of a plugin is computed: the torch tier's half of weft/operation_plugin.hpp, of the same name.
#pragma once

#include <memory>

#include "weft/torch/ingredient.hpp"
#include "weft/torch/modules.hpp"

namespace weft {

class ModuleMaker {
 public:
  using IngredientKind = ModuleMaker;
  static constexpr const char* kind = "module";
  static constexpr const char* interface_id = "weft.torch.module/1";

  virtual ~ModuleMaker() = default;
  // The node's attributes and shapes are those that the operation's rule accepted.
  virtual std::shared_ptr<OperationModule> make(const ModuleArguments& arguments) const = 0;
};

namespace detail {

// From here on, this library finds the operations and modules that plugins add.
void adopt_modules(const weft_context& context);

}  // namespace detail

}  // namespace weft
