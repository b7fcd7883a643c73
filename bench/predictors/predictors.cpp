// How well predictors say where learning curves end, and what an answer costs: see run beside this.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drawn_curves.hpp"
#include "weft/predictor.hpp"
#include "weft/testing/curves.hpp"
#include "weft/testing/library.hpp"

namespace {

using namespace weft;
using testing::Instance;
using testing::Plugin;

const Json study = {{"objectives", {{{"name", "accuracy"}, {"direction", "maximize"}, {"range", {0.0, 100.0}}}}},
                    {"slots", 1}};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    for (std::size_t k = i; k < end; ++k) ranks[order[k]] = 0.5 * static_cast<double>(i + end - 1);
    i = end;
  }
  return ranks;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double mx = mean(x), my = mean(y);
  double xy = 0.0, xx = 0.0, yy = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xy / std::sqrt(xx * yy);
}

// Of predictions of ends: 1 - SSE / SST.
double determination(const std::vector<double>& ends, const std::vector<double>& predicted) {
  double error = 0.0, total = 0.0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    error += (ends[i] - predicted[i]) * (ends[i] - predicted[i]);
    total += (ends[i] - mean(ends)) * (ends[i] - mean(ends));
  }
  return 1.0 - error / total;
}

std::vector<LearningCurve> read_curves(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<LearningCurve> curves;
  for (const Json& row : Json::parse(stream)) {
    LearningCurve curve{.trial = static_cast<TrialId>(curves.size()),
                        .rewards = row.at("accuracy").get<std::vector<double>>()};
    for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(static_cast<std::int32_t>(i + 1));
    curve.horizon = static_cast<int>(curve.size());
    curve.features = {
        {"parameters", row.at("parameters")}, {"layers", row.value("layers", 0)}, {"recipe", Json::object()}};
    curves.push_back(std::move(curve));
  }
  return curves;
}

struct Contestant {
  std::string title, name;
  Json args = Json::object();
};

void judge(const std::filesystem::path& plugins, const Contestant& contestant, const std::vector<LearningCurve>& fitted,
           const std::vector<LearningCurve>& judged) {
  const Instance instance(Plugin::open(plugins / "predictor" / contestant.name / "manifest.json"), contestant.args,
                          {.study = study});
  PredictorRef predictor(instance.handle());
  double began = seconds();
  predictor.fit(fitted);
  fmt::print("{:<34}", contestant.title);
  for (const int percent : {10, 25, 50}) {
    std::vector<double> ends, predicted, last;
    int inside = 0, unanswered = 0;
    for (const LearningCurve& curve : judged) {
      const LearningCurve partial = testing::shortened(curve, curve.size() * static_cast<std::size_t>(percent) / 100);
      const auto prediction = predictor.predict(partial, curve.horizon, 0.0);
      ends.push_back(curve.rewards.back());
      predicted.push_back(prediction ? prediction->mean : partial.rewards.back());
      if (!prediction) ++unanswered;
      if (prediction && std::abs(ends.back() - prediction->mean) <= 1.2816 * prediction->deviation) ++inside;
    }
    const int answered = static_cast<int>(judged.size()) - unanswered;
    fmt::print("  {:>6.3f} {:>6.3f} {:>4}{}", determination(ends, predicted),
               correlation(ranks(ends), ranks(predicted)),
               answered == 0 ? "-" : fmt::format("{}%", 100 * inside / answered), unanswered == 0 ? " " : "*");
  }
  fmt::print("  {:>8.2f} s\n", seconds() - began);
  std::fflush(stdout);
}

void judge_real(const std::filesystem::path& plugins, const std::filesystem::path& file) {
  const std::vector<LearningCurve> curves = read_curves(file);
  const std::size_t split = curves.size() * 2 / 3;
  const std::vector<LearningCurve> fitted(curves.begin(), curves.begin() + static_cast<std::ptrdiff_t>(split));
  const std::vector<LearningCurve> judged(curves.begin() + static_cast<std::ptrdiff_t>(split), curves.end());
  fmt::print(
      "{} real curves of {} epochs; {} fitted, {} judged. R2, Spearman, ends within the 80 % interval;\n"
      "* of curves without an answer the last value stands\n\n{:<34}  {:<20}  {:<20}  {:<20}  {:>10}\n",
      curves.size(), curves.front().size(), fitted.size(), judged.size(), "", "10 % of the length", "25 %", "50 %",
      "in all");
  const std::vector<Contestant> contestants = {
      {"last_value", "last_value"},
      {"previous_builds", "previous_builds"},
      {"curve_extrapolation", "curve_extrapolation"},
      {"curve_extrapolation (sampled)", "curve_extrapolation", {{"deviation", "sampled"}}},
      {"curve_extrapolation (mean_one)", "curve_extrapolation", {{"recency", "mean_one"}, {"deviation", "sampled"}}},
      {"lcnet", "lcnet", {{"steps", 4000}, {"burn_in", 1000}}},
      {"sequential_regression (nu_svr_rbf)", "sequential_regression", {{"least_curves", 20}}},
      {"sequential_regression (linear svr)",
       "sequential_regression",
       {{"least_curves", 20}, {"model", "nu_svr_linear"}}},
      {"sequential_regression (least sq.)",
       "sequential_regression",
       {{"least_curves", 20}, {"model", "least_squares"}}},
      {"sequential_regression (bayesian)",
       "sequential_regression",
       {{"least_curves", 20}, {"model", "bayesian_ridge"}}},
      {"sequential_regression (forest)", "sequential_regression", {{"least_curves", 20}, {"model", "random_forest"}}},
      {"lcranknet", "lcranknet"}};
  for (const Contestant& contestant : contestants) judge(plugins, contestant, fitted, judged);
}

