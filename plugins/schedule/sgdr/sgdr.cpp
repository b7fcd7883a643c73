// Warm restarts: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", Eq. 5. Periods are
// counted from the end of warm-up. Networks are compared where one ends: of T_0 = 10 and T_mult = 2 after 10, 30, 70,
// 150 epochs.

#include "weft/plugin.hpp"

namespace {

class Sgdr final : public weft::Schedule {
 public:
  explicit Sgdr(const weft::Context& context)
      : least_(context.get<double>("lr_min")),
        first_(context.get<int>("restart_epochs")),
        factor_(context.get<int>("restart_factor")) {}

  double rate(double lr, const weft::Moment& at) const override {
    double within = at.elapsed - at.warmup, period = first_;
    for (; within >= period; period *= factor_) within -= period;
    return weft::Cosine::annealed(lr, least_, within / period);
  }

 private:
  double least_;
  int first_, factor_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Sgdr>("sgdr"))
