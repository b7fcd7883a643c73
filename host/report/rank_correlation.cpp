#include "host/report/rank_correlation.hpp"

#include <algorithm>
#include <boost/math/statistics/bivariate_statistics.hpp>
#include <cmath>
#include <numeric>

namespace weft::host {
namespace {

double pairs_of(double count) { return count * (count - 1) / 2; }

// In a sorted list, the pairs of equals.
template <typename T>
double equal_pairs(const std::vector<T>& sorted) {
  double pairs = 0;
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last = std::upper_bound(first, sorted.end(), *first);
    pairs += pairs_of(static_cast<double>(last - first));
    first = last;
  }
  return pairs;
}

// Sorts, and counts the pairs that stood in the wrong order.
double sort_counting(std::span<double> values) {
  if (values.size() < 2) return 0;
  const std::span<double> left = values.first(values.size() / 2), right = values.subspan(values.size() / 2);
  double wrong = sort_counting(left) + sort_counting(right);
  std::size_t passed = 0;
  for (const double value : right) {
    while (passed < left.size() && left[passed] <= value) ++passed;
    wrong += static_cast<double>(left.size() - passed);
  }
  std::inplace_merge(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(left.size()), values.end());
  return wrong;
}

// From 1; of equals each has the middle of theirs.
std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end()), ranks;
  std::sort(sorted.begin(), sorted.end());
  for (const double value : values) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
    ranks.push_back(static_cast<double>((first - sorted.begin()) + (last - sorted.begin()) + 1) / 2);
  }
  return ranks;
}

bool is_constant(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == values.front(); });
}

// How likely each is among the best `count`, where equals stand in a random order.
std::vector<double> chances_of_best(std::span<const double> values, std::size_t count) {
  std::vector<double> sorted(values.begin(), values.end()), chances;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (const double value : values) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value, std::greater<>());
    const double room = static_cast<double>(count) - static_cast<double>(first - sorted.begin());
    chances.push_back(std::clamp(room / static_cast<double>(last - first), 0.0, 1.0));
  }
  return chances;
}

// Type 7 of Hyndman and Fan 1996.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

}  // namespace

std::optional<double> kendall_tau_b(std::span<const double> a, std::span<const double> b) {
  std::vector<std::pair<double, double>> both;
  for (std::size_t i = 0; i < a.size(); ++i) both.emplace_back(a[i], b[i]);
  std::sort(both.begin(), both.end());
  std::vector<double> first, second;
  for (const auto& [of_a, of_b] : both) {
    first.push_back(of_a);
    second.push_back(of_b);
  }
  const double discordant = sort_counting(second);
  const double all = pairs_of(static_cast<double>(a.size()));
  const double differ_in_a = all - equal_pairs(first), differ_in_b = all - equal_pairs(second);
  if (differ_in_a == 0 || differ_in_b == 0) return {};
  const double differ_in_both = differ_in_a + differ_in_b - all + equal_pairs(both);
  return (differ_in_both - 2 * discordant) / std::sqrt(differ_in_a * differ_in_b);
}

std::optional<double> spearman_rho(std::span<const double> a, std::span<const double> b) {
  if (is_constant(a) || is_constant(b)) return {};
  return boost::math::statistics::correlation_coefficient(ranks_of(a), ranks_of(b));
}

double overlap_of_best(std::span<const double> a, std::span<const double> b, std::size_t count) {
  const std::vector<double> of_a = chances_of_best(a, count), of_b = chances_of_best(b, count);
  return std::inner_product(of_a.begin(), of_a.end(), of_b.begin(), 0.0) / static_cast<double>(count);
}

// Of n values in rising order number i, from 0, is the best of k in C(i, k - 1) of C(n, k) draws.
double expected_best(std::span<const double> values, std::size_t count) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  double chance = static_cast<double>(count) / static_cast<double>(sorted.size());
  double expected = 0;
  for (std::size_t i = sorted.size(); i-- >= count;) {
    expected += chance * sorted[i];
    if (i > 0) chance *= static_cast<double>(i - count + 1) / static_cast<double>(i);
  }
  return expected;
}

double share_above(std::span<const double> values, double value) {
  double above = 0;
  for (const double other : values) above += other > value ? 1.0 : other == value ? 0.5 : 0.0;
  return values.empty() ? 0.0 : above / static_cast<double>(values.size());
}

std::optional<std::pair<double, double>> bootstrap_interval(std::size_t size, std::size_t resamples, double confidence,
                                                            Rng rng, const Statistic& statistic) {
  std::vector<double> found;
  for (std::size_t i = 0; i < resamples; ++i) {
    Resample resample(size);
    for (std::size_t& index : resample) index = rng.below(size);
    std::sort(resample.begin(), resample.end());
    if (const std::optional<double> value = statistic(resample)) found.push_back(*value);
  }
  if (found.empty()) return {};
  std::sort(found.begin(), found.end());
  return std::pair(quantile(found, (1 - confidence) / 2), quantile(found, (1 + confidence) / 2));
}

}  // namespace weft::host
