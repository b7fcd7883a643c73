// AutoAugment's sixteen operations on images (Cubuk et al. 2019, "AutoAugment: Learning Augmentation Policies from
// Data", Table 6), of which augmentations such as policies are made.
//
// A plugin draws for every image of a batch which operation it gets and how strong, then has all of them applied at
// once. The arithmetic is Pillow's on bytes, the same to the bit on every device. AutoContrast alone divides whole
// numbers, where Pillow's table of doubles is sometimes one less: 25 of 0 .. 25 becomes 255, there 254.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weft/rng.hpp"

namespace weft {

// In the order of the paper's table. Those that move pixels come first.
enum class ImageOperation {
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  auto_contrast,
  invert,
  equalize,
  solarize,
  posterize,
  contrast,
  color,
  brightness,
  sharpness,
  cutout,
  sample_pairing
};
inline constexpr std::size_t image_operation_count = 16;
// As the paper writes them: "ShearX", "AutoContrast", "SamplePairing".
const std::array<std::string, image_operation_count>& image_operation_names();
// Throws InvalidInput that lists the names.
ImageOperation image_operation(std::string_view name);

// What one image gets. The magnitude is, of
//   ShearX, ShearY            pixels along the axis per pixel across it, around the upper left corner
//   TranslateX, TranslateY    pixels to the left, upwards
//   Rotate                    degrees against the clock, around the centre
//   Solarize                  the least value that is inverted
//   Posterize                 bits that are kept
//   Contrast, Color, Brightness, Sharpness
//                             v of degenerate + v (image - degenerate): 1 changes nothing. Degenerate is the mean grey;
//                             each pixel's grey; black; the image smoothed
//   Cutout                    side of the square in pixels
//   SamplePairing             share of another image of the batch
// and of AutoContrast, Invert and Equalize nothing.
struct ImageChange {
  ImageOperation operation;
  double magnitude = 0.0;
};

// What a level, 0 .. levels-1, means.
enum class Magnitudes {
  aa,     // tensorflow/models research/autoaugment, what CIFAR results are of: levels are counted in parts of `levels`
  tv,     // torchvision: from the weakest to the strongest in even steps, and Contrast and its like with a random sign
  paper,  // the ranges of the paper's table, in even steps from the weakest to the strongest
  // kakaobrain/fast-autoaugment: in even steps from one end of a range to the other. What moves pixels goes from -most
  // to most, nothing in the middle; Solarize and Posterize change least at the highest level.
  faa
};
// By its name, "aa", "tv", "paper" or "faa"; throws InvalidInput.
Magnitudes magnitudes(std::string_view name);

// For images of this height and width. The sign is not drawn: that is image_change()'s. Levels above levels-1 are still
// stronger, as in RandAugment: ranges go on in a straight line, but 0 bits are the fewest.
double magnitude(ImageOperation operation, Magnitudes map, double level, std::int64_t levels, std::int64_t height,
                 std::int64_t width);
// That magnitude, turned around with probability 1/2 where the map has it so.
ImageChange image_change(ImageOperation operation, Magnitudes map, double level, std::int64_t levels,
                         std::int64_t height, std::int64_t width, Rng& rng);

// `images` uint8, [n, height, width, channels], is left as it is; `changes` one for each, none where it stays as it is.
// `mean`, uint8, [channels], is what enters from outside and what Cutout hides with. Color is about three channels:
// others have none. Centres of squares and images to be paired with are drawn from `rng`.
at::Tensor changed(const at::Tensor& images, const std::vector<std::optional<ImageChange>>& changes,
                   const at::Tensor& mean, Rng& rng);

// For each of `count` images another one, at random; of a single one itself. int64, [count], on the device.
at::Tensor partners(Rng& rng, std::int64_t count, c10::Device device);

}  // namespace weft
