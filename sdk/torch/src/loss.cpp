#include "weft/torch/loss.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace weft {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(logits.flatten(0, -2), labels.flatten(), {}, at::Reduction::Mean, -100,
                                label_smoothing);
}

at::Tensor training_loss(const Network::Output& output, const at::Tensor& labels, const Recipe& recipe) {
  const at::Tensor loss = cross_entropy(output.logits, labels, recipe.label_smoothing);
  if (!output.auxiliary.defined()) return loss;
  return loss + recipe.auxiliary_weight * cross_entropy(output.auxiliary, labels, recipe.label_smoothing);
}

Totals::Totals(c10::Device device) : sums_(at::zeros({2}, at::TensorOptions(at::kDouble).device(device))) {}

void Totals::add(const at::Tensor& mean_loss, const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor correct = logits.argmax(-1).eq(labels).sum();
  sums_.add_(at::stack({mean_loss.detach().to(at::kDouble).mul(labels.numel()), correct.to(at::kDouble)}));
  answers_ += labels.numel();
}

bool Totals::finite() const { return std::isfinite(sums_[0].item<double>()); }

Score Totals::score() const {
  const auto count = static_cast<double>(answers_);
  return {sums_[0].item<double>() / count, 100.0 * sums_[1].item<double>() / count};
}

}  // namespace weft
