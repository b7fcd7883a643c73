#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "drawn_curves.hpp"
#include "ensemble_sampler.hpp"
#include "families.hpp"
#include "least_squares.hpp"
#include "model_average.hpp"
#include "posterior.hpp"
#include "tests/catch.hpp"
#include "weft/testing/predictor_contract.hpp"

using namespace weft;
using namespace weft::testing;
using namespace curve_extrapolation;

namespace {

Plugin curve_extrapolation_plugin() { return Plugin::open("predictor", "curve_extrapolation"); }

// A short run of the sampler, for what does not depend on its length.
const Json short_run = {{"steps", 60}, {"burn_in", 40}, {"walkers", 96}};

Json with(Json args, const Json& more) {
  args.update(more);
  return args;
}

class Extrapolation {
 public:
  explicit Extrapolation(const Json& args, const Json& study = PredictorCheck{}.study)
      : instance_(curve_extrapolation_plugin(), args, {.study = study}), predictor_(instance_.handle()) {}
  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold = 50.0) {
    return predictor_.predict(partial, horizon, threshold);
  }

 private:
  Instance instance_;
  PredictorRef predictor_;
};

LearningCurve of_rewards(std::vector<double> rewards, std::int32_t first = 1) {
  LearningCurve curve{.trial = 3, .rewards = std::move(rewards), .horizon = 60};
  for (std::size_t i = 0; i < curve.rewards.size(); ++i) curve.epochs.push_back(first + static_cast<std::int32_t>(i));
  return curve;
}

std::vector<double> parameters_of(std::initializer_list<double> values) { return values; }

Points points_of(const Family& family, const std::vector<double>& parameters, int count) {
  Points points;
  for (int x = 1; x <= count; ++x) {
    points.at.push_back({static_cast<double>(x)});
    points.y.push_back(family.value(parameters, x));
    points.weight.push_back(1.0);
  }
  return points;
}

const auto one_by_one = [](std::size_t count, const auto& body) {
  for (std::size_t i = 0; i < count; ++i) body(i);
};

}  // namespace

TEST_CASE("curve_extrapolation keeps the contract of predictors") {
  check_predictor(curve_extrapolation_plugin(), short_run);
  check_predictor(curve_extrapolation_plugin(),
                  with(short_run, {{"monotonicity", "strict"}, {"recency", "none"}, {"families", {"pow3", "mmf"}}}));
}

// ---- the families ---------------------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation has the paper's families") {
  const double e = std::exp(1.0);
  const auto value = [](const char* name, std::initializer_list<double> parameters, double x) {
    const Family* family = find_family(name);
    REQUIRE(family != nullptr);
    REQUIRE(family->parameters == parameters.size());
    return family->value(parameters_of(parameters), x);
  };
  CHECK(value("vap", {-1.0, -2.0, 0.5}, 4.0) == Approx(2.0 * std::exp(-1.5)));      // exp(-1 - 2 / 4) * sqrt(4)
  CHECK(value("pow3", {0.9, 0.6, 0.5}, 4.0) == Approx(0.6));                        // 0.9 - 0.6 / 2
  CHECK(value("loglog_linear", {1.0, 1.0}, e) == Approx(std::log(2.0)));            // ln(1 + 1)
  CHECK(value("hill3", {0.8, 2.0, 3.0}, 3.0) == Approx(0.4));                       // half of theta at kappa
  CHECK(value("hill3", {0.8, 2.0, 3.0}, 1.0) == Approx(0.08));                      // 0.8 / (9 + 1)
  CHECK(value("log_power", {0.8, 1.0, -2.0}, e) == Approx(0.4));                    // half of a at e^b
  CHECK(value("log_power", {0.8, 0.0, -2.0}, 3.0) == Approx(0.72));                 // 0.8 / (1 + 1 / 9)
  CHECK(value("pow4", {0.9, 2.0, 3.0, 0.5}, 3.0) == Approx(0.9 - 1.0 / 3.0));       // 0.9 - 9^-1/2
  CHECK(value("mmf", {0.7, 0.1, 0.5, 2.0}, 4.0) == Approx(0.58));                   // 0.7 - 0.6 / (1 + 4)
  CHECK(value("exp4", {0.9, 0.5, 0.5, 0.5}, 9.0) == Approx(0.9 - std::exp(-1.0)));  // -0.5 * 3 + 0.5
  CHECK(value("janoschek", {0.7, 0.1, 0.5, 0.5}, 4.0) == Approx(0.7 - 0.6 * std::exp(-1.0)));
  CHECK(value("weibull", {0.7, 0.1, 0.25, 0.5}, 16.0) == Approx(0.7 - 0.6 * std::exp(-2.0)));
  CHECK(value("ilog2", {0.8, 0.4}, e - 1.0) == Approx(0.4));
  CHECK(find_family("linear") == nullptr);
}

