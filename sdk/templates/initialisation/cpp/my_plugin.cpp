// my_plugin: weights are drawn from a normal distribution, biases are zero.
//
// It is asked for convolutions and linear layers, on the CPU; draw from the generator handed in.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/initialisation.hpp"

namespace {

class MyPlugin final : public weft::Initialisation {
 public:
  explicit MyPlugin(const weft::Context& context) : deviation_(context.get<double>("deviation")) {}

  void weight(at::Tensor& weight, Fan, const at::Generator& generator) const override {
    weight.normal_(0.0, deviation_, generator);
  }

 private:
  double deviation_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
