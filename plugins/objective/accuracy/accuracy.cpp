// A metric of the evaluation, to be maximised: the validation accuracy unless said otherwise.

#include "weft/plugin.hpp"

namespace {

class Accuracy final : public weft::Objective {
 public:
  explicit Accuracy(const weft::Context& context) : metric_(context.get<std::string>("metric")) {}

  weft::Direction direction() const override { return weft::Direction::maximize; }
  double after(const weft::Json& metrics) const override {
    const auto found = metrics.find(metric_);
    if (found == metrics.end() || !found->is_number()) {
      throw weft::Error("the evaluation has no number \"" + metric_ + "\"; its metrics are " + metrics.dump() +
                        ". Name one of them with /metric; one to be minimised is for the objective perplexity");
    }
    const double value = *found;
    // A loss under this name would have the worst network win.
    if (metric_ == "validation_accuracy" && !(value >= 0.0 && value <= 100.0)) {
      throw weft::Error(
          "\"validation_accuracy\" is " + found->dump() +
          "; an accuracy is from 0 to 100. Report another quantity under a name of its own, which /metric "
          "then names; one to be minimised is for the objective perplexity");
    }
    return value;
  }
  std::optional<std::pair<double, double>> range() const override {
    if (!metric_.ends_with("accuracy")) return {};
    return std::pair(0.0, 100.0);
  }

 private:
  std::string metric_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Accuracy>("accuracy"))
