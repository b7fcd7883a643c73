// my_plugin: one row of a picture becomes the data's mean colour.
//
// pixels() is about pictures as they are stored, normalised() about what the network sees; override what you need. Work on
// the whole batch at once, on its own device, and draw everything from the Rng handed in.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

class MyPlugin final : public weft::Augmentation {
 public:
  explicit MyPlugin(const weft::Context& context) : probability_(context.get<double>("probability")) {}

  // uint8, [examples, height, width, channels].
  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng& rng) const override {
    const std::int64_t examples = images.size(0), height = images.size(1);
    const at::Tensor row = weft::integers(rng, examples, height, images.device());
    const at::Tensor hides = weft::uniform(rng, examples, 0.0, 1.0, images.device()).lt(probability_);
    const at::Tensor hidden = at::arange(height, row.options()).unsqueeze(0).eq(row.unsqueeze(1));  // [examples, height]
    return at::where(hidden.logical_and_(hides.unsqueeze(1)).view({examples, height, 1, 1}), mean, images);
  }

 private:
  double probability_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