TEST_CASE("curve_extrapolation has no value outside of a family's domain") {
  CHECK(std::isnan(find_family("loglog_linear")->value(parameters_of({1.0, -1.0}), 1.0)));
  CHECK(std::isnan(find_family("weibull")->value(parameters_of({0.7, 0.1, -0.5, 0.5}), 2.0)));
  CHECK(std::isnan(find_family("pow4")->value(parameters_of({0.7, 1.0, -5.0, 0.5}), 2.0)));
}

TEST_CASE("curve_extrapolation takes all families and the sampler's setting of the paper by default") {
  const Json defaults = curve_extrapolation_plugin().configuration({});
  REQUIRE(defaults.at("families").size() == all_families.size());
  for (std::size_t i = 0; i < all_families.size(); ++i) CHECK(defaults.at("families")[i] == all_families[i].name);
  // MCMCCurveModelCombination in pylearningcurvepredictor/curvemodels.py, and PREDICTION_THINNING and the recency
  // weighting of terminationcriterion.py.
  CHECK(defaults.at("walkers") == 100);
  CHECK(defaults.at("steps") == 2500);
  CHECK(defaults.at("burn_in") == 500);
  CHECK(defaults.at("thin") == 10);
  CHECK(defaults.at("ball") == 1e-6);
  CHECK(defaults.at("start_weight") == 10);
  CHECK(defaults.at("recency") == "authors");
  CHECK(defaults.at("monotonicity") == "soft");
  std::size_t dimension = 1;
  for (const Family& family : all_families) dimension += family.parameters + 1;
  CHECK(dimension == 48);
}

// ---- the fit --------------------------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation finds every family's own curves without noise") {
  for (const Family& family : all_families) {
    for (int i = 0; i < 10; ++i) {
      const DrawnCurve drawn = drawn_curve(family, i, 60, 0.0, Rng(11));
      const auto found = least_squares(family, points_of(family, drawn.parameters, 30));
      INFO(family.name << " " << Json(drawn.parameters).dump());
      REQUIRE(found);
      INFO("found " << Json(*found).dump());
      CHECK(family.value(*found, 60.0) == Approx(drawn.end / 100.0).margin(1e-5));
      for (std::size_t k = 0; k < family.parameters; ++k)
        CHECK((*found)[k] == Approx(drawn.parameters[k]).epsilon(1e-3).margin(1e-3));
    }
  }
}

TEST_CASE("curve_extrapolation's second way to fit gets where the first does") {
  for (const char* name : {"pow3", "hill3", "ilog2"}) {
    const Family& family = *find_family(name);
    const DrawnCurve drawn = drawn_curve(family, 1, 60, 0.0, Rng(11));
    const Points points = points_of(family, drawn.parameters, 30);
    const auto found = curve_extrapolation::detail::bfgs({&family, &points});
    INFO(name);
    REQUIRE(found);
    CHECK(family.value(std::span(found->data(), family.parameters), 60.0) == Approx(drawn.end / 100.0).margin(5e-3));
  }
}

TEST_CASE("curve_extrapolation weighs points in fits") {
  const Family& family = *find_family("ilog2");  // linear in its parameters
  Points points = points_of(family, {0.9, 0.5}, 10);
  points.y[3] = 0.0;
  points.weight[3] = 0.0;
  const auto found = least_squares(family, points);
  REQUIRE(found);
  CHECK((*found)[0] == Approx(0.9));
  CHECK((*found)[1] == Approx(0.5));
}

