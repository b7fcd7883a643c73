// my_plugin: cross-entropy, each example times (1 - p)^focus, p being the probability of its class.
//
// A loss sees the network, the batch, and what the network answers. It returns a scalar with its graph.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"

namespace {

class MyPlugin final : public weft::Loss {
 public:
  explicit MyPlugin(const weft::Context& context) : focus_(context.get<double>("focus")) {}

  at::Tensor loss(const Terms& terms) const override {
    const at::Tensor of_all = at::log_softmax(terms.output.logits, -1);  // [examples, classes]
    const at::Tensor log_p = of_all.gather(-1, terms.batch.labels.unsqueeze(-1)).squeeze(-1);
    return -((1.0 - log_p.exp()).pow(focus_) * log_p).mean();
  }

 private:
  double focus_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
