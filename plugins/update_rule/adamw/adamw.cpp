// AdamW: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", Algorithm 2. As in PyTorch, a step takes
// lr times weight_decay of the weight.

#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

class AdamWPlugin final : public weft::Adam {
 public:
  explicit AdamWPlugin(const weft::Context& context)
      : Adam(context.get<std::array<double, 2>>("betas"), context.get<double>("eps"), true) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<AdamWPlugin>("adamw"))
