// Affine-invariant ensemble sampling: a walker of many is moved along the line through it and another one, by a factor
// that makes the move as good in any affine coordinates.
//
// Goodman, Weare 2010, "Ensemble samplers with affine invariance", the stretch move; in two halves, of which one moves
// while the other stands still, as in Foreman-Mackey, Hogg, Lang, Goodman 2013, "emcee: The MCMC Hammer", algorithm 3.
//
// All of a half may be moved at once. Each walker has a stream of random numbers of its own, so that the samples are
// the same whatever the number of threads.
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "weft/rng.hpp"

namespace curve_extrapolation {

// LogDensity: double(std::span<const double> position), up to a constant; -infinity where the density is 0.
template <typename LogDensity>
class EnsembleSampler {
 public:
  // One position for each walker: an even number of them, at least twice the dimension.
  EnsembleSampler(const std::vector<std::vector<double>>& walkers, LogDensity log_density, double stretch,
                  const weft::Rng& rng)
      : log_density_(std::move(log_density)), stretch_(stretch), dimension_(walkers.front().size()) {
    assert(walkers.size() % 2 == 0 && "the two halves have one size");
    for (std::size_t walker = 0; walker < walkers.size(); ++walker) {
      positions_.insert(positions_.end(), walkers[walker].begin(), walkers[walker].end());
      log_densities_.push_back(log_density_(walkers[walker]));
      rngs_.push_back(rng.derive("walker", walker));
    }
    proposals_.resize(positions_.size());
  }

  std::size_t walkers() const { return rngs_.size(); }
  std::span<const double> position(std::size_t walker) const {
    return {positions_.data() + walker * dimension_, dimension_};
  }

  // Moves every walker once. `for_each(count, body)` calls body(0) to body(count - 1), in any order or all at once.
  template <typename ForEach>
  void step(const ForEach& for_each) {
    const std::size_t half = walkers() / 2;
    for_each(half, [&](std::size_t i) { move(i, half); });
    for_each(half, [&](std::size_t i) { move(half + i, 0); });
  }

 private:
  // Along the line through one of the other half, which begins at `others`.
  void move(std::size_t walker, std::size_t others) {
    weft::Rng& rng = rngs_[walker];
    const double* from = positions_.data() + walker * dimension_;
    const double* other = positions_.data() + (others + rng.below(walkers() / 2)) * dimension_;
    // z has the density g(z) ~ 1 / sqrt(z) on [1/a, a].
    const double root = (stretch_ - 1.0) * rng.uniform() + 1.0;
    const double z = root * root / stretch_;
    double* proposal = proposals_.data() + walker * dimension_;
    for (std::size_t i = 0; i < dimension_; ++i) proposal[i] = other[i] + z * (from[i] - other[i]);

    const double proposed = log_density_(std::span<const double>(proposal, dimension_));
    const double log_ratio = static_cast<double>(dimension_ - 1) * std::log(z) + proposed - log_densities_[walker];
    const bool accepted = std::log(1.0 - rng.uniform()) < log_ratio;
    if (!accepted) return;
    std::copy_n(proposal, dimension_, positions_.data() + walker * dimension_);
    log_densities_[walker] = proposed;
  }

  LogDensity log_density_;
  double stretch_;  // a
  std::size_t dimension_;
  std::vector<double> positions_;  // walkers x dimension, as are the proposals
  std::vector<double> proposals_;
  std::vector<double> log_densities_;
  std::vector<weft::Rng> rngs_;
};

}  // namespace curve_extrapolation
