#include "weft/torch/splits.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace weft {

namespace {

std::vector<std::int64_t> permutation(std::int64_t count, Rng rng) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  return order;
}

Split channels_last(const Split& split) {
  return {split.images.contiguous(at::MemoryFormat::ChannelsLast), split.labels.contiguous()};
}

// `split` in channels last; so is the result.
Split pick(const Split& split, std::span<std::int64_t> examples) {
  const at::Tensor index = at::from_blob(examples.data(), {static_cast<std::int64_t>(examples.size())}, at::kLong);
  const at::Tensor images = split.images.permute({0, 2, 3, 1}).index_select(0, index).permute({0, 3, 1, 2});
  return {images, split.labels.index_select(0, index)};
}

// Sums over all pixels of a channel, exact in integers.
void channel_statistics(const at::Tensor& images, std::vector<double>& mean, std::vector<double>& deviation) {
  const at::Tensor pixels = images.permute({0, 2, 3, 1}).contiguous();
  const std::int64_t channels = pixels.size(3), count = pixels.numel() / channels;
  std::vector<std::uint64_t> sum(channels), squares(channels);
  const std::uint8_t* pixel = pixels.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < channels; ++c, ++pixel) {
      sum[c] += *pixel;
      squares[c] += std::uint64_t{*pixel} * *pixel;
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const double average = static_cast<double>(sum[c]) / static_cast<double>(count);
    const double variance = static_cast<double>(squares[c]) / static_cast<double>(count) - average * average;
    mean.push_back(average / 255.0);
    // A channel that never varies is only shifted.
    deviation.push_back(variance > 0.0 ? std::sqrt(variance) / 255.0 : 1.0);
  }
}

}  // namespace

SplitDataset::SplitDataset(DatasetFiles files, const Context& context)
    : test_(std::move(files.test)), final_phase_(context.final_phase()) {
  const Split all = channels_last(files.training);
  if (test_) test_ = channels_last(*test_);
  const std::int64_t validation = context.get<std::int64_t>("validation");
  if (validation >= all.size()) {
    throw InvalidInput("/validation is " + std::to_string(validation) +
                       "; must be smaller than the number of training examples, " + std::to_string(all.size()) +
                       ", which it is held out of");
  }
  task_ = {Shape::image(all.images.size(1), all.images.size(2), all.images.size(3)), files.classes};
  if (test_ && test_->images.sizes().slice(1) != all.images.sizes().slice(1)) {
    throw InvalidInput("the test images are " +
                       Shape::image(test_->images.size(1), test_->images.size(2), test_->images.size(3)).to_string() +
                       ", the training images " + task_.input.to_string() + "; both must have one size");
  }
  std::vector<std::int64_t> order = permutation(all.size(), context.rng().derive("splits"));
  const std::span<std::int64_t> examples(order);
  validation_ = pick(all, examples.first(static_cast<std::size_t>(validation)));
  std::span<std::int64_t> rest = examples.subspan(static_cast<std::size_t>(validation));
  const std::size_t limit = context.configuration().value("train_limit", std::size_t{0});
  if (limit > 0) rest = rest.first(std::min(limit, rest.size()));
  train_ = pick(all, rest);
  channel_statistics(train_.images, mean_, standard_deviation_);
}

const Split& SplitDataset::test() const {
  if (!final_phase_) throw Error("the test split is not available in a search; it is for the final evaluation alone");
  if (!test_) throw Error("this data set has no test split");
  return *test_;
}

Split first_examples(const Split& split, std::int64_t count) {
  return {split.images.narrow(0, 0, count), split.labels.narrow(0, 0, count)};
}

Split join(const Split& first, const Split& second) {
  return {at::cat({first.images, second.images}), at::cat({first.labels, second.labels})};
}

void check_labels(const at::Tensor& labels, std::int64_t classes, const std::string& place) {
  const at::Tensor contiguous = labels.contiguous();
  const std::span<const std::int64_t> all(contiguous.data_ptr<std::int64_t>(),
                                          static_cast<std::size_t>(contiguous.numel()));
  const auto wrong =
      std::find_if(all.begin(), all.end(), [&](std::int64_t label) { return label < 0 || label >= classes; });
  if (wrong == all.end()) return;
  throw InvalidInput(place + ": example " + std::to_string(wrong - all.begin()) + " has label " +
                     std::to_string(*wrong) + "; labels must be 0 to " + std::to_string(classes - 1) + " for " +
                     std::to_string(classes) + " classes. Set `classes` to the number of classes in the files");
}

}  // namespace weft
