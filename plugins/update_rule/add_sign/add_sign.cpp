// AddSign: Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with Reinforcement Learning", as in the
// authors' code (tf-opt, addsign.py).

#include "weft/plugin.hpp"
#include "weft/torch/sign_agreement.hpp"

namespace {

class AddSign final : public weft::SignAgreement {
 public:
  explicit AddSign(const weft::Context& context) : SignAgreement(context), alpha_(context.get<double>("alpha")) {}

 private:
  // alpha + f(t) sign(g) sign(m)
  at::Tensor factor(at::Tensor agreement) const override { return agreement.add_(alpha_); }
  std::string factor_of(const std::string& agreement) const override {
    return "(" + weft::learning::UpdateExpression::text_of(alpha_) + " + " + agreement + ")";
  }

  double alpha_;
};

}  // namespace

WEFT_PLUGIN(weft::component<AddSign>("add_sign"))
