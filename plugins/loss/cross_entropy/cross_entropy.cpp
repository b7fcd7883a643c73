// Cross-entropy: the loss of classification.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"

namespace {

class WeightedCrossEntropy final : public weft::CrossEntropy {
 public:
  explicit WeightedCrossEntropy(const weft::Context& context)
      : CrossEntropy(context.get<double>("label_smoothing"), context.get<double>("auxiliary_weight")),
        weight_(context.get<double>("cross_entropy_weight")) {}

  at::Tensor loss(const Terms& terms) const override {
    const at::Tensor loss = CrossEntropy::loss(terms);
    return weight_ == 1.0 ? loss : weight_ * loss;
  }

 private:
  double weight_;
};

}  // namespace

WEFT_PLUGIN(weft::component<WeightedCrossEntropy>("cross_entropy"))
