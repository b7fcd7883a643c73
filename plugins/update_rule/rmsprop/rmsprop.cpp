// RMSProp: Tieleman and Hinton 2012, Coursera, lecture 6.5. The two frameworks compute it differently, and published
// hyperparameters are those of one of them:
//   TensorFlow  v0 = 1; m <- momentum m + lr g / sqrt(v + eps);   w <- w - m
//   PyTorch     v0 = 0; m <- momentum m + g / (sqrt(v) + eps);    w <- w - lr m

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

class RmsProp final : public weft::UpdateRule {
 public:
  explicit RmsProp(const weft::Context& context)
      : decay_(context.get<double>("decay")),
        momentum_(context.get<double>("momentum")),
        eps_(context.get<double>("eps")),
        tensorflow_(context.get<std::string>("variant") == "tensorflow") {}

  std::map<std::string, double> memory() const override {
    return {{"mean_square", tensorflow_ ? 1.0 : 0.0}, {"momentum", 0.0}};
  }

  void step(const Step& step) const override {
    at::Tensor v = step.memory.at("mean_square"), m = step.memory.at("momentum"), values = step.values;
    v.mul_(decay_).addcmul_(step.gradients, step.gradients, 1.0 - decay_);
    const at::Tensor root = tensorflow_ ? v.add(eps_).sqrt_() : v.sqrt().add_(eps_);
    m.mul_(step.momentum.value_or(momentum_)).addcdiv_(step.gradients, root, tensorflow_ ? step.lr : 1.0);
    values.sub_(m, tensorflow_ ? 1.0 : step.lr);
  }

  std::string formula() const override {
    const std::string mean_square = "v <- " + text(decay_) + " v + (1 - " + text(decay_) + ") g^2; ";
    const std::string velocity = "m <- " + text(momentum_) + " m + ";
    return tensorflow_ ? mean_square + velocity + "lr g / sqrt(v + " + text(eps_) + "); -m"
                       : mean_square + velocity + "g / (sqrt(v) + " + text(eps_) + "); -lr m";
  }

 private:
  static std::string text(double number) { return weft::Json(number).dump(); }

  double decay_, momentum_, eps_;
  bool tensorflow_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RmsProp>("rmsprop"))
