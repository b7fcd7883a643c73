#include "weft/learning/forest.hpp"

#include <cmath>
#include <numbers>
#include <optional>
#include <set>
#include <vector>

#include "tests/catch.hpp"

using namespace weft;
using learning::RegressionForest;

namespace {

constexpr RegressionForest::Options one_tree{.trees = 1, .feature_fraction = 1.0, .bootstrap = false};

Eigen::VectorXd at(double x) { return Eigen::VectorXd::Constant(1, x); }

struct Samples {
  Eigen::MatrixXd inputs;
  Eigen::VectorXd targets;
};

// Friedman 1991, "Multivariate Adaptive Regression Splines": five features that matter, and five that do not.
Samples friedman(Eigen::Index count, std::uint64_t seed, double noise = 0.5) {
  Rng rng(seed);
  Samples samples{Eigen::MatrixXd(count, 10), Eigen::VectorXd(count)};
  for (Eigen::Index i = 0; i < count; ++i) {
    for (Eigen::Index j = 0; j < 10; ++j) samples.inputs(i, j) = rng.uniform();
    const auto x = samples.inputs.row(i);
    samples.targets(i) = 10 * std::sin(std::numbers::pi * x(0) * x(1)) + 20 * (x(2) - 0.5) * (x(2) - 0.5) + 10 * x(3) +
                         5 * x(4) + noise * rng.normal();
  }
  return samples;
}

double variance(const Eigen::VectorXd& values) { return (values.array() - values.mean()).square().mean(); }

}  // namespace

// Of 0, 0, 10, 12 the split in the middle leaves the squared error 2, the others at least 61.
TEST_CASE("a forest's stump splits where the squared error is least, half-way between two values") {
  const Eigen::MatrixXd x = Eigen::Vector4d(1, 2, 3, 4);
  const Eigen::VectorXd y = Eigen::Vector4d(0, 0, 10, 12);
  RegressionForest::Options options = one_tree;
  options.depth = 1;
  const RegressionForest stump(x, y, options, Rng(1));
  CHECK(stump.predict(at(2.5)).mean == 0.0);
  CHECK(stump.predict(at(2.5)).variance() == 0.0);
  CHECK(stump.predict(at(2.51)).mean == 11.0);
  CHECK(stump.predict(at(2.51)).between == 0.0);
  CHECK(stump.predict(at(2.51)).within == 1.0);
}

TEST_CASE("a forest's tree without bounds repeats what it has seen") {
  const Samples samples = friedman(100, 1);
  const RegressionForest forest(samples.inputs, samples.targets, one_tree, Rng(1));
  for (Eigen::Index i = 0; i < 100; ++i) {
    const auto prediction = forest.predict(samples.inputs.row(i).transpose());
    CHECK(prediction.mean == samples.targets(i));
    CHECK(prediction.variance() == 0.0);
  }
}

TEST_CASE("a forest keeps to its depth and to the least size of a leaf") {
  const Samples samples = friedman(64, 2);
  const auto leaves = [&](RegressionForest::Options options) {
    const RegressionForest forest(samples.inputs, samples.targets, options, Rng(1));
    std::multiset<double> means;
    for (Eigen::Index i = 0; i < 64; ++i) means.insert(forest.predict(samples.inputs.row(i).transpose()).mean);
    return means;
  };
  RegressionForest::Options shallow = one_tree;
  shallow.depth = 3;
  const std::multiset<double> few = leaves(shallow);
  CHECK(std::set(few.begin(), few.end()).size() == 8);
  RegressionForest::Options broad = one_tree;
  broad.least_leaf = 10;
  const std::multiset<double> means = leaves(broad);
  CHECK(std::set(means.begin(), means.end()).size() > 2);
  for (const double mean : means) CHECK(means.count(mean) >= 10);
}

// Trees that are one leaf: the means of bootstraps of n samples have variance s^2 / n, within them s^2 (1 - 1 / n) is
// left to be expected, s^2 the samples' variance.
TEST_CASE("a forest's trees see bootstraps of the samples, and its variance is that of a law of total variance") {
  const Samples samples = friedman(20, 3);
  const RegressionForest forest(samples.inputs, samples.targets, {.trees = 4000, .least_leaf = 20}, Rng(4));
  const auto prediction = forest.predict(samples.inputs.row(0).transpose());
  const double of_samples = variance(samples.targets);
  CHECK(prediction.mean == Approx(samples.targets.mean()).margin(4 * std::sqrt(of_samples / 20 / 4000)));
  CHECK(prediction.between == Approx(of_samples / 20).epsilon(0.1));
  CHECK(prediction.within == Approx(of_samples * 19 / 20).epsilon(0.03));
  CHECK(prediction.variance() == prediction.between + prediction.within);
}

