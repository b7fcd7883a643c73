#include "weft/torch/update_rule.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

namespace weft {

UpdateRule::UpdateRule(std::vector<at::Tensor> parameters, const Recipe& recipe, Parts parts)
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
    if (parts == Parts::all) state_["steps"] = at::zeros({}, at::kLong);
  }
  if (parts == Parts::some) state_["steps"] = at::zeros({static_cast<std::int64_t>(parameters_.size())}, at::kLong);
}

UpdateRule::~UpdateRule() {
  for (at::Tensor& parameter : parameters_) {
    parameter.mutable_grad() = at::Tensor();
    parameter.set_data(parameter.detach().clone());
  }
}

void UpdateRule::step(double lr) {
  const at::NoGradGuard no_grad;
  const auto steps = state_.find("steps");
  if (steps != state_.end() && steps->second.dim() > 0) return step(lr, std::vector<bool>(parameters_.size(), true));
  clip();
  const bool counts = recipe_.update_rule == Recipe::UpdateRuleKind::adam;
  change({0, values_.numel(), counts ? steps->second.add_(1).item<std::int64_t>() : 0}, lr);
}

void UpdateRule::step(double lr, const std::vector<bool>& took_part) {
  const at::NoGradGuard no_grad;
  clip();
  for (const Range& range : ranges(took_part)) change(range, lr);
}

void UpdateRule::clip() {
  if (!(recipe_.gradient_clip > 0.0)) return;
  // On the device alone, without waiting for the norm; 1e-6 as in torch.nn.utils.clip_grad_norm_.
  gradients_.mul_((gradients_.norm() + 1e-6).reciprocal_().mul_(recipe_.gradient_clip).clamp_max_(1.0));
}

std::vector<UpdateRule::Range> UpdateRule::ranges(const std::vector<bool>& took_part) {
  std::int64_t* const steps = state_.at("steps").data_ptr<std::int64_t>();
  std::vector<Range> ranges;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::int64_t size = parameters_[i].numel();
    if (took_part[i]) {
      ++steps[i];
      const bool beside = !ranges.empty() && ranges.back().first + ranges.back().size == first;
      if (beside && ranges.back().steps == steps[i]) {
        ranges.back().size += size;
      } else {
        ranges.push_back({first, size, steps[i]});
      }
    }
    first += size;
  }
  return ranges;
}

void UpdateRule::change(const Range& range, double lr) {
  at::Tensor values = values_.narrow(0, range.first, range.size);
  at::Tensor gradients = gradients_.narrow(0, range.first, range.size);
  if (recipe_.weight_decay > 0.0) gradients.add_(values, recipe_.weight_decay);
  recipe_.update_rule == Recipe::UpdateRuleKind::sgd ? sgd(range, values, gradients, lr)
                                                     : adam(range, values, gradients, lr);
}

// v <- momentum v + g; x <- x - lr v, or with Nesterov x - lr (g + momentum v).
void UpdateRule::sgd(const Range& range, at::Tensor& values, at::Tensor& gradients, double lr) {
  at::Tensor direction = gradients;
  if (recipe_.momentum > 0.0) {
    at::Tensor velocity = state_.at("momentum").narrow(0, range.first, range.size);
    velocity.mul_(recipe_.momentum).add_(gradients);
    direction = recipe_.nesterov ? gradients.add_(velocity, recipe_.momentum) : velocity;
  }
  values.add_(direction, -lr);
}

// Kingma & Ba 2015, Algorithm 1.
void UpdateRule::adam(const Range& range, at::Tensor& values, at::Tensor& gradients, double lr) {
  const auto [beta1, beta2] = recipe_.betas;
  at::Tensor m = state_.at("first_moment").narrow(0, range.first, range.size);
  at::Tensor v = state_.at("second_moment").narrow(0, range.first, range.size);
  const auto t = static_cast<double>(range.steps);
  m.mul_(beta1).add_(gradients, 1.0 - beta1);
  v.mul_(beta2).addcmul_(gradients, gradients, 1.0 - beta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(1.0 - std::pow(beta2, t))).add_(recipe_.eps);
  values.addcdiv_(m, denominator, -lr / (1.0 - std::pow(beta1, t)));
}

}  // namespace weft
