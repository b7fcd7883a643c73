// Sequential regression models: for each number tau of points that a curve may have, one regressor, which predicts the
// end from the points and their differences (TS), the architecture (AP) and the recipe (HP).
//
// Baker, Gupta, Raskar, Naik 2018, "Accelerating Neural Architecture Search using Performance Prediction": nu-support-
// vector regression with an RBF or a linear kernel, random forests, and least squares. Bayesian linear regression is
// what Wistuba, Rawat, Pedapati 2019 names besides. Hyperparameters come of a random search with cross-validation,
// whose ranges are NASLib's. sigma(tau) is the root mean square of the residuals on curves that a model had not seen.
//
// A model is trained when it is first asked for, and kept until the next fit. It learns from those curves that reached
// the horizon and have points at the same epochs. Inputs and targets are standardised, so that C means the same of
// accuracies in percent as of shares (in NASLib targets are not).
//
// The paper has sigma from leave-one-out residuals. Linear models have them in closed form; of the others, which would
// have to be trained as often as there are curves, they are an argument.

#include <libsvm/svm.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "encoding.hpp"
#include "features.hpp"
#include "forests.hpp"
#include "linear.hpp"
#include "options.hpp"
#include "regression.hpp"
#include "support_vectors.hpp"
#include "weft/curves/idle.hpp"
#include "weft/plugin.hpp"

namespace {

using namespace sequential_regression;

struct Model {
  Encoding encoding;
  std::unique_ptr<const Regressor> regressor;
  double deviation;  // sigma(tau)
};

class SequentialRegression final : public weft::Predictor {
 public:
  explicit SequentialRegression(const weft::Context& context)
      : options_(context),
        rng_(context.rng()),
        idle_cores_(weft::curves::idle_cores(context.study())),
        arena_(idle_cores_) {
    svm_set_print_string_function([](const char*) {});
  }

  void fit(std::span<const weft::LearningCurve> curves) override {
    models_.clear();
    known_.clear();
    for (const weft::LearningCurve& curve : curves) known_.emplace_back(curve);
  }

  std::optional<weft::Prediction> predict(const weft::LearningCurve& partial, int horizon, double threshold) override {
    const Curve curve(partial);
    const std::size_t points = curve.points_until(horizon);
    if (points == 0 || !curve.finite(points)) return {};
    if (const std::optional<double> end = curve.reward_at(horizon))
      return weft::Prediction::normal(*end, 0.0, threshold);
    const Model* const model = model_for(horizon, curve.epochs);
    if (model == nullptr) return {};
    const double mean = model->encoding.reward(model->regressor->predict(model->encoding.input(curve)));
    if (std::isnan(mean)) return {};
    return weft::Prediction::normal(mean, model->deviation, threshold);
  }

 private:
  const Model* model_for(int horizon, const std::vector<std::int32_t>& epochs) {
    const auto [at, asked_first] = models_.try_emplace({horizon, epochs});
    if (asked_first) at->second = train(horizon, epochs);
    return at->second.get();
  }

  // Nothing where too few curves serve, or their ends teach nothing.
  std::unique_ptr<const Model> train(int horizon, const std::vector<std::int32_t>& epochs) {
    const std::vector<const Curve*> curves = serving(horizon, epochs);
    if (curves.size() < options_.least_curves) return nullptr;
    const Encoding encoding(curves, horizon, epochs.size(), options_.margin);
    if (!encoding.useful()) return nullptr;
    const Samples samples = encoding.samples(curves);
    const weft::Rng rng = rng_.derive("horizon", static_cast<std::uint64_t>(horizon)).derive("points", epochs.size());
    Fitted fitted = fit_model(samples, rng);
    const double error = std::sqrt(fitted.residuals->squaredNorm() / static_cast<double>(samples.size()));
    if (!std::isfinite(error)) return nullptr;
    return std::make_unique<const Model>(Model{encoding, std::move(fitted.regressor), encoding.reward_width(error)});
  }

  // The last of those that reached the horizon by the same epochs.
  std::vector<const Curve*> serving(int horizon, const std::vector<std::int32_t>& epochs) const {
    std::vector<const Curve*> curves;
    for (const Curve& curve : known_) {
      if (!curve.begins_with(epochs) || !curve.finite(epochs.size())) continue;
      const std::optional<double> end = curve.reward_at(horizon);
      if (end && std::isfinite(*end)) curves.push_back(&curve);
    }
    if (curves.size() > options_.most_curves)
      curves.erase(curves.begin(), curves.end() - static_cast<std::ptrdiff_t>(options_.most_curves));
    return curves;
  }

  Fitted fit_model(const Samples& samples, const weft::Rng& rng) {
    if (options_.model == "least_squares")
      return fit_family([&](const Samples& some) { return LeastSquares(some, options_.least_squares); }, samples, rng);
    if (options_.model == "bayesian_ridge")
      return fit_family([&](const Samples& some) { return BayesianRidge(some, options_.bayesian_ridge); }, samples,
                        rng);
    if (options_.model == "random_forest") {
      return fit_family([&](const Samples& some) { return Forests(some, options_.forests, rng.derive("forest")); },
                        samples, rng);
    }
    return fit_family([&](const Samples& some) { return SupportVectors(some, options_.support_vectors); }, samples,
                      rng);
  }

  // `family` of some samples.
  template <typename Family>
  Fitted fit_family(const Family& family, const Samples& samples, const weft::Rng& rng) {
    const ForEach for_each = [this](std::size_t count, const std::function<void(std::size_t)>& visit) {
      in_parallel(count, visit);
    };
    const Samples some = samples.of(drawn_rows(samples.size(), options_.search_curves, rng.derive("search curves")));
    const auto best = random_search(family(some), some, random_folds(some.size(), options_.folds, rng.derive("folds")),
                                    options_.draws, rng.derive("search"), for_each);
    const auto chosen = family(samples);
    Fitted fitted = chosen.fit(best, for_each);
    if (options_.leave_one_out && !fitted.leave_one_out) {
      fitted.residuals = residuals(chosen, samples, leave_one_out(samples.size()), best, for_each);
    } else if (!fitted.residuals) {
      const Folds folds = random_folds(samples.size(), options_.residual_folds, rng.derive("residuals"));
      fitted.residuals = residuals(chosen, samples, folds, best, for_each);
    }
    return fitted;
  }

  void in_parallel(std::size_t count, const std::function<void(std::size_t)>& visit) {
    if (idle_cores_ == 1) return weft::learning::one_by_one(count, visit);
    arena_.execute([&] { tbb::parallel_for(std::size_t{0}, count, visit); });
  }

  Options options_;
  weft::Rng rng_;
  int idle_cores_;
  tbb::task_arena arena_;
  std::vector<Curve> known_;
  std::map<std::pair<int, std::vector<std::int32_t>>, std::unique_ptr<const Model>> models_;  // by horizon and epochs
};

}  // namespace

WEFT_PLUGIN(weft::component<SequentialRegression>("sequential_regression"))
