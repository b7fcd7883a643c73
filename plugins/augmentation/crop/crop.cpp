// A window of the picture's own size out of the picture with black around it: He, Zhang, Ren and Sun 2016, "Deep
// Residual Learning for Image Recognition", section 4.2. Every window is equally likely.
//
// Fast AutoAugment's code pads with black, too; AutoAugment's, and PBA's by it, pads the normalised picture with 0,
// which is the mean colour.

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

class Crop final : public weft::Augmentation {
 public:
  explicit Crop(const weft::Context& context) : padding_(context.get<std::int64_t>("padding")) {}

  at::Tensor pixels(at::Tensor images, const at::Tensor&, weft::Rng& rng) const override {
    const std::int64_t examples = images.size(0), windows = 2 * padding_ + 1;
    const at::Tensor y = weft::integers(rng, examples, windows, images.device());
    const at::Tensor x = weft::integers(rng, examples, windows, images.device());
    return weft::crop(images, padding_, y, x);
  }

 private:
  std::int64_t padding_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Crop>("crop"))
