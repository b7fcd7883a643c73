#include <Eigen/Core>
#include <cmath>
#include <functional>
#include <vector>

#include "plugins/predictor/lcnet/adaptive_sghmc.hpp"
#include "plugins/predictor/lcnet/basis.hpp"
#include "plugins/predictor/lcnet/curve_network.hpp"
#include "tests/catch.hpp"
#include "weft/curves/features.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;
using lcnet::AdaptiveSghmc;
using lcnet::CurveNetwork;
using lcnet::Points;
using lcnet::Prior;

namespace {

using Theta = Eigen::Matrix<double, 9, 1>;

Plugin plugin() { return Plugin::open("predictor", "lcnet"); }

// A chain of a tenth of a second. Its steps are longer than the default, in place of being many.
const Json quick = {{"hidden", {10, 10}}, {"steps", 800}, {"burn_in", 400}, {"keep_every", 20}, {"lr", 0.05}};

const Json study = PredictorCheck{}.study;

Surroundings surroundings(std::uint64_t seed = 3) { return {.study = study, .rng = Rng(seed)}; }

Prior prior() {
  return {.log_variance_mean = std::log(1e-6),
          .log_variance_spread = 0.01,
          .weight_precision = 1.0,
          .mean_over_weights = true};
}

Points some_points(Eigen::Index features, Eigen::Index count) {
  Rng rng(5);
  Points points{Eigen::MatrixXd(features, count), Eigen::VectorXd(count), Eigen::VectorXd(count)};
  for (double& number : points.features.reshaped()) number = rng.normal();
  for (double& time : points.times) time = rng.uniform(0.05, 1.0);
  for (double& reward : points.rewards) reward = rng.uniform();
  return points;
}

}  // namespace

TEST_CASE("lcnet keeps the contract of predictors") { check_predictor(plugin(), quick); }

TEST_CASE("lcnet's defaults are those of the authors' code") {
  const Json defaults = plugin().configuration({});
  CHECK(defaults.at("hidden") == Json{50, 50, 50});
  CHECK(defaults.at("steps") == 13000);
  CHECK(defaults.at("burn_in") == 3000);
  CHECK(defaults.at("keep_every") == 100);
  CHECK(defaults.at("batch_size") == 20);
  CHECK(defaults.at("lr") == 0.01);
  CHECK(defaults.at("mdecay") == 0.05);
}

TEST_CASE("lcnet's basis functions have the values worked out by hand") {
  // u is 1/2 everywhere. Vapour: exp(-1/2 - 1/20 - 0) - exp(1/2 + 1/20) but for the 1e-5; log: (5 + 2.5 ln 1/2) / 10;
  // Hill3: 1/2 / (sqrt(1/200 + 1e-5) + 1).
  const lcnet::Basis end = lcnet::basis(Theta::Zero(), 1.0);
  CHECK(end.value[0] == Approx(std::exp(-0.55) - std::exp(0.55)).margin(1e-6));
  CHECK(end.value[1] == Approx(0.3267132).margin(1e-7));
  CHECK(end.value[2] == Approx(0.5 / (std::sqrt(0.00501) + 1.0)));

  const Theta theta = (Theta() << -0.6, 0.2, 0.8, 0.4, -0.5, 0.6, 0.9, 0.3, -0.2).finished();
  const lcnet::Basis early = lcnet::basis(theta, 0.25);
  CHECK(early.value[0] == Approx(-0.567304600));
  CHECK(early.value[1] == Approx(-0.170406052));
  CHECK(early.value[2] == Approx(0.889468043));

  for (Eigen::Index i = 0; i < 9; ++i) {
    const double h = 1e-6;
    const Theta step = h * Theta::Unit(i);
    const Eigen::Vector3d slope =
        (lcnet::basis(theta + step, 0.25).value - lcnet::basis(theta - step, 0.25).value) / (2.0 * h);
    INFO("theta " << i);
    CHECK(early.slope(i % 3, i / 3) == Approx(slope[i / 3]).epsilon(1e-6).margin(1e-8));
  }
}

