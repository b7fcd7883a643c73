#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "plugins/predictor/lcranknet/rank_network.hpp"
#include "plugins/predictor/lcranknet/ranking.hpp"
#include "tests/catch.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;
using lcranknet::CurveEncoder;
using lcranknet::Matrix;
using lcranknet::Observed;
using lcranknet::Parameters;
using lcranknet::RankNetwork;
using lcranknet::Samples;
using lcranknet::Tokens;
using lcranknet::Vector;

namespace {

Plugin plugin() { return Plugin::open("predictor", "lcranknet"); }

const Json quick = {{"kernels", {2, 3}}, {"filters", 4}, {"token", 4},   {"units", 4},       {"dataset", 2},
                    {"hidden", 16},      {"epochs", 30}, {"pairs", 128}, {"batch_size", 32}, {"lr", 0.01}};

Surroundings surroundings() { return {.study = PredictorCheck{}.study, .rng = Rng(3)}; }

// Six trainings of two architectures on two data sets.
Samples some_samples(Eigen::Index positions) {
  Rng rng(5);
  Samples samples{Matrix(CurveEncoder::channels * positions, 6), Matrix(2, 6), {0, 1, 1, 0, 1, 0}, {0, 1, -1, 1, 0, 0}};
  for (double& number : samples.curves.reshaped()) number = rng.uniform();
  for (double& number : samples.hyperparameters.reshaped()) number = rng.normal();
  return samples;
}

RankNetwork some_network(double dropout) {
  return RankNetwork({.kernels = {2, 3},
                      .filters = 3,
                      .token = 2,
                      .units = 4,
                      .dataset = 2,
                      .hidden = 5,
                      .leak = 0.1,
                      .dropout = dropout,
                      .operations = 3,
                      .datasets = 2,
                      .hyperparameters = 2},
                     Rng(1));
}

// Pairs of curves that were ended in the right order.
double ranked(const std::vector<double>& predicted, const std::vector<double>& ends) {
  int right = 0, pairs = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j, ++pairs) right += (predicted[i] > predicted[j]) == (ends[i] > ends[j]) ? 1 : 0;
  }
  return static_cast<double>(right) / pairs;
}

}  // namespace

TEST_CASE("lcranknet keeps the contract of predictors") { check_predictor(plugin(), quick); }

TEST_CASE("lcranknet's kernels and slope are those of LCRankNet-v2") {
  const Json defaults = plugin().configuration({});
  CHECK(defaults.at("kernels") == Json{2, 3, 4, 5});
  CHECK(defaults.at("leak") == 0.1);
}

TEST_CASE("lcranknet's gradient is that of its loss, through batch norm, dropout and the LSTM") {
  const double dropout = GENERATE(0.0, 0.3);
  const Samples samples = some_samples(6);
  const std::vector<Tokens> tokens = {{0, 1, 2}, {2, -1}};
  const Vector targets = (Vector(3) << 1.0, 0.0, 0.5).finished();
  RankNetwork network = some_network(dropout);
  // Away from gains of 1 and shifts of 0.
  Rng rng(8);
  for (double& value : network.parameters.values()) value += rng.uniform(-0.1, 0.1);
  std::vector<double>& values = network.parameters.values();

  network.loss(samples, tokens, targets, Rng(4));
  const std::vector<double> gradient = network.parameters.gradient();
  CHECK(std::count(gradient.begin(), gradient.end(), 0.0) < static_cast<std::ptrdiff_t>(gradient.size() / 2));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double before = values[i], h = 1e-6;
    values[i] = before + h;
    const double above = network.loss(samples, tokens, targets, Rng(4));
    values[i] = before - h;
    const double below = network.loss(samples, tokens, targets, Rng(4));
    values[i] = before;
    INFO("parameter " << i);
    REQUIRE(gradient[i] == Approx((above - below) / (2.0 * h)).epsilon(1e-5).margin(1e-7));
  }
}

