// my_plugin: a training stops once it is far below where the best finished one was after as many epochs.
//
// What a stopper knows comes from observe() and end(), which a resumed study plays to it again; judge() answers from
// it.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "weft/plugin.hpp"

namespace {

class MyPlugin final : public weft::Stopper {
 public:
  explicit MyPlugin(const weft::Context& context)
      : grace_(context.get<int>("grace")), margin_(context.get<double>("margin")) {}

  void end(const weft::LearningCurve& curve, weft::TrialState, std::optional<double> reward) override {
    if (!reward || *reward <= best_) return;
    best_ = *reward;
    of_best_ = curve;
  }

  weft::Judgement judge(const weft::LearningCurve& curve) override {
    if (curve.empty() || curve.epochs.back() <= grace_) return {};
    const auto same = std::find(of_best_.epochs.begin(), of_best_.epochs.end(), curve.epochs.back());
    if (same == of_best_.epochs.end()) return {};
    const double then = of_best_.rewards[static_cast<std::size_t>(same - of_best_.epochs.begin())];
    if (curve.rewards.back() >= then - margin_) return {};
    return weft::Judgement::stop(std::to_string(curve.rewards.back()) + " after " + std::to_string(*same) +
                                 " epochs, where the best had " + std::to_string(then));
  }

 private:
  int grace_;
  double margin_;
  double best_ = -std::numeric_limits<double>::infinity();
  weft::LearningCurve of_best_;
};

}  // namespace

WEFT_PLUGIN(weft::component<MyPlugin>("my_plugin"))
