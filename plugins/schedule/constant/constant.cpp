// No schedule at all.

#include "weft/plugin.hpp"

namespace {

class Constant final : public weft::Schedule {
 public:
  explicit Constant(const weft::Context&) {}
  double rate(double lr, const weft::Moment&) const override { return lr; }
};

}  // namespace

WEFT_PLUGIN(weft::component<Constant>("constant"))
