// Cutout: DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout". One square
// whose centre is any pixel, cut off at the border, becomes the mean of the data.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

class Cutout final : public weft::Augmentation {
 public:
  explicit Cutout(const weft::Context& context) : side_(context.get<std::int64_t>("side")) {}

  void normalised(weft::Batch& batch, weft::Rng& rng) const override {
    at::Tensor images = batch.images.permute({0, 2, 3, 1});  // as they lie in memory
    const at::Tensor y = weft::integers(rng, images.size(0), images.size(1), images.device());
    const at::Tensor x = weft::integers(rng, images.size(0), images.size(2), images.device());
    weft::cut_out(images, side_, y, x);
  }

 private:
  std::int64_t side_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Cutout>("cutout"))
