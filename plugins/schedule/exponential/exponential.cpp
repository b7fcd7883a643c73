// Exponential decay, as MnasNet and NASNet's ImageNet trainings have it (x 0.97 every 2.4 epochs: Tan et al. 2019,
// section 5; Zoph et al. 2018).

#include <cmath>

#include "weft/plugin.hpp"

namespace {

class Exponential final : public weft::Schedule {
 public:
  explicit Exponential(const weft::Context& context)
      : factor_(context.get<double>("factor")),
        every_(context.get<double>("every")),
        staircase_(context.get<bool>("staircase")) {}

  double rate(double lr, const weft::Moment& at) const override {
    const double times = (at.elapsed - at.warmup) / every_;
    return lr * std::pow(factor_, staircase_ ? std::floor(times) : times);
  }

 private:
  double factor_, every_;
  bool staircase_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Exponential>("exponential"))
