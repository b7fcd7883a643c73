// Channel shuffle: Zhang, Zhou, Lin, Sun 2018, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
// Mobile Devices", section 3.1. Of `groups` groups of channels the first of each, then the second of each, and so on:
// what reads them in groups reads of every group.

#include "weft/plugin.hpp"

namespace {

class ChannelShuffle final : public weft::Operation {
 public:
  explicit ChannelShuffle(const weft::Context&) {}

  Description describe() const override { return {.attributes = {{"groups", nullptr}}}; }

  Inferred infer(weft::Json& attributes, std::span<const weft::Shape> inputs) const override {
    const weft::Shape& input = inputs[0];
    if (!input.is_image()) throw weft::InvalidInput("channel_shuffle needs an image (channels x height x width)");
    const weft::Json& groups = attributes.at("groups");
    if (!groups.is_number_integer() || groups < 1 || input.channels % groups.get<std::int64_t>() != 0)
      throw weft::InvalidInput("groups must be a positive integer that divides " + std::to_string(input.channels) +
                               " channels, not " + groups.dump());
    return {.shape = input, .cost = {.activation_bytes = 4 * input.elements()}};
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<ChannelShuffle>("channel_shuffle"))
