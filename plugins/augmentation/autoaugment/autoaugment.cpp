// A policy of image operations: Cubuk, Zoph, Mane, Vasudevan and Le 2019, "AutoAugment: Learning Augmentation Policies
// from Data". Each image of a batch goes through one sub-policy, drawn evenly: its operations in turn, each with its
// own probability and at its own magnitude.
//
// As in the authors' code, but that what enters from outside takes part in the operations that follow as the mean
// colour.

#include <utility>

#include "policy.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

class AutoAugment final : public weft::Augmentation {
 public:
  explicit AutoAugment(const weft::Context& context)
      : policy_(weft::policy_of(context.configuration().at("policy"))),
        magnitudes_(weft::magnitudes(context.get<std::string>("magnitudes"))) {}

  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng& rng) const override {
    const auto count = static_cast<std::size_t>(images.size(0));
    for (const auto& step : weft::drawn(policy_, magnitudes_, count, images.size(1), images.size(2), rng))
      images = weft::changed(images, step, mean, rng);
    return images;
  }

 private:
  weft::Policy policy_;
  weft::Magnitudes magnitudes_;
};

}  // namespace

WEFT_PLUGIN(weft::component<AutoAugment>("autoaugment"))
