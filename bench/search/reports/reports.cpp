// An evaluator that does nothing but report, as a training does after each of its epochs.

#include "weft/plugin.hpp"

namespace {

class Reports final : public weft::Evaluator {
 public:
  explicit Reports(const weft::Context& context) : count_(context.get<int>("count")) {}

  weft::Evaluation evaluate(const weft::EvaluationRequest&, const weft::Reporter& reporter) override {
    for (int epoch = 1; epoch <= count_; ++epoch) {
      reporter.report({{"epoch", epoch}, {"train_loss", 1.0 / epoch}, {"validation_accuracy", 100.0 - 1.0 / epoch}});
    }
    return {weft::TrialState::complete, {{"validation_accuracy", 50.0}}};
  }

 private:
  int count_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Reports>("reports"))
