#include "weft/torch/update_rule.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

namespace weft {

UpdateRule::UpdateRule(std::vector<at::Tensor> parameters, const Recipe& recipe)
    : recipe_(recipe), parameters_(std::move(parameters)) {
  std::int64_t size = 0;
  for (const at::Tensor& parameter : parameters_) size += parameter.numel();
  const at::TensorOptions options = parameters_.empty() ? at::TensorOptions(at::kFloat) : parameters_.front().options();
  values_ = at::empty({size}, options.requires_grad(false));
  gradients_ = at::zeros_like(values_);
  std::int64_t offset = 0;
  for (at::Tensor& parameter : parameters_) {
    // With its own strides: convolution weights may be channels last.
    const auto place = [&](const at::Tensor& buffer) {
      return buffer.as_strided(parameter.sizes(), parameter.strides(), offset);
    };
    const at::Tensor value = place(values_);
    value.copy_(parameter.detach());
    parameter.mutable_grad() = place(gradients_);
    parameter.set_data(value);
    offset += parameter.numel();
  }
  state_["parameters"] = values_;
  if (recipe_.update_rule == Recipe::UpdateRuleKind::sgd) {
    state_["momentum"] = at::zeros_like(values_);
  } else {
    state_["first_moment"] = at::zeros_like(values_);
    state_["second_moment"] = at::zeros_like(values_);
    state_["steps"] = at::zeros({}, at::kLong);
  }
}

UpdateRule::~UpdateRule() {
  for (at::Tensor& parameter : parameters_) {
    parameter.mutable_grad() = at::Tensor();
    parameter.set_data(parameter.detach().clone());
  }
}

void UpdateRule::step(double lr) {
  const at::NoGradGuard no_grad;
  if (recipe_.gradient_clip > 0.0) {
    // On the device alone, without waiting for the norm; 1e-6 as in torch.nn.utils.clip_grad_norm_.
    gradients_.mul_((gradients_.norm() + 1e-6).reciprocal_().mul_(recipe_.gradient_clip).clamp_max_(1.0));
  }
  if (recipe_.weight_decay > 0.0) gradients_.add_(values_, recipe_.weight_decay);
  recipe_.update_rule == Recipe::UpdateRuleKind::sgd ? sgd(lr) : adam(lr);
}

// v <- momentum v + g; x <- x - lr v, or with Nesterov x - lr (g + momentum v).
void UpdateRule::sgd(double lr) {
  at::Tensor direction = gradients_;
  if (recipe_.momentum > 0.0) {
    at::Tensor& velocity = state_.at("momentum");
    velocity.mul_(recipe_.momentum).add_(gradients_);
    direction = recipe_.nesterov ? gradients_.add_(velocity, recipe_.momentum) : velocity;
  }
  values_.add_(direction, -lr);
}

// Kingma & Ba 2015, Algorithm 1.
void UpdateRule::adam(double lr) {
  const auto [beta1, beta2] = recipe_.betas;
  at::Tensor &m = state_.at("first_moment"), &v = state_.at("second_moment");
  const auto t = static_cast<double>(state_.at("steps").add_(1).item<std::int64_t>());
  m.mul_(beta1).add_(gradients_, 1.0 - beta1);
  v.mul_(beta2).addcmul_(gradients_, gradients_, 1.0 - beta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(1.0 - std::pow(beta2, t))).add_(recipe_.eps);
  values_.addcdiv_(m, denominator, -lr / (1.0 - std::pow(beta1, t)));
}

}  // namespace weft
