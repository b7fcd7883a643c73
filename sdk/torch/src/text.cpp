#include "weft/torch/text.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace weft {

TextBatches::TextBatches(const at::Tensor& tokens, std::int64_t streams, std::int64_t positions, c10::Device device)
    : positions_(positions) {
  const std::int64_t length = (tokens.numel() - 1) / streams;
  if (length < 1) {
    throw InvalidInput("a text of " + std::to_string(tokens.numel()) + " tokens cannot be cut into " +
                       std::to_string(streams) + " streams; it needs at least " + std::to_string(streams + 1));
  }
  const auto part = [&](std::int64_t first) {
    return tokens.narrow(0, first, streams * length).view({streams, length}).to(device);
  };
  inputs_ = part(0);
  labels_ = part(1);
}

Batch TextBatches::batch(std::int64_t index) const {
  const std::int64_t first = index * positions_, count = std::min(positions_, inputs_.size(1) - first);
  return {inputs_.narrow(1, first, count).unsqueeze(2), labels_.narrow(1, first, count)};
}

}  // namespace weft