// The mean of the trees that drew the feature that matters, 1 in 10, and of those that did not and know nothing.
TEST_CASE("a forest tries a share of the features at each split") {
  Rng rng(5);
  Samples samples{Eigen::MatrixXd(200, 10), Eigen::VectorXd(200)};
  for (Eigen::Index i = 0; i < 200; ++i) {
    for (Eigen::Index j = 0; j < 10; ++j) samples.inputs(i, j) = rng.uniform();
    samples.targets(i) = samples.inputs(i, 7) < 0.5 ? 0.0 : 1.0;
  }
  const auto low = [&](double fraction) {
    const RegressionForest::Options options{
        .trees = 1000, .feature_fraction = fraction, .least_leaf = 60, .depth = 1, .bootstrap = false};
    Eigen::VectorXd input = Eigen::VectorXd::Constant(10, 0.5);
    input(7) = 0.0;
    return RegressionForest(samples.inputs, samples.targets, options, Rng(6)).predict(input);
  };
  CHECK(low(1.0).mean == Approx(0.0).margin(1e-9));
  CHECK(low(1.0).between == Approx(0.0).margin(1e-9));
  CHECK(low(0.1).mean == Approx(0.9 * samples.targets.mean()).margin(0.06));
  CHECK(low(0.5).mean == Approx(0.5 * samples.targets.mean()).margin(0.06));
  CHECK(low(0.5).between > 0.03);
}

TEST_CASE("a forest draws on where no feature that it drew splits") {
  Samples samples{Eigen::MatrixXd::Ones(16, 10), Eigen::VectorXd(16)};
  for (Eigen::Index i = 0; i < 16; ++i) samples.targets(i) = samples.inputs(i, 4) = static_cast<double>(i);
  RegressionForest::Options options = one_tree;
  options.feature_fraction = 0.1;
  const RegressionForest forest(samples.inputs, samples.targets, options, Rng(1));
  for (Eigen::Index i = 0; i < 16; ++i)
    CHECK(forest.predict(samples.inputs.row(i).transpose()).mean == samples.targets(i));
}

TEST_CASE("a forest of samples that cannot be told apart says their mean and variance") {
  const Eigen::MatrixXd same = Eigen::MatrixXd::Constant(4, 2, 3.0);
  const RegressionForest forest(same, Eigen::Vector4d(1, 2, 3, 6), one_tree, Rng(1));
  CHECK(forest.predict(Eigen::Vector2d(0, 9)).mean == 3.0);
  CHECK(forest.predict(Eigen::Vector2d(0, 9)).variance() == 3.5);
  const RegressionForest without(Eigen::MatrixXd(4, 0), Eigen::Vector4d(1, 2, 3, 6), one_tree, Rng(1));
  CHECK(without.predict(Eigen::VectorXd(0)).mean == 3.0);
}

TEST_CASE("a forest is the same by whatever order of its trees, and another by another stream") {
  const Samples samples = friedman(60, 7);
  const auto backwards = [](std::size_t count, const std::function<void(std::size_t)>& visit) {
    while (count > 0) visit(--count);
  };
  const RegressionForest::Options options{.trees = 20};
  const RegressionForest one(samples.inputs, samples.targets, options, Rng(1));
  const RegressionForest other(samples.inputs, samples.targets, options, Rng(1), backwards);
  const RegressionForest third(samples.inputs, samples.targets, options, Rng(2));
  const Eigen::VectorXd input = Eigen::VectorXd::Constant(10, 0.3);
  CHECK(one.predict(input).mean == other.predict(input).mean);
  CHECK(one.predict(input).variance() == other.predict(input).variance());
  CHECK(one.out_of_bag(samples.inputs) == other.out_of_bag(samples.inputs));
  CHECK(one.predict(input).mean != third.predict(input).mean);
}

TEST_CASE("a forest's error out of bag is that on samples it has not seen") {
  const Samples known = friedman(300, 8), unknown = friedman(1000, 9);
  const RegressionForest forest(known.inputs, known.targets, {.trees = 200}, Rng(10));
  double seen = 0.0, out_of_bag = 0.0, test = 0.0;
  const std::vector<std::optional<double>> means = forest.out_of_bag(known.inputs);
  for (Eigen::Index i = 0; i < 300; ++i) {
    const double target = known.targets(i);
    REQUIRE(means[static_cast<std::size_t>(i)]);
    seen += std::pow(forest.predict(known.inputs.row(i).transpose()).mean - target, 2) / 300;
    out_of_bag += std::pow(*means[static_cast<std::size_t>(i)] - target, 2) / 300;
  }
  for (Eigen::Index i = 0; i < 1000; ++i)
    test += std::pow(forest.predict(unknown.inputs.row(i).transpose()).mean - unknown.targets(i), 2) / 1000;
  CHECK(1.0 - test / variance(unknown.targets) > 0.75);  // R2
  CHECK(out_of_bag == Approx(test).epsilon(0.25));
  CHECK(seen < 0.5 * test);
  RegressionForest::Options whole = one_tree;
  CHECK_FALSE(RegressionForest(known.inputs, known.targets, whole, Rng(1)).out_of_bag(known.inputs)[0]);
}
