// Batches: from a split, one uint8 tensor on the training device, to normalised floats in channels-last format.
//
// A training loop makes one Batches per split, per epoch asks epoch_batches() which examples each batch holds, and cuts
// the batches with `augmented`; an evaluation cuts them with `plain`. All of it is batched tensor code on the device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "weft/rng.hpp"
#include "weft/torch/dataset.hpp"

namespace weft {

// Of pixels scaled to [0, 1], per channel.
struct Normalisation {
  std::vector<double> mean, standard_deviation;
};

// Standard augmentation of small images (He et al. 2016, section 4.2), and cutout (DeVries & Taylor 2017).
struct Augmentation {
  std::int64_t crop_padding = 0;  // pixels of black around the image, of which a window of its own size is cut; 0: off
  bool flip = false;              // left and right exchanged, with probability 1/2
  std::int64_t cutout = 0;        // side of a square of mean colour whose centre is any pixel; 0: off
};

struct Batch {
  at::Tensor images;  // float, [examples, channels, height, width], channels last in memory
  at::Tensor labels;  // int64, [examples]
};

class Batches {
 public:
  Batches(const Split& split, const Normalisation& normalisation, c10::Device device = c10::kCPU);

  std::int64_t examples() const { return labels_.size(0); }

  // Examples first .. first+count-1, as they are.
  Batch plain(std::int64_t first, std::int64_t count) const;
  // The examples of `index` (int64, on the CPU), augmented. Draws from `rng` in the order crop, flip, cutout.
  Batch augmented(const at::Tensor& index, const Augmentation& augmentation, Rng& rng) const;

 private:
  at::Tensor normalised(const at::Tensor& pixels) const;

  at::Tensor pixels_;  // uint8, [examples, height, width, channels]
  at::Tensor labels_;
  at::Tensor scale_, shift_;  // [height x width x channels]: pixel * scale + shift is normalised
};

// Which examples each batch of an epoch holds: a permutation in pieces of `batch_size`. The last is smaller when the
// division leaves a rest; a rest of a single example is left out, as batch normalisation has no variance of one.
std::vector<at::Tensor> epoch_batches(std::int64_t examples, std::int64_t batch_size, Rng rng);

}  // namespace weft
