// my_plugin: grey images with one bright line in noise; class 0 if it lies, class 1 if it stands. Put the reading of
// your own files into make_split.
//
// SplitDataset holds the validation examples out of the training files, the same ones in every trial. The test split is
// made in the final phase only: a search never sees it.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

weft::Split make_split(std::int64_t examples, std::int64_t resolution, weft::Rng rng) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(rng());
  const at::Tensor labels = at::randint(0, 2, {examples}, generator, at::kLong);
  const at::Tensor place = at::randint(0, resolution, {examples, 1}, generator, at::kLong);
  const at::Tensor on_line = at::arange(resolution).eq(place);  // [examples, resolution]
  const at::Tensor line =
      at::where(labels.eq(0).view({-1, 1, 1}), on_line.unsqueeze(2), on_line.unsqueeze(1));  // [.., height, width]
  at::Tensor images = at::randn({examples, 1, resolution, resolution}, generator, at::kFloat).mul_(0.1).add_(0.3);
  images.add_(line.unsqueeze(1).to(at::kFloat), 0.3);
  return {images.mul_(255.0).round_().clamp_(0.0, 255.0).to(at::kByte), labels};
}

weft::DatasetFiles make_files(const weft::Context& context) {
  const auto resolution = context.get<std::int64_t>("resolution");
  weft::DatasetFiles files{
      2, make_split(context.get<std::int64_t>("train"), resolution, context.rng().derive("train")), {}};
  if (context.final_phase())
    files.test = make_split(context.get<std::int64_t>("test"), resolution, context.rng().derive("test"));
  return files;
}

class MyPlugin final : public weft::SplitDataset {
 public:
  explicit MyPlugin(const weft::Context& context) : SplitDataset(make_files(context), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
