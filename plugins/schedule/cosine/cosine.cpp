// Half a cosine: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", Eq. 5.

#include "weft/plugin.hpp"

namespace {

class CosinePlugin final : public weft::Cosine {
 public:
  explicit CosinePlugin(const weft::Context& context) : Cosine(context.get<double>("lr_min")) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<CosinePlugin>("cosine"))
