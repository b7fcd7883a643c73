// my_plugin: guesses how accurate an architecture is from its multiply-adds alone. Put your own measurement here.
//
// An evaluation returns metrics, numbers by name; the manifest's `provides` lists them as "metric.<name>". This one
// costs microseconds and runs in the host, which "evaluator.inline" says. One that takes longer leaves this out, runs
// in worker processes, and reports after every epoch by `reporter`, whose answer says whether to go on.

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Evaluator {
 public:
  explicit MyPlugin(const weft::Context& context) : space_(context.space()), half_(context.get<double>("half")) {}

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter&) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    const auto multiply_adds = static_cast<double>(candidate.architecture.cost().multiply_adds);
    return {.metrics = {{"validation_accuracy", multiply_adds / (multiply_adds + half_)}}};
  }

 private:
  weft::SpaceRef space_;
  double half_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
