#include "weft/torch/updates.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace weft {

namespace {

// 1 for the elements of weights, 0 for those of biases and of what normalises.
at::Tensor decayed(const std::vector<at::Tensor>& parameters, const at::TensorOptions& options) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& parameter : parameters)
    parts.push_back(at::full({parameter.numel()}, parameter.dim() > 1 ? 1.0 : 0.0, options.requires_grad(false)));
  return parts.empty() ? at::empty({0}, options) : at::cat(parts);
}

}  // namespace

Updates::Updates(std::vector<at::Tensor> parameters, const Recipe& recipe, Parts parts)
    : rule_(recipe.update_rule),
      weight_decay_(recipe.weight_decay),
      gradient_clip_(recipe.gradient_clip),
      parameters_(std::move(parameters)) {
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
  for (const auto& [name, first] : rule_->memory()) state_[name] = at::full_like(values_, first);
  if (parts == Parts::some) {
    state_["steps"] = at::zeros({static_cast<std::int64_t>(parameters_.size())}, at::kLong);
  } else if (rule_->counts()) {
    state_["steps"] = at::zeros({}, at::kLong);
  }
  if (weight_decay_ > 0.0 && recipe.decay_weights_only) decayed_ = decayed(parameters_, options);
}

Updates::~Updates() {
  for (at::Tensor& parameter : parameters_) {
    parameter.mutable_grad() = at::Tensor();
    parameter.set_data(parameter.detach().clone());
  }
}

void Updates::step(const Pace& pace) {
  const at::NoGradGuard no_grad;
  const auto steps = state_.find("steps");
  if (steps != state_.end() && steps->second.dim() > 0) return step(pace, std::vector<bool>(parameters_.size(), true));
  clip();
  change({0, values_.numel(), rule_->counts() ? steps->second.add_(1).item<std::int64_t>() : 0}, pace);
}

void Updates::step(const Pace& pace, const std::vector<bool>& took_part) {
  const at::NoGradGuard no_grad;
  clip();
  for (const Range& range : ranges(took_part)) change(range, pace);
}

void Updates::clip() {
  if (!(gradient_clip_ > 0.0)) return;
  // On the device alone, without waiting for the norm; 1e-6 as in torch.nn.utils.clip_grad_norm_.
  gradients_.mul_((gradients_.norm() + 1e-6).reciprocal_().mul_(gradient_clip_).clamp_max_(1.0));
}

std::vector<Updates::Range> Updates::ranges(const std::vector<bool>& took_part) {
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

void Updates::change(const Range& range, const Pace& pace) {
  const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, range.first, range.size); };
  UpdateRule::Step step{.values = part(values_),
                        .gradients = part(gradients_),
                        .memory = {},
                        .count = range.steps,
                        .lr = pace.lr,
                        .progress = pace.progress,
                        .momentum = pace.momentum,
                        .weight_decay = weight_decay_};
  for (const auto& [name, first] : rule_->memory()) step.memory[name] = part(state_.at(name));
  if (decayed_.defined()) step.decayed = part(decayed_);
  if (weight_decay_ > 0.0 && !rule_->decays()) {
    step.decayed.defined() ? step.gradients.addcmul_(step.values, step.decayed, weight_decay_)
                           : step.gradients.add_(step.values, weight_decay_);
  }
  rule_->step(step);
}

}  // namespace weft
