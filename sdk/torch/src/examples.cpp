#include "weft/torch/examples.hpp"

#include "weft/torch/text.hpp"
#include "weft/torch/training.hpp"

namespace weft {
namespace {

class Images final : public Examples {
 public:
  Images(Network& network, const TrainingData& data, const Recipe& recipe, c10::Device device)
      : network_(network), recipe_(recipe), train_(data.train, data.normalisation, device) {
    if (data.validation.size() > 0) validation_.emplace(data.validation, data.normalisation, device);
  }

  std::size_t begin_epoch(const Rng& rng, double progress) override {
    epoch_.emplace(train_, recipe_.batch_size, recipe_.augmentation, rng, progress);
    return epoch_->size();
  }
  Batch batch(std::size_t index) override { return epoch_->batch(index); }
  std::optional<Score> validate() override {
    if (!validation_) return {};
    return evaluate(network_, *validation_, recipe_.batch_size);
  }

 private:
  Network& network_;
  const Recipe& recipe_;
  Batches train_;
  std::optional<Batches> validation_;
  std::optional<EpochBatches> epoch_;
};

class Text final : public Examples {
 public:
  Text(Network& network, const TextData& data, const Recipe& recipe, c10::Device device)
      : network_(network),
        data_(data),
        recipe_(recipe),
        device_(device),
        train_(data.train, recipe.batch_size, data.positions, device) {}

  std::size_t begin_epoch(const Rng&, double) override {
    network_.carry_state(true);
    return static_cast<std::size_t>(train_.size());
  }
  Batch batch(std::size_t index) override { return train_.batch(static_cast<std::int64_t>(index)); }
  double weight(const Batch& batch) const override {
    return data_.sum_over_positions ? static_cast<double>(batch.labels.size(1)) : 1.0;
  }
  std::optional<Score> validate() override {
    if (!data_.validation.defined() || data_.validation.numel() == 0) return {};
    return evaluate(network_, data_.validation, data_, device_, recipe_.batch_size);
  }

 private:
  Network& network_;
  const TextData& data_;
  const Recipe& recipe_;
  c10::Device device_;
  TextBatches train_;
};

}  // namespace

std::unique_ptr<Examples> examples(Network& network, const TrainingData& data, const Recipe& recipe,
                                   c10::Device device) {
  return std::make_unique<Images>(network, data, recipe, device);
}
std::unique_ptr<Examples> examples(Network& network, const TextData& data, const Recipe& recipe, c10::Device device) {
  return std::make_unique<Text>(network, data, recipe, device);
}

}  // namespace weft
