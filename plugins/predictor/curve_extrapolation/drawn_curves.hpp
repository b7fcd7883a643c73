// Curves drawn from each family, with noise, for tests and benchmarks: what a training may look like, and where it
// ends.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "families.hpp"
#include "weft/curve.hpp"
#include "weft/rng.hpp"

namespace curve_extrapolation {

struct DrawnCurve {
  std::vector<double> parameters;
  weft::LearningCurve
      curve;   // of all epochs to the horizon, in percent, with noise within 0 and 100; cut it for a partial one
  double end;  // at the horizon without noise, in percent
};

namespace detail {

struct Range {
  double least, largest;
};

// Of every family's parameters, in the order of all_families.
inline constexpr std::array<std::array<Range, most_parameters>, all_families.size()> plausible = {{
    {{{-0.6, -0.1}, {-2.0, -0.4}, {0.0, 0.05}}},            // vap: a, b, c
    {{{0.6, 0.98}, {0.3, 0.8}, {0.3, 1.2}}},                // pow3: c, a, alpha
    {{{0.05, 0.3}, {1.05, 1.4}}},                           // loglog_linear: a, b
    {{{0.6, 0.98}, {0.5, 1.5}, {1.0, 8.0}}},                // hill3: theta, eta, kappa
    {{{0.6, 0.98}, {0.3, 2.5}, {-1.5, -0.5}}},              // log_power: a, b, c
    {{{0.6, 0.98}, {0.5, 5.0}, {0.5, 3.0}, {0.3, 1.2}}},    // pow4: c, a, b, alpha
    {{{0.6, 0.98}, {0.05, 0.3}, {0.05, 1.0}, {0.7, 2.0}}},  // mmf: alpha, beta, kappa, delta
    {{{0.6, 0.98}, {0.1, 0.8}, {-0.8, -0.2}, {0.4, 1.0}}},  // exp4: c, a, b, alpha
    {{{0.6, 0.98}, {0.05, 0.3}, {0.05, 0.6}, {0.4, 1.0}}},  // janoschek: alpha, beta, kappa, delta
    {{{0.6, 0.98}, {0.05, 0.3}, {0.02, 0.4}, {0.5, 1.2}}},  // weibull: alpha, beta, kappa, delta
    {{{0.6, 0.98}, {0.2, 0.6}}},                            // ilog2: c, a
}};

// From 2 to 70 percent at first, it rises by 15 at least, falls nowhere, and stays below 99.
inline bool is_plausible(const Family& family, const std::vector<double>& parameters, int horizon) {
  double before = family.value(parameters, 1.0);
  const double first = before;
  if (!(first >= 0.02 && first <= 0.7)) return false;
  for (int epoch = 2; epoch <= horizon; ++epoch) {
    const double value = family.value(parameters, epoch);
    if (!(value >= before)) return false;
    before = value;
  }
  return before - first >= 0.15 && before <= 0.99;
}

}  // namespace detail

// `noise` is its standard deviation, in percent. The noise is from a stream of its own.
inline DrawnCurve drawn_curve(const Family& family, weft::TrialId trial, int horizon, double noise,
                              const weft::Rng& seed) {
  weft::Rng rng = seed.derive(family.name, static_cast<std::uint64_t>(trial));
  weft::Rng noise_rng = rng.derive("noise");
  const auto& ranges = detail::plausible[index_of(family)];
  DrawnCurve drawn{{}, {.trial = trial, .horizon = horizon}, 0.0};
  for (int attempt = 0; attempt < 10000; ++attempt) {
    drawn.parameters.clear();
    for (std::size_t i = 0; i < family.parameters; ++i)
      drawn.parameters.push_back(rng.uniform(ranges[i].least, ranges[i].largest));
    if (detail::is_plausible(family, drawn.parameters, horizon)) break;
    drawn.parameters.clear();
  }
  if (drawn.parameters.empty())
    throw std::logic_error("no plausible curve of " + std::string(family.name) + " in 10000 draws");
  for (int epoch = 1; epoch <= horizon; ++epoch) {
    drawn.curve.epochs.push_back(epoch);
    drawn.end = 100.0 * family.value(drawn.parameters, epoch);
    drawn.curve.rewards.push_back(std::clamp(drawn.end + noise * noise_rng.normal(), 0.0, 100.0));
  }
  return drawn;
}

}  // namespace curve_extrapolation
