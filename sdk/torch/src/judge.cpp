#include "weft/torch/judge.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"

namespace weft {
namespace {

Normalisation normalisation_of(const Dataset& data) { return {data.mean(), data.standard_deviation()}; }

void expect_some(std::int64_t examples) {
  if (examples > 0) return;
  throw InvalidInput(
      "the data set has no validation examples, by which architectures are judged; give it some (its argument "
      "validation, or held_out of a text)");
}

Judge judge_of(const Context& context, c10::Device device) {
  if (find_text_dataset(context) != nullptr) return {context, validation_tokens(context), device};
  return {context, validation_examples(context), device};
}

}  // namespace

Split validation_examples(const Context& context) {
  const Split& all = dataset(context).validation();
  const auto count = context.get<std::int64_t>("validation_examples");
  return count > 0 ? first_examples(all, std::min(count, all.size())) : all;
}

at::Tensor validation_tokens(const Context& context) {
  const at::Tensor& all = text_dataset(context).validation();
  const auto count = context.get<std::int64_t>("validation_examples");
  return count > 0 ? all.narrow(0, 0, std::min(count, all.numel())) : all;
}

std::int64_t validation_streams(const at::Tensor& tokens, std::int64_t positions, std::int64_t batch_size) {
  return std::max<std::int64_t>(2, std::min(batch_size, tokens.numel() / (2 * positions)));
}

Judge::Judge(const Context& context, const Split& validation, c10::Device device)
    : batch_size_(context.get<std::int64_t>("batch_size")),
      calibration_batches_(context.get<std::int64_t>("calibration_batches")) {
  expect_some(validation.size());
  const Dataset& data = dataset(context);
  calibration_.emplace(data.train(), normalisation_of(data), device);
  validation_.emplace(validation, normalisation_of(data), device);
}

Judge::Judge(const Context& context, const at::Tensor& validation, c10::Device device)
    : batch_size_(context.get<std::int64_t>("batch_size")),
      calibration_batches_(context.get<std::int64_t>("calibration_batches")) {
  expect_some(validation.numel());
  const TextDataset& text = text_dataset(context);
  const std::int64_t positions = text.task().input.height;
  text_.emplace(validation, validation_streams(validation, positions, batch_size_), positions, device);
}

Judge::Judge(const Context& context, c10::Device device) : Judge(judge_of(context, device)) {}

Score Judge::score(Network& network, const SupernetPath& path) const {
  network.eval();
  network.choose(gates_of(path));
  if (calibration_ && calibration_batches_ > 0) {
    network.set_statistics(Statistics::measured);
    calibrate(network);
    network.set_statistics(Statistics::running);
  } else {
    network.set_statistics(Statistics::batch);
  }
  const Score score = text_ ? evaluate(network, *text_) : evaluate(network, *validation_, batch_size_);
  network.set_statistics(Statistics::running);
  return score;
}

void Judge::calibrate(Network& network) const {
  const c10::InferenceMode inference;
  for (std::int64_t i = 0; i < calibration_batches_; ++i) {
    const std::int64_t first = i * batch_size_, left = calibration_->examples() - first;
    if (left < 2) break;
    network.forward(calibration_->plain(first, std::min(left, batch_size_)).images);
  }
}

}  // namespace weft
