#include "weft/torch/update_rule.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace weft {

namespace {

std::string text_of(double number) { return Json(number).dump(); }

}  // namespace

void Sgd::step(const Step& step) const {
  const double momentum = step.momentum.value_or(momentum_);
  at::Tensor direction = step.gradients;
  // Where a schedule wants none at present, it may want some of what is remembered later.
  if (momentum > 0.0 || step.momentum) {
    at::Tensor velocity = step.memory.at("momentum");
    velocity.mul_(momentum).add_(step.gradients);
    direction = nesterov_ ? direction.add_(velocity, momentum) : velocity;
  }
  at::Tensor(step.values).add_(direction, -step.lr);
}

std::string Sgd::formula() const {
  if (!(momentum_ > 0.0)) return "-lr g";
  const std::string m = text_of(momentum_);
  return "v <- " + m + " v + g; -lr " + (nesterov_ ? "(g + " + m + " v)" : "v");
}

void Adam::step(const Step& step) const {
  const double beta1 = step.momentum.value_or(betas_[0]), beta2 = betas_[1];
  at::Tensor values = step.values;
  at::Tensor m = step.memory.at("first_moment"), v = step.memory.at("second_moment");
  if (decoupled_ && step.weight_decay > 0.0) {
    const double share = step.lr * step.weight_decay;
    step.decayed.defined() ? values.addcmul_(values, step.decayed, -share) : values.mul_(1.0 - share);
  }
  const auto t = static_cast<double>(step.count);
  m.mul_(beta1).add_(step.gradients, 1.0 - beta1);
  v.mul_(beta2).addcmul_(step.gradients, step.gradients, 1.0 - beta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(1.0 - std::pow(beta2, t))).add_(eps_);
  values.addcdiv_(m, denominator, -step.lr / (1.0 - std::pow(beta1, t)));
}

std::string Adam::formula() const {
  const auto moment = [](const std::string& name, double beta, const std::string& of) {
    return name + " <- " + text_of(beta) + " " + name + " + (1 - " + text_of(beta) + ") " + of + "; ";
  };
  return moment("m", betas_[0], "g") + moment("v", betas_[1], "g^2") + "-lr m^ / (sqrt(v^) + " + text_of(eps_) + ")" +
         (decoupled_ ? " - lr weight_decay w" : "");
}

}  // namespace weft
