#include "host/report/rank_correlation.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/catch.hpp"

using namespace weft;
using namespace weft::host;

namespace {

// By its definition, pair by pair.
std::optional<double> tau_b_by_pairs(const std::vector<double>& a, const std::vector<double>& b) {
  double balance = 0, differ_in_a = 0, differ_in_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double product = (a[i] - a[j]) * (b[i] - b[j]);
      balance += product > 0 ? 1 : product < 0 ? -1 : 0;
      differ_in_a += a[i] != a[j] ? 1 : 0;
      differ_in_b += b[i] != b[j] ? 1 : 0;
    }
  }
  if (differ_in_a * differ_in_b == 0) return {};
  return balance / std::sqrt(differ_in_a * differ_in_b);
}

std::vector<double> drawn(std::size_t size, std::size_t different, Rng& rng) {
  std::vector<double> values(size);
  for (double& value : values) value = static_cast<double>(rng.below(different));
  return values;
}

}  // namespace

TEST_CASE("Kendall's tau-b is what all pairs say, also where many are equal") {
  Rng rng(4);
  for (const std::size_t size : {2, 3, 10, 57}) {
    for (const std::size_t different : {1, 2, 5, 1000}) {
      const std::vector<double> a = drawn(size, different, rng), b = drawn(size, different, rng);
      const std::optional<double> expected = tau_b_by_pairs(a, b), found = kendall_tau_b(a, b);
      INFO(size << " of " << different);
      REQUIRE(found.has_value() == expected.has_value());
      if (expected) CHECK(*found == Approx(*expected).margin(1e-12));
    }
  }
}

// Without ties by hand; with ties the examples of scipy.stats.kendalltau and spearmanr.
TEST_CASE("rank correlations have known values, with ties and without") {
  const std::vector<double> one_to_ten = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const std::vector<double> falling = {7, 5, 8, 4, 6, 10, 3, 9, 1, 2};  // 16 of 45 pairs agree
  CHECK(kendall_tau_b(one_to_ten, falling).value() == Approx((16.0 - 29.0) / 45.0));
  CHECK(kendall_tau_b(std::vector<double>{12, 2, 1, 12, 2}, std::vector<double>{1, 4, 7, 1, 0}).value() ==
        Approx(-0.47140452079103173));
  // Of ranks without ties 1 - 6 sum d^2 / (n (n^2 - 1)); with ties the correlation of the middle ranks.
  double squares = 0;
  for (std::size_t i = 0; i < 10; ++i) squares += std::pow(one_to_ten[i] - falling[i], 2);
  CHECK(spearman_rho(one_to_ten, falling).value() == Approx(1 - 6 * squares / 990));
  CHECK(spearman_rho(std::vector<double>{1, 2, 3, 4, 5}, std::vector<double>{5, 6, 7, 8, 7}).value() ==
        Approx(0.8207826816681233));
  CHECK(spearman_rho(one_to_ten, std::vector<double>(10, 3.0)) == std::nullopt);
  CHECK(kendall_tau_b(std::vector<double>(10, 3.0), one_to_ten) == std::nullopt);
}

TEST_CASE("the overlap of the best is exact, and equals are told apart by every order of theirs") {
  const std::vector<double> a = {9, 8, 7, 1, 2}, b = {1, 9, 8, 7, 2};
  CHECK(overlap_of_best(a, b, 1) == 0.0);
  CHECK(overlap_of_best(a, b, 2) == 0.5);
  CHECK(overlap_of_best(a, b, 3) == Approx(2.0 / 3));
  CHECK(overlap_of_best(a, b, 5) == 1.0);
  const std::vector<double> same(5, 4.0);
  CHECK(overlap_of_best(a, same, 2) == Approx(2.0 / 5));  // chance
  CHECK(overlap_of_best(same, same, 2) == Approx(2.0 / 5));
  // The second place of {5, 4, 4, 4} is each one's in a third of the orders: (1 + 1/3 * 1) / 2.
  CHECK(overlap_of_best(std::vector<double>{5, 4, 4, 4}, std::vector<double>{9, 8, 1, 2}, 2) == Approx(2.0 / 3));
}

TEST_CASE("the expected best of a few is its mean over all choices of so many") {
  const std::vector<double> values = {3, 1, 4, 1, 5, 9, 2, 6};
  for (std::size_t count = 1; count <= values.size(); ++count) {
    double sum = 0;
    int choices = 0;
    for (unsigned mask = 0; mask < 1U << values.size(); ++mask) {
      if (static_cast<std::size_t>(std::popcount(mask)) != count) continue;
      double best = 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        if ((mask >> i & 1U) != 0) best = std::max(best, values[i]);
      }
      sum += best;
      ++choices;
    }
    INFO(count);
    CHECK(expected_best(values, count) == Approx(sum / choices));
  }
  CHECK(share_above(values, 4) == Approx((3 + 0.5) / 8));
  CHECK(share_above(values, 9) == Approx(0.5 / 8));
  CHECK(share_above({}, 1) == 0.0);
}

// Of n values of variance v the mean has the variance v / n, and its interval the normal one's width.
TEST_CASE("a bootstrap's interval is as wide as theory has it, and the same for the same seed") {
  Rng rng(8);
  std::vector<double> values(200);
  for (double& value : values) value = rng.normal();
  const auto mean = [&](const Resample& resample) {
    double sum = 0;
    for (const std::size_t i : resample) sum += values[i];
    return std::optional(sum / static_cast<double>(resample.size()));
  };
  Resample all(values.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const double middle = *mean(all);
  double variance = 0;
  for (const double value : values) variance += (value - middle) * (value - middle) / 200;

  const auto [low, high] = bootstrap_interval(200, 4000, 0.95, Rng(1), mean).value();
  CHECK((low + high) / 2 == Approx(middle).margin(0.02));
  CHECK(high - low == Approx(2 * 1.95996 * std::sqrt(variance / 200)).epsilon(0.05));
  CHECK(bootstrap_interval(200, 4000, 0.95, Rng(1), mean) == std::pair(low, high));
  CHECK(bootstrap_interval(200, 4000, 0.95, Rng(2), mean) != std::pair(low, high));
  CHECK(bootstrap_interval(3, 50, 0.95, Rng(1), [](const Resample&) { return std::optional<double>(); }) ==
        std::nullopt);
}