// ---- the posterior --------------------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation's prior is flat where a family's curve rises to a value that can be") {
  const Family& pow3 = *find_family("pow3");
  const auto supports = [&](const PriorOptions& options, std::initializer_list<double> theta) {
    return Prior(options, 60.0).supports(pow3, parameters_of(theta).data());
  };
  CHECK(supports({}, {0.9, 0.5, 0.5}));
  CHECK_FALSE(supports({}, {0.9, -0.5, 0.5}));  // falls
  CHECK(supports({.monotonicity = Monotonicity::none}, {0.9, -0.5, 0.5}));
  CHECK_FALSE(supports({.monotonicity = Monotonicity::none}, {-0.1, -0.05, 0.5}));  // is below 0 at the horizon
  CHECK(supports({}, {99.0, 0.5, 0.5}));
  CHECK_FALSE(supports({}, {101.0, 0.5, 0.5}));
  CHECK_FALSE(supports({.largest_value = 0.8}, {0.9, 0.5, 0.5}));
  CHECK_FALSE(supports({}, {0.9, 0.5, std::numeric_limits<double>::quiet_NaN()}));
  PriorOptions bounded;
  bounded.bounds[index_of(pow3)] = {{0.0, 1.0}, {0.0, 1.0}, {0.0, 0.4}};
  CHECK_FALSE(supports(bounded, {0.9, 0.5, 0.5}));
  CHECK(supports(bounded, {0.9, 0.5, 0.4}));
  // exp(-b / x) / x peaks at x = b: at 20, behind which it falls but stays above its value at 2; or at 4, when it does
  // not.
  const Family& vap = *find_family("vap");
  const std::array<double, 3> peak = {0.0, -4.0, -1.0};
  CHECK(Prior({}, 60.0).supports(vap, std::array{0.0, -20.0, -1.0}.data()));
  CHECK_FALSE(Prior({.monotonicity = Monotonicity::strict}, 60.0).supports(vap, std::array{0.0, -20.0, -1.0}.data()));
  CHECK_FALSE(Prior({}, 60.0).supports(vap, peak.data()));
}

TEST_CASE("curve_extrapolation's density is that of weighted Gaussian noise around the mean of families") {
  // ilog2 at e - 1 is c - a, and pow3 with alpha 0 is c - a.
  const Points points{{{std::exp(1.0) - 1.0}, {std::exp(1.0) - 1.0}}, {0.5, 0.7}, {1.0, 3.0}};
  const Posterior posterior({find_family("ilog2"), find_family("pow3")}, Prior({}, 60.0), points, 60.0);
  REQUIRE(posterior.dimension() == 2 + 3 + 1 + 2);
  // 0.4 and 0.8, of weights 1 and 3: 0.7. Errors of 0.2 and 0, of which the first counts once.
  const std::vector<double> theta = {0.8, 0.4, 0.9, 0.1, 0.0, 0.5, 1.0, 3.0};
  CHECK(posterior(theta) == Approx(-4.0 * std::log(0.5) - 0.04 / (2.0 * 0.25)));
  CHECK(posterior.sigma(theta) == 0.5);
  CHECK(posterior.end(theta) == Approx(0.25 * (0.8 - 0.4 / std::log(61.0)) + 0.75 * 0.8));
  const auto changed = [&](std::size_t at, double value) {
    std::vector<double> other = theta;
    other[at] = value;
    return posterior(other);
  };
  const double never = -std::numeric_limits<double>::infinity();
  CHECK(changed(6, 0.0) > never);
  CHECK(changed(6, -0.1) == never);
  CHECK(changed(5, 0.0) == never);
  CHECK(changed(5, 1.0) == never);
  CHECK(changed(2, 200.0) == never);
  std::vector<double> scaled = theta;
  scaled[6] *= 7.0;
  scaled[7] *= 7.0;
  CHECK(posterior(scaled) == Approx(posterior(theta)));
}

// ---- the families' disagreement -------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation weighs families by their probability, and what they disagree on") {
  CHECK(effective_count(std::vector<double>{3.0, 3.0, 3.0}) == Approx(3.0));
  CHECK(effective_count(std::vector<double>{1.0, 2.0}) == Approx(1.8));
  // Of 4 points: likelihoods as 1 : 1/16, and a penalty of 4^(-1/2) and 4^(-2/2).
  const std::vector<OwnFit> fits = {{.end = 0.5, .noise = 0.01, .parameters = 1},
                                    {.end = 0.7, .noise = 0.02, .parameters = 2}};
  const std::vector<double> probability = probabilities(fits, 4.0);
  CHECK(probability[0] == Approx(32.0 / 33.0));
  CHECK(probability[1] == Approx(1.0 / 33.0));
  // Three and two of them are free.
  CHECK(variance_around(0.6, fits, 4.0) == Approx((32.0 * (1e-4 * 4.0 / 3.0 + 0.01) + (4e-4 * 2.0 + 0.01)) / 33.0));
  CHECK(variance_around(0.5, std::span(fits).first(1), 1.0) == Approx(1e-4));  // none is
}

