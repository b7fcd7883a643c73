// What PowerSign and AddSign have in common (Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with
// Reinforcement Learning"): a gradient counts for more where its sign agrees with that of its mean.
//
// Parameters of the plugin's manifest: beta of the mean; decay and periods, by which f(t) comes to 0.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "weft/context.hpp"
#include "weft/learning/decay.hpp"
#include "weft/learning/update_expression.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft {

// m <- beta m + (1 - beta) g; w <- w - lr factor(f(t) sign(g) sign(m)) g
class SignAgreement : public UpdateRule {
 public:
  std::map<std::string, double> memory() const override { return {{"first_moment", 0.0}}; }

  void step(const Step& step) const override {
    const double beta = step.momentum.value_or(beta_);
    at::Tensor m = step.memory.at("first_moment"), values = step.values;
    m.mul_(beta).add_(step.gradients, 1.0 - beta);
    const at::Tensor agreement = step.gradients.sign().mul_(m.sign()).mul_(decay_.at(step.progress));
    values.addcmul_(factor(agreement), step.gradients, -step.lr);
  }

  std::string formula() const override {
    const std::string beta = learning::UpdateExpression::text_of(beta_);
    const std::string agreement = (decay_.is_none() ? "" : decay_.to_string() + " ") + "sign(g) sign(m)";
    return "m <- " + beta + " m + (1 - " + beta + ") g; -lr " + factor_of(agreement) + " g";
  }

 protected:
  explicit SignAgreement(const Context& context)
      : beta_(context.get<double>("beta")),
        decay_(learning::Decay::named(context.get<std::string>("decay"), context.configuration().at("periods"))) {}

  // [elements], which may be overwritten: f(t) where the signs agree, -f(t) where not, 0 where one is 0.
  virtual at::Tensor factor(at::Tensor agreement) const = 0;
  virtual std::string factor_of(const std::string& agreement) const = 0;

 private:
  double beta_;
  learning::Decay decay_;
};

}  // namespace weft
