// PowerSign: Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with Reinforcement Learning", as in
// the authors' code (tf-opt, powersign.py).

#include "weft/plugin.hpp"
#include "weft/torch/sign_agreement.hpp"

namespace {

class PowerSign final : public weft::SignAgreement {
 public:
  explicit PowerSign(const weft::Context& context) : SignAgreement(context), base_(context.get<double>("base")) {}

 private:
  // base^(f(t) sign(g) sign(m))
  at::Tensor factor(at::Tensor agreement) const override { return at::pow(base_, agreement); }
  std::string factor_of(const std::string& agreement) const override {
    return weft::learning::UpdateExpression::text_of(base_) + "^(" + agreement + ")";
  }

  double base_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PowerSign>("power_sign"))
