// Adam: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization".

#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

class AdamPlugin final : public weft::Adam {
 public:
  explicit AdamPlugin(const weft::Context& context)
      : Adam(context.get<std::array<double, 2>>("betas"), context.get<double>("eps")) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<AdamPlugin>("adam"))
