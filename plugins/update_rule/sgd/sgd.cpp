// Stochastic gradient descent with momentum.

#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

class SgdPlugin final : public weft::Sgd {
 public:
  explicit SgdPlugin(const weft::Context& context)
      : Sgd(context.get<double>("momentum"), context.get<bool>("nesterov")) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<SgdPlugin>("sgd"))
