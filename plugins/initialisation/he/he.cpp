// He et al. 2015, "Delving Deep into Rectifiers", Eq. 10 (forward) and 14 (backward).

#include <ATen/ATen.h>

#include <cmath>

#include "weft/plugin.hpp"
#include "weft/torch/initialisation.hpp"

namespace {

class He final : public weft::Initialisation {
 public:
  explicit He(const weft::Context& context)
      : normal_(context.get<std::string>("distribution") == "normal"),
        forward_(context.get<std::string>("fan") == "in") {}

  void weight(at::Tensor& weight, Fan fan, const at::Generator& generator) const override {
    const double deviation = std::sqrt(2.0 / static_cast<double>(forward_ ? fan.in : fan.out));
    const double bound = std::sqrt(3.0) * deviation;
    normal_ ? weight.normal_(0.0, deviation, generator) : weight.uniform_(-bound, bound, generator);
  }

 private:
  bool normal_, forward_;
};

}  // namespace

WEFT_PLUGIN(weft::component<He>("he"))