TEST_CASE("lcnet's gradient is that of its loss") {
  const std::vector<Eigen::Index> hidden = {5, 4};
  CurveNetwork network(3, hidden, 1e-2, Rng(1));
  const Points points = some_points(3, 7);
  Prior wide = prior();
  wide.mean_over_weights = GENERATE(true, false);
  std::vector<double>& values = network.parameters.values();
  REQUIRE(values.size() == 5 * 3 + 5 + 4 * 5 + 4 + (4 + 1) * (9 + 3 + 1) + 1);

  network.loss(points, wide, 50.0);
  const std::vector<double> gradient = network.parameters.gradient();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double before = values[i], h = 1e-6;
    values[i] = before + h;
    const double above = network.loss(points, wide, 50.0);
    values[i] = before - h;
    const double below = network.loss(points, wide, 50.0);
    values[i] = before;
    INFO("parameter " << i);
    REQUIRE(gradient[i] == Approx((above - below) / (2.0 * h)).epsilon(1e-5).margin(1e-6));
  }
}

TEST_CASE("lcnet's loss is the negative log posterior for each point") {
  const std::vector<Eigen::Index> hidden = {4};
  CurveNetwork network(2, hidden, 0.25, Rng(1));
  const Points points = some_points(2, 1);
  const double error = network.output(points.features, points.times).means[0] - points.rewards[0];
  double squares = 0.0;
  for (std::size_t i = 0; i + 1 < network.parameters.values().size(); ++i) {
    squares += network.parameters.values()[i] * network.parameters.values()[i];
  }
  const auto count = static_cast<double>(network.parameters.values().size() - 1);
  const double off = std::log(0.25) - std::log(1e-6);
  const double likelihood = error * error / (2.0 * 0.25) + 0.5 * std::log(0.25);
  CHECK(network.loss(points, prior(), 8.0) ==
        Approx(likelihood + (off * off / (2.0 * 0.01) + 0.5 * squares / count) / 8.0));
}

TEST_CASE("the sampler's noise is standard normal") {
  Rng rng(9);
  Eigen::ArrayXd normals(100001);
  lcnet::draw_normals(normals, rng);
  CHECK(normals.mean() == Approx(0.0).margin(0.02));
  CHECK(normals.square().mean() == Approx(1.0).margin(0.02));
  CHECK(normals.pow(4).mean() == Approx(3.0).margin(0.15));
}

namespace {

struct Moments {
  double mean, variance;
};

// Of a chain over one parameter.
Moments moments_of(AdaptiveSghmc sampler, const std::function<double(double, Rng&)>& gradient, int burn_in, int steps) {
  Rng noise(11), data(12);
  Eigen::ArrayXd value = Eigen::ArrayXd::Zero(1), slope(1);
  double sum = 0.0, squares = 0.0;
  for (int i = 0; i < burn_in + steps; ++i) {
    slope[0] = gradient(value[0], data);
    sampler.step(value, slope, noise);
    if (i < burn_in) continue;
    sum += value[0];
    squares += value[0] * value[0];
  }
  return {sum / steps, squares / steps - (sum / steps) * (sum / steps)};
}

}  // namespace

TEST_CASE("SGHMC samples a normal posterior") {
  // Mean 3, variance 1/4, gradient 4 (x - 3). Without burn-in M is 1, and the chain
  //   x' = (1.95 - k) x - 0.95 x_before + noise of variance 2 lr^2 mdecay - lr^4, with k = 4 lr^2,
  // is autoregressive: its variance at lr = 0.1 is 0.2273. That is 1/4 but for what is taken off for the noise of a
  // gradient that has none, a tenth.
  const auto slope = [](double x, Rng&) { return 4.0 * (x - 3.0); };
  const Moments exact = moments_of({1, 0.1, 0.05, 0}, slope, 0, 400000);
  CHECK(exact.mean == Approx(3.0).margin(0.05));
  CHECK(exact.variance == Approx(0.2273).epsilon(0.05));

  // Of a gradient whose noise is what M expects, 1.
  const Moments noisy = moments_of(
      {1, 0.1, 0.05, 0}, [&](double x, Rng& rng) { return slope(x, rng) + rng.normal(); }, 0, 400000);
  CHECK(noisy.mean == Approx(3.0).margin(0.05));
  CHECK(noisy.variance == Approx(0.25).epsilon(0.05));
}

TEST_CASE("SGHMC finds its step lengths and samples the posterior of a mean from batches") {
  // 100 observations of variance 4: the posterior's variance is 4 / 100. Batches of 20 are drawn with replacement.
  Rng rng(13);
  Eigen::ArrayXd observed(100);
  for (double& value : observed) value = 1.0 + 2.0 * rng.normal();
  const auto gradient = [&](double mean, Rng& draw) {
    double sum = 0.0;
    for (int i = 0; i < 20; ++i) sum += (mean - observed[static_cast<Eigen::Index>(draw.below(100))]) / 4.0;
    return sum * 100.0 / 20.0;
  };
  const Moments moments = moments_of({1, 0.01, 0.05, 3000}, gradient, 10000, 1000000);
  CHECK(moments.mean == Approx(observed.mean()).margin(0.05));
  CHECK(moments.variance == Approx(0.04).epsilon(0.2));
}

