// PowerSign: Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with Reinforcement Learning", as in
// the authors' code (tf-opt, powersign.py).

#include <ATen/ATen.h>

#include "weft/learning/decay.hpp"
#include "weft/learning/update_expression.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

using weft::learning::UpdateExpression;

class PowerSign final : public weft::UpdateRule {
 public:
  explicit PowerSign(const weft::Context& context)
      : base_(context.get<double>("base")),
        beta_(context.get<double>("beta")),
        decay_(weft::learning::Decay::named(context.get<std::string>("decay"), context.configuration().at("periods"))) {
  }

  std::map<std::string, double> memory() const override { return {{"first_moment", 0.0}}; }

  // m <- beta m + (1 - beta) g; w <- w - lr base^(f(t) sign(g) sign(m)) g
  void step(const Step& step) const override {
    const double beta = step.momentum.value_or(beta_);
    at::Tensor m = step.memory.at("first_moment"), values = step.values;
    m.mul_(beta).add_(step.gradients, 1.0 - beta);
    const at::Tensor agreement = step.gradients.sign().mul_(m.sign());
    const at::Tensor factor = at::pow(base_, agreement.mul_(decay_.at(step.progress)));
    values.addcmul_(factor, step.gradients, -step.lr);
  }

  std::string formula() const override {
    const std::string beta = UpdateExpression::text_of(beta_);
    return "m <- " + beta + " m + (1 - " + beta + ") g; -lr " + UpdateExpression::text_of(base_) + "^(" +
           (decay_.is_none() ? "" : decay_.to_string() + " ") + "sign(g) sign(m)) g";
  }

 private:
  double base_, beta_;
  weft::learning::Decay decay_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PowerSign>("power_sign"))
