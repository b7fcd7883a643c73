// PyTorch's default of convolutions and linear layers: He et al. 2015 with a = sqrt(5), uniform within 1/sqrt(fan in).

#include <ATen/ATen.h>

#include <cmath>

#include "weft/plugin.hpp"
#include "weft/torch/initialisation.hpp"

namespace {

class PyTorch final : public weft::Initialisation {
 public:
  explicit PyTorch(const weft::Context&) {}
  void weight(at::Tensor& weight, Fan fan, const at::Generator& generator) const override {
    fill(weight, fan, generator);
  }
  void bias(at::Tensor& bias, Fan fan, const at::Generator& generator) const override { fill(bias, fan, generator); }

 private:
  static void fill(at::Tensor& values, Fan fan, const at::Generator& generator) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan.in));
    values.uniform_(-bound, bound, generator);
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<PyTorch>("pytorch"))