// ---- the sampler ----------------------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation's sampler reproduces the mean and covariance of a Gaussian") {
  // Of means 1 and -2, variances 4 and 0.01, and a correlation of 0.9.
  const auto density = [](std::span<const double> x) {
    const double u = (x[0] - 1.0) / 2.0, v = (x[1] + 2.0) / 0.1;
    return -(u * u - 2.0 * 0.9 * u * v + v * v) / (2.0 * (1.0 - 0.9 * 0.9));
  };
  Rng rng(3);
  std::vector<std::vector<double>> start;
  for (int i = 0; i < 50; ++i) start.push_back({rng.normal(), rng.normal()});
  EnsembleSampler sampler(start, density, 2.0, rng);
  double n = 0.0, x = 0.0, y = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
  for (int step = 0; step < 4000; ++step) {
    sampler.step(one_by_one);
    for (std::size_t walker = 0; step >= 500 && walker < sampler.walkers(); ++walker) {
      const double u = sampler.position(walker)[0] - 1.0, v = sampler.position(walker)[1] + 2.0;
      n += 1.0, x += u, y += v, xx += u * u, yy += v * v, xy += u * v;
    }
  }
  CHECK(x / n == Approx(0.0).margin(0.05));
  CHECK(y / n == Approx(0.0).margin(0.0025));
  CHECK(xx / n == Approx(4.0).epsilon(0.05));
  CHECK(yy / n == Approx(0.01).epsilon(0.05));
  CHECK(xy / n == Approx(0.9 * 2.0 * 0.1).epsilon(0.05));
}

TEST_CASE("curve_extrapolation's sampler does not leave the support, and is the same in whatever order walkers move") {
  const auto density = [](std::span<const double> x) {
    return x[0] > 0.0 ? -x[0] : -std::numeric_limits<double>::infinity();
  };
  const auto backwards = [](std::size_t count, const auto& body) {
    for (std::size_t i = count; i > 0; --i) body(i - 1);
  };
  const std::vector<std::vector<double>> start = {{1.0}, {2.0}, {3.0}, {4.0}, {5.0}, {6.0}};
  EnsembleSampler one(start, density, 2.0, Rng(1)), other(start, density, 2.0, Rng(1));
  for (int step = 0; step < 200; ++step) {
    one.step(one_by_one);
    other.step(backwards);
    for (std::size_t walker = 0; walker < 6; ++walker) {
      REQUIRE(one.position(walker)[0] > 0.0);
      REQUIRE(one.position(walker)[0] == other.position(walker)[0]);
    }
  }
}

// ---- predictions ----------------------------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation tells where curves with noise end") {
  for (const char* name : {"pow3", "mmf", "ilog2"}) {
    Extrapolation extrapolation(Json{{"steps", 300}, {"burn_in", 200}});
    int within = 0;
    double error = 0.0, last_error = 0.0;
    for (int i = 0; i < 10; ++i) {
      const DrawnCurve drawn = drawn_curve(*find_family(name), i, 60, 0.5, Rng(5));
      const LearningCurve partial = shortened(drawn.curve, 20);
      const std::optional<Prediction> prediction = extrapolation.predict(partial, 60);
      REQUIRE(prediction);
      within += std::abs(prediction->mean - drawn.end) <= 2.0 * prediction->deviation ? 1 : 0;
      error += std::abs(prediction->mean - drawn.end);
      last_error += std::abs(partial.rewards.back() - drawn.end);
    }
    INFO(name << ": mean error " << error / 10.0 << ", of the last value " << last_error / 10.0);
    CHECK(within >= 8);
    CHECK(error < last_error);
  }
}