// Of predictions of one family's curves, or of all.
struct Coverage {
  int silent = 0, answered = 0, within = 0, inside = 0;
  double error = 0.0, last_error = 0.0;  // sums

  void add(double end, double last, const std::optional<Prediction>& prediction) {
    if (!prediction) {
      ++silent;
      return;
    }
    const double off = std::abs(end - prediction->mean);
    ++answered;
    if (off <= 2.0 * prediction->deviation) ++within;
    if (off <= 1.2816 * prediction->deviation) ++inside;
    error += off;
    last_error += std::abs(end - last);
  }
  void print(std::string_view title) const {
    fmt::print("{:<16}  {:>8} / {:<4}  {:>8} / {:<4}  {:>6}  {:>10.2f}  {:>10.2f}\n", title, within, answered, inside,
               answered, silent, error / answered, last_error / answered);
    std::fflush(stdout);
  }
};

// Noisy curves of every family, of which half is seen. The end that is to be met is without noise, the deviation is
// that of a noisy one, and the interval is that of a normal distribution.
void judge_families(const std::filesystem::path& plugins, int count, const Json& args) {
  constexpr int horizon = 40, seen = 20;
  const Instance instance(Plugin::open(plugins / "predictor" / "curve_extrapolation" / "manifest.json"), args,
                          {.study = study});
  PredictorRef predictor(instance.handle());
  fmt::print(
      "\ncurve_extrapolation {}, on {} noisy curves of each family, {} of {} epochs seen\n{:<16}  {:>15}  {:>15}  {:>6}"
      "  {:>10}  {:>10}\n",
      args.dump(), count, seen, horizon, "", "within 2 sd", "80 % interval", "silent", "mean error", "last value");
  Coverage all;
  for (const auto& family : curve_extrapolation::all_families) {
    Coverage coverage;
    for (int i = 0; i < count; ++i) {
      const auto drawn = curve_extrapolation::drawn_curve(family, i, horizon, 1.0, Rng(11));
      const LearningCurve partial = testing::shortened(drawn.curve, seen);
      const auto prediction = predictor.predict(partial, horizon, 50.0);
      coverage.add(drawn.end, partial.rewards.back(), prediction);
      all.add(drawn.end, partial.rewards.back(), prediction);
    }
    coverage.print(family.name);
  }
  all.print("all");
}

void time_them(const std::filesystem::path& plugins) {
  fmt::print("\ntimes of one thread\n");
  {
    const Instance instance(Plugin::open(plugins / "predictor" / "sequential_regression" / "manifest.json"), {},
                            {.study = study});
    PredictorRef predictor(instance.handle());
    const std::vector<LearningCurve> curves = testing::rising_curves(500, 40, 1);
    predictor.fit(curves);
    double began = seconds();
    predictor.predict(testing::shortened(curves[0], 10), 40, 70.0);
    const double refit = seconds() - began;
    began = seconds();
    constexpr int answers = 200;
    for (int i = 0; i < answers; ++i)
      predictor.predict(testing::shortened(curves[static_cast<std::size_t>(i)], 10), 40, 70.0);
    fmt::print("  sequential_regression: refit on 500 curves {:.2f} s (target 5), an answer {:.3f} ms (target 1)\n",
               refit, 1e3 * (seconds() - began) / answers);
  }
  const Instance instance(Plugin::open(plugins / "predictor" / "curve_extrapolation" / "manifest.json"), {},
                          {.study = study});
  PredictorRef predictor(instance.handle());
  const double began = seconds();
  predictor.predict(testing::rising_curve(0, 20, 40, Rng(3)), 40, 70.0);
  fmt::print("  curve_extrapolation: an answer from 20 points {:.2f} s (target 2)\n", seconds() - began);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;  // PLUGINS CURVES COUNT ARGS
  const std::filesystem::path plugins = argv[1];
  if (std::filesystem::exists(argv[2])) {
    judge_real(plugins, argv[2]);
  } else {
    fmt::print("{} is absent: bench/predictors/run BUILD --train makes it\n", argv[2]);
  }
  time_them(plugins);
  if (std::atoi(argv[3]) > 0) judge_families(plugins, std::atoi(argv[3]), Json::parse(argv[4]));
  return 0;
}
