// A searched activation, computed term by term; domains and clamps are the expression's
// (weft/learning/activation_expression.hpp), gradients autograd's. What has a kernel of LibTorch's, or fewer
// operations, takes the shorter way, which is the same but for the clamps beyond the bound.

#include "activation_unit.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/learning/activation_expression.hpp"

namespace weft {
namespace {

struct TensorArithmetic {
  at::TensorOptions options;  // of the tensors

  at::Tensor number(double value) const { return at::full({}, value, options); }
  at::Tensor clamp(const at::Tensor& a, double low, double high) const { return at::clamp(a, low, high); }
  at::Tensor at_least(const at::Tensor& a, double low) const { return at::clamp_min(a, low); }
  at::Tensor at_most(const at::Tensor& a, double high) const { return at::clamp_max(a, high); }
  at::Tensor maximum(const at::Tensor& a, const at::Tensor& b) const { return at::maximum(a, b); }
  at::Tensor minimum(const at::Tensor& a, const at::Tensor& b) const { return at::minimum(a, b); }
  at::Tensor away_from_zero(const at::Tensor& a, double distance) const {
    const at::Tensor above = at::full({}, distance, a.options());
    return at::where(a.abs() < distance, at::where(a < 0.0, -above, above), a);
  }
  // Near 0 by its series: the gradient of at::sinc divides by the square of its argument, which underflows there.
  at::Tensor sinc(const at::Tensor& a) const {
    constexpr double near = 0.02;  // the term of the sixth power, a^6 / 5040, is below 2e-14
    const at::Tensor is_near = a.abs() < near;
    const at::Tensor square = a * a, away = at::where(is_near, at::ones({}, a.options()), a);
    return at::where(is_near, 1.0 - square * (1.0 / 6.0) * (1.0 - square * (1.0 / 20.0)), at::sin(away) / away);
  }
  at::Tensor sigmoid(const at::Tensor& a) const { return at::sigmoid(a); }
  at::Tensor softplus(const at::Tensor& a) const { return at::softplus(a); }
};

// `beta` is undefined where the formula has none.
struct ShorterWay {
  std::string_view formula;
  at::Tensor (*compute)(const at::Tensor& x, const at::Tensor& beta);
};
constexpr ShorterWay shorter_ways[] = {
    {"max(x, 0)", [](const at::Tensor& x, const at::Tensor&) { return at::relu(x); }},
    {"x * sigmoid(x)", [](const at::Tensor& x, const at::Tensor&) { return at::silu(x); }},
    {"x * sigmoid(beta x)", [](const at::Tensor& x, const at::Tensor& beta) {
       const at::Tensor kept = at::clamp(x, -ActivationExpression::bound, ActivationExpression::bound);
       return kept * at::sigmoid(beta * kept);
     }}};

class ActivationUnit final : public OperationModule {
 public:
  explicit ActivationUnit(const ModuleArguments& arguments)
      : expression_(arguments.node.attributes.at("formula").get<std::string>()), formula_(expression_.text()) {
    const Shape& shape = arguments.node.shape;
    by_channel_ = shape.is_image();
    for (int i = 0; i < expression_.betas(); ++i) {
      const double beginning = arguments.node.attributes.at("beta");
      betas_.push_back(register_parameter(i == 0 ? "beta" : "beta" + std::to_string(i + 1),
                                          at::full({by_channel_ ? shape.channels : 1}, beginning, at::kFloat)));
    }
    for (const ShorterWay& way : shorter_ways) {
      if (way.formula == formula_) shorter_way_ = &way;
    }
  }

  Traits traits() const override {
    return {.passes_through = formula_ == "x", .pure = betas_.empty(), .is_relu = formula_ == "max(x, 0)"};
  }

  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    const at::Tensor& x = inputs[0];
    std::vector<at::Tensor> betas;
    for (const at::Tensor& beta : betas_) betas.push_back(by_channel_ ? beta.view({1, -1, 1, 1}) : beta);
    if (shorter_way_ != nullptr) return shorter_way_->compute(x, betas.empty() ? at::Tensor() : betas.front());
    return expression_.evaluate(TensorArithmetic{x.options()}, std::span(&x, 1),
                                std::span<const at::Tensor>(betas.data(), betas.size()));
  }

 private:
  ActivationExpression expression_;
  std::string formula_;
  bool by_channel_ = false;  // else one beta is for all
  const ShorterWay* shorter_way_ = nullptr;
  std::vector<at::Tensor> betas_;
};

}  // namespace

std::shared_ptr<OperationModule> make_activation_unit(const ModuleArguments& arguments) {
  return std::make_shared<ActivationUnit>(arguments);
}

}  // namespace weft