TEST_CASE("curve_extrapolation's deviation changes by what it is of, its mean does not") {
  const Json sampled = with(short_run, {{"deviation", "sampled"}});
  const LearningCurve partial = shortened(drawn_curve(*find_family("weibull"), 2, 40, 1.0, Rng(11)).curve, 20);
  const auto ours = Extrapolation(short_run).predict(partial, 40, 95.0);
  const auto papers = Extrapolation(sampled).predict(partial, 40, 95.0);
  REQUIRE((ours && papers));
  CHECK(ours->mean == papers->mean);
  CHECK(ours->deviation > papers->deviation);  // half of the families see no end of the rise
  CHECK(ours->probability_above > papers->probability_above);
}

TEST_CASE("curve_extrapolation's probability is that of its samples") {
  Extrapolation extrapolation(short_run);
  const LearningCurve partial = shortened(drawn_curve(*find_family("pow3"), 1, 60, 0.5, Rng(5)).curve, 20);
  const Prediction middle = *extrapolation.predict(partial, 60, 50.0);
  CHECK(extrapolation.predict(partial, 60, middle.mean)->probability_above == Approx(0.5).margin(0.2));
  CHECK(extrapolation.predict(partial, 60, middle.mean - 10.0 * middle.deviation)->probability_above > 0.98);
  CHECK(extrapolation.predict(partial, 60, middle.mean + 10.0 * middle.deviation)->probability_above < 0.02);
}

TEST_CASE("curve_extrapolation predicts the same by any number of threads") {
  const auto on_cores_less = [](int slots) {
    Json study = PredictorCheck{}.study;
    study["slots"] = slots;
    return study;
  };
  Extrapolation one(short_run, on_cores_less(1000)), all(short_run, on_cores_less(0));
  for (int trial = 0; trial < 3; ++trial) {
    const LearningCurve partial = shortened(drawn_curve(*find_family("pow3"), trial, 60, 0.5, Rng(5)).curve, 20);
    const auto expected = one.predict(partial, 60), found = all.predict(partial, 60);
    REQUIRE(expected);
    CHECK(predictor_contract::same(expected, found));
  }
}

TEST_CASE("curve_extrapolation says nothing of curves that cannot be extrapolated") {
  Extrapolation extrapolation(short_run);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> rising = {10.0, 30.0, 42.0, 50.0, 55.0, 58.0, 60.0, 61.0};
  REQUIRE(extrapolation.predict(of_rewards(rising), 60));
  CHECK_FALSE(extrapolation.predict(of_rewards({}), 60));
  CHECK_FALSE(extrapolation.predict(of_rewards({50.0}), 60));
  CHECK_FALSE(extrapolation.predict(of_rewards({10.0, 30.0, 42.0, 50.0}), 60));                    // too short
  CHECK_FALSE(extrapolation.predict(of_rewards(std::vector<double>(20, 10.0)), 60));               // flat
  CHECK_FALSE(extrapolation.predict(of_rewards({80.0, 60.0, 40.0, 20.0, 10.0, 5.0, 2.0}), 60));    // diverges
  CHECK_FALSE(extrapolation.predict(of_rewards({10.0, 30.0, 42.0, 50.0, 10.0, 10.0, 10.0}), 60));  // diverges later
  CHECK_FALSE(extrapolation.predict(of_rewards({10.0, 30.0, nan, 50.0, 55.0, 58.0, 60.0}), 60));
  CHECK_FALSE(extrapolation.predict(of_rewards({10.0, 30.0, 42.0, 50.0, 55.0, 58.0, 160.0}), 60));
  CHECK_FALSE(extrapolation.predict(of_rewards(rising), 8));  // too long: it is at the horizon
  CHECK_FALSE(extrapolation.predict(of_rewards(rising), 7));
  // Without any sign of an end it would come to more than there is.
  CHECK_FALSE(extrapolation.predict(of_rewards({10.0, 22.0, 34.0, 46.0, 58.0, 70.0, 82.0, 94.0}), 60));
}

TEST_CASE("curve_extrapolation leaves out families that fit badly") {
  // A quick rise to a plateau, which ilog2 misses by percents.
  const LearningCurve partial = shortened(drawn_curve(*find_family("weibull"), 0, 60, 0.5, Rng(5)).curve, 20);
  const Json narrow = with(short_run, {{"largest_noise", 0.01}});
  const auto both = Extrapolation(with(narrow, {{"families", {"ilog2", "weibull", "exp4"}}})).predict(partial, 60);
  REQUIRE(both);
  CHECK(predictor_contract::same(
      both, Extrapolation(with(narrow, {{"families", {"weibull", "exp4"}}})).predict(partial, 60)));
  CHECK_FALSE(Extrapolation(with(narrow, {{"families", Json::array({"ilog2"})}})).predict(partial, 60));
}

