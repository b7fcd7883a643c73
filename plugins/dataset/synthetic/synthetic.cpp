// Images that are made, not read: for tests and demonstrations.
//
// An image is a product of two waves, one along each side, plus noise. The class decides the two frequencies; phases
// and contrast are drawn per image. So no pixel alone tells anything about the class (a linear classifier stays at
// chance), but convolutions learn it soon, and shifting or mirroring an image leaves its class as it is.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

struct Options {
  std::int64_t channels, resolution, classes;
  double noise;
  std::int64_t frequencies;  // that a class may have along one side: 1, 2, .. periods per image

  explicit Options(const weft::Context& context)
      : channels(context.get<std::int64_t>("channels")),
        resolution(context.get<std::int64_t>("resolution")),
        classes(context.get<std::int64_t>("classes")),
        noise(context.get<double>("noise")),
        frequencies(static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(classes))))) {
    // A wave needs more than two pixels per period to be seen.
    const std::int64_t visible = (resolution - 1) / 2;
    if (frequencies > visible) {
      throw weft::InvalidInput("/classes is " + std::to_string(classes) + "; images of /resolution " +
                               std::to_string(resolution) + " can show at most " + std::to_string(visible * visible) +
                               " classes. Raise the one or lower the other");
    }
  }
};

// cos(2 pi frequency x + phase) at each pixel x of a side: [examples, resolution].
at::Tensor wave(const at::Tensor& frequency, const at::Tensor& phase, std::int64_t resolution) {
  const at::Tensor position = at::arange(resolution, at::kFloat).div_(static_cast<double>(resolution));
  return at::cos(2.0 * std::numbers::pi * (frequency.unsqueeze(1) * position + phase.unsqueeze(1)));
}

weft::Split make_split(const Options& options, std::int64_t examples, const weft::Rng& stream) {
  weft::Rng rng = stream;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(rng());
  const auto uniform = [&](double low, double high) {
    return at::rand({examples}, generator, at::kFloat).mul_(high - low).add_(low);
  };
  const at::Tensor labels = at::randint(0, options.classes, {examples}, generator, at::kLong);
  const at::Tensor down = 1 + labels.div(options.frequencies, "floor"),
                   across = 1 + labels.remainder(options.frequencies);
  const at::Tensor rows = wave(down, uniform(0.0, 1.0), options.resolution);
  const at::Tensor columns = wave(across, uniform(0.0, 1.0), options.resolution);
  const at::Tensor contrast = uniform(0.2, 0.5).view({-1, 1, 1, 1});
  const at::Tensor pattern =
      (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1);  // [examples, 1, resolution, resolution]
  at::Tensor images =
      at::randn({examples, options.channels, options.resolution, options.resolution}, generator, at::kFloat);
  images.mul_(options.noise).add_(contrast * pattern).add_(0.5).mul_(255.0).round_().clamp_(0.0, 255.0);
  return {images.to(at::kByte), labels};
}

weft::DatasetFiles make_files(const weft::Context& context) {
  const Options options(context);
  weft::DatasetFiles made{
      options.classes, make_split(options, context.get<std::int64_t>("train"), context.rng().derive("train")), {}};
  if (context.final_phase())
    made.test = make_split(options, context.get<std::int64_t>("test"), context.rng().derive("test"));
  return made;
}

class Synthetic final : public weft::SplitDataset {
 public:
  explicit Synthetic(const weft::Context& context) : SplitDataset(make_files(context), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<Synthetic>("synthetic"))
