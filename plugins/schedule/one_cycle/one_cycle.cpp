// One cycle: Smith and Topin 2019, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
// Rates". Defaults are PyTorch's (OneCycleLR).

#include <algorithm>
#include <cmath>
#include <numbers>

#include "weft/plugin.hpp"

namespace {

class OneCycle final : public weft::Schedule {
 public:
  explicit OneCycle(const weft::Context& context)
      : rise_(context.get<double>("rise")),
        start_factor_(context.get<double>("start_factor")),
        end_factor_(context.get<double>("end_factor")),
        three_phases_(context.get<bool>("three_phases")),
        linear_(context.get<std::string>("shape") == "linear"),
        momentum_(context.get<std::array<double, 2>>("momentum_range")),
        cycles_momentum_(context.get<bool>("cycle_momentum")) {
    if (momentum_[0] > momentum_[1])
      throw weft::InvalidInput("/momentum_range is " + context.configuration().at("momentum_range").dump() +
                               "; the first must not exceed the second");
    if (three_phases_ && rise_ >= 0.5)
      throw weft::InvalidInput("/rise is " + weft::Json(rise_).dump() +
                               "; must be below 0.5 with three_phases: it falls in as long as it rose");
  }

  double rate(double lr, const weft::Moment& at) const override {
    const double first = lr / start_factor_, last = first / end_factor_;
    return three_phases_ ? along(at.progress(), first, lr, first, last) : along(at.progress(), first, lr, last, last);
  }

  std::optional<double> momentum(const weft::Moment& at) const override {
    if (!cycles_momentum_) return {};
    return along(at.progress(), momentum_[1], momentum_[0], momentum_[1], momentum_[1]);
  }

 private:
  // From `first` up to `top`, down to `back`, and on to `last` where there is a third phase.
  double along(double t, double first, double top, double back, double last) const {
    const double down = three_phases_ ? 2.0 * rise_ : 1.0;
    if (t < rise_) return between(first, top, t / rise_);
    if (t < down) return between(top, back, (t - rise_) / (down - rise_));
    return down < 1.0 ? between(back, last, (t - down) / (1.0 - down)) : last;
  }

  double between(double from, double to, double t) const {
    return linear_ ? from + (to - from) * t : weft::Cosine::annealed(from, to, t);
  }

  double rise_, start_factor_, end_factor_;
  bool three_phases_, linear_;
  std::array<double, 2> momentum_;
  bool cycles_momentum_;
};

}  // namespace

WEFT_PLUGIN(weft::component<OneCycle>("one_cycle"))
