// Where a training's examples come from: images in a new order each epoch, augmented; a text read in its order.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "weft/rng.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"

namespace weft {

struct TrainingData {
  Split train;
  Split validation;  // may be empty: then the curve has no validation scores
  Normalisation normalisation;
};

// How a text is read where it is measured. As one stream, its state carried from the first token to the last, which is
// what perplexities are published for; or cut into up to 32 that are read side by side and each begin without a memory,
// which is faster.
enum class TextReading { stream, batched };

struct TextData {
  at::Tensor train;             // int64, [tokens]
  at::Tensor validation;        // may be empty: then the curve has no validation scores
  std::int64_t positions = 35;  // of a sequence, through which gradients go back
  // What a step descends: the mean of the losses of a sequence's positions or their sum, in either case the mean over
  // the streams. What is reported is always the mean.
  bool sum_over_positions = false;
  TextReading reading = TextReading::stream;
  std::int64_t least_streams = 1;  // of batched: for batch norms that normalise by the batch at hand, two
};

class Examples {
 public:
  virtual ~Examples() = default;
  // Draws order and augmentation from `rng`; returns the number of batches. `progress`: see Augmentation::during.
  virtual std::size_t begin_epoch(const Rng& rng, double progress) = 0;
  virtual Batch batch(std::size_t index) = 0;
  // What a step descends, times the mean over the answers of `batch`.
  virtual double weight(const Batch& /*batch*/) const { return 1.0; }
  // Of the network on the validation split; none where that is empty.
  virtual std::optional<Score> validate() = 0;
};

// All three are referred to, and must live longer.
std::unique_ptr<Examples> examples(Network& network, const TrainingData& data, const Recipe& recipe,
                                   c10::Device device);
std::unique_ptr<Examples> examples(Network& network, const TextData& data, const Recipe& recipe, c10::Device device);

}  // namespace weft
