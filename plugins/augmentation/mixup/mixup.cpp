// mixup: Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: Beyond Empirical Risk Minimization". An example becomes
// lambda x_i + (1 - lambda) x_j, j by a permutation of the batch, and so does its loss; lambda of Beta(alpha, alpha),
// one for the batch, as in the authors' code, unless each example is to have its own.

#include <ATen/ATen.h>

#include <numeric>
#include <vector>

#include "beta.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"

namespace {

at::Tensor permutation(weft::Rng& rng, std::int64_t count, c10::Device device) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  return at::tensor(order, at::kLong).to(device);
}

class Mixup final : public weft::Augmentation {
 public:
  explicit Mixup(const weft::Context& context)
      : alpha_(context.get<double>("alpha")), per_example_(context.get<bool>("per_example")) {}

  void normalised(weft::Batch& batch, weft::Rng& rng) const override {
    if (batch.share.defined())
      throw weft::InvalidInput(
          "/augmentation mixes examples twice; an example has two labels at most: list mixup once");
    const std::int64_t examples = batch.images.size(0);
    const at::Tensor images = batch.images.permute({0, 2, 3, 1});  // as they lie in memory
    const at::Tensor other = permutation(rng, examples, images.device());
    batch.share = shares(rng, examples).to(images.device());
    batch.mixed_labels = batch.labels.index_select(0, other);
    const at::Tensor share = batch.share.unsqueeze(1), values = images.flatten(1);
    const at::Tensor mixed_in = values.index_select(0, other).mul_(1.0 - share);
    batch.images = values.mul(share).add_(mixed_in).view(images.sizes()).permute({0, 3, 1, 2});
  }

 private:
  at::Tensor shares(weft::Rng& rng, std::int64_t examples) const {
    if (!per_example_) return at::full({examples}, weft::symmetric_beta(rng, alpha_), at::kFloat);
    at::Tensor shares = at::empty({examples}, at::kFloat);
    float* const values = shares.data_ptr<float>();
    for (std::int64_t i = 0; i < examples; ++i) values[i] = static_cast<float>(weft::symmetric_beta(rng, alpha_));
    return shares;
  }

  double alpha_;
  bool per_example_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Mixup>("mixup"))
