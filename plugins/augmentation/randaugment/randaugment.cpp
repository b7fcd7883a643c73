// RandAugment: Cubuk, Zoph, Shlens and Le 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced
// Search Space". N operations in turn, each drawn evenly, all at magnitude M. What M means is torchvision's unless told
// otherwise; whatever enters from outside is of the data's mean colour, not black as there. The paper's M, of which 10
// is the end of AutoAugment's ranges and more goes beyond, is that of 11 bins and the magnitudes "paper".

#include <optional>
#include <string>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"
#include "weft/torch/image_operations.hpp"

namespace {

// None: Identity.
std::vector<std::optional<weft::ImageOperation>> operations_of(const std::vector<std::string>& names) {
  std::vector<std::optional<weft::ImageOperation>> operations;
  for (const std::string& name : names) {
    if (name == "Identity") {
      operations.emplace_back();
      continue;
    }
    try {
      operations.emplace_back(weft::image_operation(name));
    } catch (const weft::InvalidInput& error) {
      throw weft::InvalidInput("/operations/" + std::to_string(operations.size()) + ": " + error.what() +
                               ", and \"Identity\"");
    }
  }
  return operations;
}

class RandAugment final : public weft::Augmentation {
 public:
  explicit RandAugment(const weft::Context& context)
      : operations_(operations_of(context.get<std::vector<std::string>>("operations"))),
        count_(context.get<int>("count")),
        magnitude_(context.get<double>("magnitude")),
        bins_(context.get<std::int64_t>("bins")),
        magnitudes_(weft::magnitudes(context.get<std::string>("magnitudes"))) {
    const std::int64_t most = 10 * (bins_ - 1);  // the paper goes to 2.8 times the strongest of the ranges
    if (magnitude_ > static_cast<double>(most))
      throw weft::InvalidInput("/magnitude is " + context.configuration().at("magnitude").dump() +
                               "; must be from 0 to " + std::to_string(most) + ", ten times the strongest of /bins");
  }

  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng& rng) const override {
    for (int i = 0; i < count_; ++i) images = weft::changed(images, drawn(images, rng), mean, rng);
    return images;
  }

 private:
  std::vector<std::optional<weft::ImageChange>> drawn(const at::Tensor& images, weft::Rng& rng) const {
    std::vector<std::optional<weft::ImageChange>> changes(static_cast<std::size_t>(images.size(0)));
    for (auto& change : changes) {
      const auto operation = rng.choice(operations_);
      if (operation)
        change = weft::image_change(*operation, magnitudes_, magnitude_, bins_, images.size(1), images.size(2), rng);
    }
    return changes;
  }

  std::vector<std::optional<weft::ImageOperation>> operations_;
  int count_;
  double magnitude_;
  std::int64_t bins_;
  weft::Magnitudes magnitudes_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandAugment>("randaugment"))
