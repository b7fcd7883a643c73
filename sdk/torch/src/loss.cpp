#include "weft/torch/loss.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace weft {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(logits.flatten(0, -2), labels.flatten(), {}, at::Reduction::Mean, -100,
                                label_smoothing);
}

at::Tensor cross_entropy(const at::Tensor& logits, const Batch& batch, double label_smoothing) {
  if (!batch.share.defined()) return cross_entropy(logits, batch.labels, label_smoothing);
  const auto each = [&](const at::Tensor& labels) {
    return at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, -100, label_smoothing);
  };
  return (batch.share * each(batch.labels) + (1.0 - batch.share) * each(batch.mixed_labels)).mean();
}

at::Tensor CrossEntropy::loss(const Terms& terms) const {
  const at::Tensor loss = cross_entropy(terms.output.logits, terms.batch, label_smoothing_);
  if (!terms.output.auxiliary.defined()) return loss;
  return loss + auxiliary_weight_ * cross_entropy(terms.output.auxiliary, terms.batch, label_smoothing_);
}

at::Tensor training_loss(const Loss::Terms& terms, const std::vector<std::shared_ptr<const Loss>>& losses) {
  if (losses.empty()) return CrossEntropy().loss(terms);
  at::Tensor sum;
  for (const std::shared_ptr<const Loss>& term : losses) {
    const at::Tensor loss = term->loss(terms);
    if (loss.defined()) sum = sum.defined() ? sum + loss : loss;
  }
  if (!sum.defined()) throw Error("none of the recipe's losses says anything");
  return sum;
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
