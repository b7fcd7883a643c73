// my_plugin: softsign, x / (1 + |x|), as an operation of architecture graphs.
//
// This is the rule: attributes, shapes and costs, without LibTorch. module/my_plugin.cpp computes it. Both are called as the
// operation is in a graph.

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Operation {
 public:
  explicit MyPlugin(const weft::Context&) {}

  Description describe() const override { return {.attributes = {{"scale", 1.0}}}; }

  Inferred infer(weft::Json& attributes, std::span<const weft::Shape> inputs) const override {
    weft::Json& scale = attributes.at("scale");
    if (!scale.is_number() || scale.get<double>() <= 0.0)
      throw weft::InvalidInput("scale must be a number above 0, not " + scale.dump());
    scale = scale.get<double>();  // equal operations are written equally: 1 is 1.0
    return {.shape = inputs[0], .cost = {.activation_bytes = 4 * inputs[0].elements()}};
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
