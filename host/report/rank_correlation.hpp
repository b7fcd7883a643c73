// How far two measures of the same architectures rank them alike, and what a ranking is worth against chance.
//
// In all of them number i of either list is of the same architecture, and higher is better.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "weft/rng.hpp"

namespace weft::host {

// Kendall's tau-b: (concordant - discordant) / sqrt(pairs that differ in a * pairs that differ in b), in n log n steps
// (Knight 1966). Without ties (concordant - discordant) / (n (n - 1) / 2). Nothing where one of the lists is constant.
std::optional<double> kendall_tau_b(std::span<const double> a, std::span<const double> b);

// Spearman's rho: the correlation of the ranks, of equals the middle one. Nothing where one of the lists is constant.
std::optional<double> spearman_rho(std::span<const double> a, std::span<const double> b);

// Of the best `count` of one list, the share that is among the best `count` of the other; where equals have to be told
// apart, its mean over all orders of theirs. By chance it is `count` by size. `count` is 1 to the lists' size.
double overlap_of_best(std::span<const double> a, std::span<const double> b, std::size_t count);

// The mean of the best of `count` values that are drawn without replacement; `count` is 1 to their number.
double expected_best(std::span<const double> values, std::size_t count);

// The share of values above `value`, equal ones by half; of none 0.
double share_above(std::span<const double> values, double value);

// Which of `size` architectures are in a resample, in rising order, repetitions included; and a statistic of them.
using Resample = std::vector<std::size_t>;
using Statistic = std::function<std::optional<double>(const Resample&)>;

// The percentile interval of a bootstrap (Efron 1979): the middle `confidence` of what the statistic is in so many
// resamples, by linear interpolation. Where it is not defined in a resample, that one is left out; nothing if all are.
std::optional<std::pair<double, double>> bootstrap_interval(std::size_t size, std::size_t resamples, double confidence,
                                                            Rng rng, const Statistic& statistic);

}  // namespace weft::host