TEST_CASE("curve_extrapolation drops a flat beginning") {
  std::vector<double> rewards(10, 10.0);
  const std::vector<double> rising = {30.0, 42.0, 50.0, 55.0, 58.0, 60.0, 61.0, 61.5};
  rewards.insert(rewards.end(), rising.begin(), rising.end());
  Extrapolation extrapolation(short_run);
  const auto late = extrapolation.predict(of_rewards(rewards), 60);
  REQUIRE(late);
  // As if the training had begun ten epochs later, but for what is drawn, which depends on the number of points.
  const auto begun = extrapolation.predict(of_rewards(rising), 50);
  REQUIRE(begun);
  CHECK(late->mean == Approx(begun->mean).margin(3.0));
  CHECK_FALSE(Extrapolation(with(short_run, {{"least_points", 9}})).predict(of_rewards(rewards), 60));
  CHECK(Extrapolation(with(short_run, {{"least_points", 9}, {"flat_points", 0}})).predict(of_rewards(rewards), 60));
}

TEST_CASE("curve_extrapolation extrapolates what is to be minimised, and any range") {
  const Json study = {{"objectives", {{{"name", "error"}, {"direction", "minimize"}, {"range", {0.0, 1.0}}}}},
                      {"slots", 1000}};
  const LearningCurve accuracy = shortened(drawn_curve(*find_family("pow3"), 1, 60, 0.5, Rng(5)).curve, 20);
  LearningCurve error = accuracy;
  for (double& reward : error.rewards) reward = -(1.0 - reward / 100.0);
  const auto in_percent = Extrapolation(short_run).predict(accuracy, 60, 70.0);
  const auto of_error = Extrapolation(short_run, study).predict(error, 60, -0.3);
  REQUIRE((in_percent && of_error));
  CHECK(of_error->mean == Approx(in_percent->mean / 100.0 - 1.0).margin(0.02));
  CHECK_FALSE(Extrapolation(with(short_run, {{"range", {0.0, 20.0}}})).predict(accuracy, 60));
}

TEST_CASE("curve_extrapolation refuses what gives no sample or no curve") {
  const auto refused = [](const Json& args) { Extrapolation extrapolation(args); };
  CHECK_THROWS_WITH(refused({{"steps", 100}, {"burn_in", 95}}),
                    ContainsSubstring("/steps is 100; must be at least burn_in and thin together, 105"));
  CHECK_THROWS_WITH(refused({{"families", {"pow5"}}}),
                    ContainsSubstring("/families has \"pow5\"; must be of vap, pow3"));
  CHECK_THROWS_WITH(refused({{"bounds", {{"pow3", {{0.0, 1.0}}}}}}),
                    ContainsSubstring("/bounds/pow3 has 1 intervals; must have 3"));
  CHECK_THROWS_WITH(refused({{"bounds", {{"ilog2", {{0.0, 1.0}, {2.0, 1.0}}}}}}),
                    ContainsSubstring("/bounds/ilog2 has [2.0,1.0]; the first number must be below the second"));
  CHECK_THROWS_WITH(Extrapolation(Json::object(), Json::object()), ContainsSubstring("/range is not given"));
}

// ---- curves for tests and benchmarks --------------------------------------------------------------------------------

TEST_CASE("curve_extrapolation's drawn curves are plausible, and the same for the same seed") {
  for (const Family& family : all_families) {
    for (int trial = 0; trial < 20; ++trial) {
      const DrawnCurve drawn = drawn_curve(family, trial, 100, 0.0, Rng(9));
      INFO(family.name << " " << Json(drawn.parameters).dump());
      REQUIRE(drawn.curve.size() == 100);
      CHECK(drawn.curve.rewards.back() == drawn.end);
      CHECK((drawn.end > 15.0 && drawn.end < 100.0));
      CHECK(drawn.end - drawn.curve.rewards.front() >= 15.0);
      const DrawnCurve noisy = drawn_curve(family, trial, 100, 1.0, Rng(9));
      CHECK(noisy.parameters == drawn.parameters);
      CHECK(noisy.end == drawn.end);
      CHECK(noisy.curve.rewards != drawn.curve.rewards);
    }
  }
}
