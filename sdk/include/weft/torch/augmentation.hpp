// An augmentation: how the examples of a step are changed at random, an ingredient of a recipe.
//
// A batch passes through all augmentations of the recipe, in its order, as pixels; then through the standard ones, crop
// and flip; then it is normalised, cutout hides a square of it, and it passes through all augmentations once more as
// normalised images. One overrides what it is about. All of it is batched tensor code on the device of the images; what
// is drawn comes of the Rng handed in, which is the batch's own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "weft/rng.hpp"
#include "weft/torch/ingredient.hpp"

namespace weft {

struct Batch {
  at::Tensor images;  // float, [examples, channels, height, width], channels last in memory
  at::Tensor labels;  // int64, [examples]
  // Where examples were mixed: the labels of what was mixed in, and which share of an example is its own, float in
  // [0, 1]; both [examples], or undefined.
  at::Tensor mixed_labels = {}, share = {};
};

class Augmentation {
 public:
  using IngredientKind = Augmentation;
  static constexpr const char* kind = "augmentation";
  static constexpr const char* interface_id = "weft.torch.augmentation/1";

  virtual ~Augmentation() = default;
  // `images` is uint8, [examples, height, width, channels], and no one else's; the result is of the same extents.
  // `mean` is the mean colour of the data, uint8, [channels], for what enters from outside.
  virtual at::Tensor pixels(at::Tensor images, const at::Tensor& mean, Rng& rng) const;
  // The batch's tensors may be overwritten.
  virtual void normalised(Batch& batch, Rng& rng) const;
  // What takes its place in an epoch that begins at this progress of the schedule, from 0 to 1; part of this object.
  virtual const Augmentation& during(double progress) const;
};

// `count` numbers drawn one after the other, each uniform in [low, high), on the device: float.
at::Tensor uniform(Rng& rng, std::int64_t count, double low, double high, c10::Device device);
// The same of integers 0 .. below-1: int64.
at::Tensor integers(Rng& rng, std::int64_t count, std::int64_t below, c10::Device device);

// What the standard augmentations are made of, each for all images of a batch at once.

// A window of the images' own size out of the images with so many pixels of black around them. `images` uint8,
// [n, height, width, channels]; `y`, `x` int64, [n], 0 .. 2 padding: the corner of each one's window.
at::Tensor crop(const at::Tensor& images, std::int64_t padding, const at::Tensor& y, const at::Tensor& x);
// Left and right exchanged where `mirrored`, int64, [n], is 1.
at::Tensor flip(const at::Tensor& images, const at::Tensor& mirrored);
// Sets to 0, in place, rows and columns centre - side/2 .. centre - side/2 + side-1 within the image. `images` float,
// [n, height, width, channels]; `y`, `x` int64, [n]: the centre.
void cut_out(at::Tensor& images, std::int64_t side, const at::Tensor& y, const at::Tensor& x);

}  // namespace weft