TEST_CASE("lcranknet's loss is the cross-entropy of the pairs") {
  // Two trainings that are alike: f(i) - f(j) is 0, and the cross-entropy ln 2 whatever the target.
  RankNetwork network = some_network(0.0);
  Samples samples = some_samples(6);
  samples.curves = samples.curves.col(0).replicate(1, 2).eval();
  samples.hyperparameters = samples.hyperparameters.col(0).replicate(1, 2).eval();
  samples.architectures = {0, 0};
  samples.datasets = {0, 0};
  const std::vector<Tokens> tokens = {{0, 1}};
  for (const double target : {0.0, 0.5, 1.0}) {
    CHECK(network.loss(samples, tokens, Vector::Constant(1, target), Rng(4)) == Approx(std::log(2.0)));
  }
}

TEST_CASE("the curve encoder normalises, and by the running statistics after training") {
  // One filter of one epoch that reads the reward alone: weight (w, 0), values 1, 2, 3, 4 in two curves. Their mean is
  // 5/2, their variance 5/4; the maxima are those of 2 and 4 where w > 0.
  Parameters parameters;
  const std::vector<Eigen::Index> kernels = {1};
  CurveEncoder encoder(parameters, kernels, 1, 0.1, 0.0, Rng(1));
  parameters.values()[0] = 2.0;
  parameters.values()[1] = 0.0;
  const Matrix curves = (Matrix(4, 2) << 1.0, 3.0, 1.0, 1.0, 2.0, 4.0, 1.0, 1.0).finished();
  Rng rng(1);
  const CurveEncoder::Pass pass = encoder.train(parameters, curves, rng);
  CHECK(pass.output(0, 0) == Approx(0.1 * -0.5 / std::sqrt(1.25)).epsilon(1e-4));
  CHECK(pass.output(0, 1) == Approx(1.5 / std::sqrt(1.25)).epsilon(1e-4));
  // Running: mean 0.1 * 5, variance 0.9 + 0.1 * (4 * 5/3).
  const Matrix encoded = encoder.encode(parameters, curves);
  CHECK(encoded(0, 0) == Approx((4.0 - 0.5) / std::sqrt(0.9 + 2.0 / 3.0)).epsilon(1e-4));
}

TEST_CASE("lcranknet pads a curve with its last value, beside what was observed") {
  LearningCurve curve{.epochs = {2, 3, 5, 9}, .rewards = {20.0, 30.0, 50.0, 90.0}};
  const Observed observed(curve, 8, curves::Scale(0.0, 100.0));
  REQUIRE(observed.epochs == std::vector<int>{2, 3, 5});
  const Vector rewards = (Vector(12) << 0.2, 1, 0.2, 1, 0.3, 1, 0.3, 0, 0.3, 0, 0.3, 0).finished();
  CHECK((observed.cut_after(4, 6) - rewards).norm() < 1e-12);
  CHECK(observed.cut_after(1, 6).norm() == 0.0);
}

TEST_CASE("lcranknet ranks early curves better than their last values do") {
  // What ends best is slow: high learning rates begin well and end early.
  const auto curves = [](int count, std::uint64_t seed) {
    std::vector<LearningCurve> curves;
    Rng rng(seed);
    for (int i = 0; i < count; ++i) {
      LearningCurve curve{.trial = i, .horizon = 20};
      const double end = rng.uniform(50.0, 95.0), speed = rng.uniform(0.0, 1.0);
      for (int epoch = 1; epoch <= 20; ++epoch) {
        curve.epochs.push_back(epoch);
        curve.rewards.push_back(end * (1.0 - std::exp(-(0.1 + speed) * epoch)) + 0.5 * rng.normal());
      }
      curve.features = {
          {"parameters", 1000}, {"layers", 3}, {"operations", {"input", "conv2d"}}, {"recipe", {{"lr", speed}}}};
      curves.push_back(std::move(curve));
    }
    return curves;
  };
  Json args = quick;
  args.update({{"epochs", 60}});
  const Instance instance(plugin(), args, surroundings());
  PredictorRef predictor(instance.handle());
  predictor.fit(curves(40, 1));
  std::vector<double> ends, last, predicted;
  for (const LearningCurve& curve : curves(40, 2)) {
    ends.push_back(curve.rewards.back());
    last.push_back(curve.rewards[2]);
    predicted.push_back(predictor.predict(shortened(curve, 3), 20, 90.0).value().mean);
  }
  const double by_last_value = ranked(last, ends), by_network = ranked(predicted, ends);
  INFO(by_network << " of the pairs in order, by the last value " << by_last_value);
  CHECK(by_network > 0.8);
  CHECK(by_network > by_last_value + 0.05);
}

