// my_plugin: every parameter moves by the learning rate, against the sign of its mean gradient.
//
// All parameters lie side by side in one buffer: a rule is arithmetic on whole tensors. What it remembers of each element
// it names in memory().

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

class MyPlugin final : public weft::UpdateRule {
 public:
  explicit MyPlugin(const weft::Context& context) : momentum_(context.get<double>("momentum")) {}

  std::map<std::string, double> memory() const override { return {{"mean", 0.0}}; }

  void step(const Step& step) const override {
    at::Tensor mean = step.memory.at("mean"), values = step.values;
    mean.mul_(momentum_).add_(step.gradients, 1.0 - momentum_);
    values.sub_(mean / mean.abs().clamp_min(1e-30), step.lr);  // sign() would take what is no number for 0
  }

  std::string formula() const override {
    const std::string momentum = weft::Json(momentum_).dump();
    return "m <- " + momentum + " m + (1 - " + momentum + ") g; -lr sign(m)";
  }

 private:
  double momentum_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