TEST_CASE("lcnet reads numbers, standardises them and leaves out what never changes") {
  LearningCurve small, large;
  small.features = {{"parameters", 1000}, {"layers", 4}, {"recipe", {{"lr", 0.1}, {"rule", "sgd"}, {"moment", {0.9}}}}};
  large.features = {{"parameters", 100000}, {"layers", 4}, {"recipe", {{"lr", 0.2}, {"moment", {0.9}}}}};
  CHECK(curves::numbers_of(small.features).size() == 4);
  CHECK(curves::numbers_of(small.features).at("/parameters") == Approx(std::log1p(1000.0)));
  const std::vector<LearningCurve> both = {small, large};
  const curves::Standardised standardised(both);
  REQUIRE(standardised.size() == 2);  // parameters and lr
  CHECK((standardised.of(small) + Eigen::Vector2d::Ones()).norm() < 1e-9);
  CHECK((standardised.of(large) - Eigen::Vector2d::Ones()).norm() < 1e-9);
  LearningCurve other;
  other.features = {{"recipe", {{"lr", 0.15}}}};
  CHECK(standardised.of(other).norm() < 1e-9);
}

TEST_CASE("lcnet predicts from the features alone, and from the curve as far as it has come") {
  const Instance instance(plugin(), quick, surroundings());
  PredictorRef predictor(instance.handle());
  CHECK_FALSE(predictor.predict(rising_curves(1, 10, 2)[0], 20, 70.0));
  predictor.fit(rising_curves(20, 20, 1));
  double unseen = 0.0, spread = 0.0;
  const std::vector<LearningCurve> others = rising_curves(6, 20, 2);
  for (const LearningCurve& curve : others) {
    unseen += std::abs(predictor.predict(shortened(curve, 0), 20, 70.0).value().mean - curve.rewards.back()) / 6.0;
    spread += std::abs(others[0].rewards.back() - curve.rewards.back()) / 5.0;
  }
  CHECK(unseen < 0.5 * spread);

  // Of the same candidate, what was seen of its curve decides.
  predictor.fit(rising_curves(6, 20, 1));
  LearningCurve low = shortened(others[0], 15), high = low;
  for (double& reward : low.rewards) reward = 30.0;
  for (double& reward : high.rewards) reward = 90.0;
  CHECK(predictor.predict(low, 20, 70.0).value().mean + 20.0 < predictor.predict(high, 20, 70.0).value().mean);
}

TEST_CASE("lcnet's probability is that of the networks' mixture") {
  const Instance instance(plugin(), quick, surroundings());
  PredictorRef predictor(instance.handle());
  predictor.fit(rising_curves(10, 20, 1));
  const LearningCurve asked = shortened(rising_curves(1, 20, 2)[0], 10);
  const Prediction at = predictor.predict(asked, 20, 0.0).value();
  CHECK(at.probability_above == Approx(1.0));
  CHECK(predictor.predict(asked, 20, at.mean + 10.0 * at.deviation).value().probability_above < 0.02);
  double before = 1.0;
  for (double threshold = at.mean - 3.0 * at.deviation; threshold < at.mean + 3.0 * at.deviation;
       threshold += 0.5 * at.deviation) {
    const double above = predictor.predict(asked, 20, threshold).value().probability_above;
    CHECK(above <= before);
    before = above;
  }
}

TEST_CASE("lcnet refuses a chain that keeps no network") {
  CHECK_THROWS_WITH(Instance(plugin(), {{"steps", 100}, {"burn_in", 100}}, surroundings()),
                    ContainsSubstring("/burn_in is 100; must be less than steps, 100"));
  CHECK_THROWS_WITH(Instance(plugin(), {{"steps", 100}, {"burn_in", 50}, {"keep_every", 51}}, surroundings()),
                    ContainsSubstring("/keep_every is 51; must not exceed steps - burn_in, 50"));
  CHECK_THROWS_WITH(Instance(plugin(), {}, {}), ContainsSubstring("/range"));
}
