// Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", Eq. 16.

#include <ATen/ATen.h>

#include <cmath>

#include "weft/plugin.hpp"
#include "weft/torch/initialisation.hpp"

namespace {

class Xavier final : public weft::Initialisation {
 public:
  explicit Xavier(const weft::Context& context)
      : normal_(context.get<std::string>("distribution") == "normal"), gain_(context.get<double>("gain")) {}

  void weight(at::Tensor& weight, Fan fan, const at::Generator& generator) const override {
    const double deviation = gain_ * std::sqrt(2.0 / static_cast<double>(fan.in + fan.out));
    const double bound = std::sqrt(3.0) * deviation;
    normal_ ? weight.normal_(0.0, deviation, generator) : weight.uniform_(-bound, bound, generator);
  }

 private:
  bool normal_;
  double gain_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Xavier>("xavier"))
