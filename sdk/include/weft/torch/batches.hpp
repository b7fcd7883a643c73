// Batches: from a split, one uint8 tensor on the training device, to normalised floats in channels-last format.
//
// A training loop makes one Batches per split and one EpochBatches per epoch; an evaluation cuts its batches with
// `plain`. All of it is batched tensor code on the device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "weft/rng.hpp"
#include "weft/torch/augmentation.hpp"
#include "weft/torch/dataset.hpp"

namespace weft {

// Of pixels scaled to [0, 1], per channel.
struct Normalisation {
  std::vector<double> mean, standard_deviation;
};

// The standard ones of small images (He et al. 2016, section 4.2), cutout (DeVries & Taylor 2017), and others.
struct Augmentations {
  std::int64_t crop_padding = 0;  // pixels of black around the image, of which a window of its own size is cut; 0: off
  bool flip = false;              // left and right exchanged, with probability 1/2
  std::int64_t cutout = 0;        // side of a square of mean colour whose centre is any pixel; 0: off
  std::vector<std::shared_ptr<const Augmentation>> others = {};  // one after the other
};

class Batches {
 public:
  Batches(const Split& split, const Normalisation& normalisation, c10::Device device = c10::kCPU);

  std::int64_t examples() const { return labels_.size(0); }

  // Examples first .. first+count-1, as they are.
  Batch plain(std::int64_t first, std::int64_t count) const;

 private:
  friend class EpochBatches;
  at::Tensor normalised(const at::Tensor& pixels) const;

  at::Tensor pixels_;  // uint8, [examples, height, width, channels]
  at::Tensor labels_;
  at::Tensor scale_, shift_;  // [height x width x channels]: pixel * scale + shift is normalised
  at::Tensor mean_;           // uint8, [channels]: the colour that is normalised to 0
};

// An epoch: a permutation of the examples in pieces of `batch_size`, augmented. The last piece is smaller when the
// division leaves a rest; a rest of a single example is left out, as batch normalisation has no variance of one. Order
// and standard augmentation are drawn when it is made and go to the device together, so that no step waits for a copy.
class EpochBatches {
 public:
  // Draws from the streams "order" and "augmentation" of `rng`, and for each batch and augmentation from one of their
  // own; `batches` must live longer. `progress`: see Augmentation::during.
  EpochBatches(const Batches& batches, std::int64_t batch_size, const Augmentations& augmentation, const Rng& rng,
               double progress = 0.0);

  std::size_t size() const { return sizes_.size(); }
  Batch batch(std::size_t index) const;

 private:
  const Batches& batches_;
  std::int64_t batch_size_;
  Augmentations augmentation_;
  std::vector<const Augmentation*> others_;  // of this epoch
  Rng rng_;
  std::vector<std::int64_t> sizes_;  // of the batches
  at::Tensor drawn_;                 // int64, [what is drawn, examples], on the device
};

}  // namespace weft