TEST_CASE("lcranknet's probability is that of beating the training whose end is nearest to the threshold") {
  const Instance instance(plugin(), quick, surroundings());
  PredictorRef predictor(instance.handle());
  const std::vector<LearningCurve> known = rising_curves(30, 20, 1);
  predictor.fit(known);
  const auto best = std::max_element(known.begin(), known.end(), [](const LearningCurve& a, const LearningCurve& b) {
    return a.rewards.back() < b.rewards.back();
  });
  // Against itself: an even chance, also where the threshold is above all.
  const LearningCurve same = shortened(*best, 7);
  CHECK(predictor.predict(same, 20, best->rewards.back()).value().probability_above == Approx(0.5));
  CHECK(predictor.predict(same, 20, 99.9).value().probability_above == Approx(0.5));
  CHECK(predictor.predict(same, 20, 65.0).value().probability_above > 0.9);
}

TEST_CASE("lcranknet reads architectures and says nothing without pairs, points or comparable trainings") {
  const Instance instance(plugin(), quick, surroundings());
  PredictorRef predictor(instance.handle());
  const LearningCurve asked = shortened(rising_curves(1, 20, 2)[0], 5);
  CHECK_FALSE(predictor.predict(asked, 20, 70.0));
  predictor.fit(rising_curves(2, 20, 1));
  CHECK_FALSE(predictor.predict(asked, 20, 70.0));
  predictor.fit(rising_curves(10, 20, 1));
  CHECK(predictor.predict(asked, 20, 70.0));
  CHECK_FALSE(predictor.predict(shortened(asked, 0), 20, 70.0));
  CHECK_FALSE(predictor.predict(asked, 21, 70.0));  // nobody came so far
  CHECK(predictor.predict(asked, 10, 70.0));

  // Twins but for their architecture, of which one kind ends higher.
  std::vector<LearningCurve> twins;
  for (int i = 0; i < 20; ++i) {
    LearningCurve twin = rising_curve(i, 10, 10, Rng(4), 0.0);
    twin.features["operations"] = i % 2 == 0 ? Json{"input", "skip"} : Json{"input", "conv2d"};
    twin.rewards.back() += i % 2 == 0 ? -10.0 : 2.0;
    twins.push_back(std::move(twin));
  }
  predictor.fit(twins);
  const double skips = predictor.predict(shortened(twins[0], 4), 10, 70.0).value().mean;
  const double convolves = predictor.predict(shortened(twins[1], 4), 10, 70.0).value().mean;
  CHECK(convolves - skips > 8.0);

  // Unknown operations and data sets have embeddings too.
  LearningCurve strange = shortened(twins[0], 4);
  strange.features["operations"] = {"input", "transformer"};
  strange.features["dataset"] = "elsewhere";
  CHECK(predictor.predict(strange, 10, 70.0));
}

TEST_CASE("lcranknet refuses an embedding that the LSTM cannot read") {
  CHECK_THROWS_WITH(Instance(plugin(), {{"token", 65}, {"units", 64}}, surroundings()),
                    ContainsSubstring("/token is 65; must not exceed units, 64"));
  CHECK_THROWS_WITH(Instance(plugin(), {}, {}), ContainsSubstring("/range"));
}
