// my_plugin: a straight line from the recipe's learning rate to a share of it.
//
// Warm-up is the recipe's own: a schedule is asked from its end on. The same moment, the same answer.

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Schedule {
 public:
  explicit MyPlugin(const weft::Context& context) : end_(context.get<double>("end")) {}

  double rate(double lr, const weft::Moment& at) const override { return lr * (1.0 - (1.0 - end_) * at.progress()); }

 private:
  double end_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
