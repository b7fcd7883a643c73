// Left and right of a picture exchanged, as nearly every training on natural images has it.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

class Flip final : public weft::Augmentation {
 public:
  explicit Flip(const weft::Context& context) : probability_(context.get<double>("probability")) {}

  at::Tensor pixels(at::Tensor images, const at::Tensor&, weft::Rng& rng) const override {
    const at::Tensor mirrored = weft::uniform(rng, images.size(0), 0.0, 1.0, images.device()).lt(probability_);
    return weft::flip(images, mirrored.to(at::kLong));
  }

 private:
  double probability_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Flip>("flip"))
