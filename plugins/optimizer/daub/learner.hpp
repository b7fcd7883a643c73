// A learner: a candidate, how well it does with how much data, and how well it may come to do with all of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "weft/search/sampler.hpp"

namespace daub {

struct Measured {
  double validation = 0.0;
  std::optional<double> train = {};
};

struct Point {
  double amount = 0.0;  // n
  Measured measured;
};

// Least squares of the validation values against n.
inline double slope(std::span<const Point> points) {
  double mean_amount = 0.0, mean_value = 0.0, squares = 0.0, products = 0.0;
  for (const Point& point : points) {
    mean_amount += point.amount / static_cast<double>(points.size());
    mean_value += point.measured.validation / static_cast<double>(points.size());
  }
  for (const Point& point : points) {
    squares += (point.amount - mean_amount) * (point.amount - mean_amount);
    products += (point.amount - mean_amount) * (point.measured.validation - mean_value);
  }
  return products / squares;
}

class Learner {
 public:
  explicit Learner(weft::search::Sampler::Drawn candidate) : candidate_(std::move(candidate)) {}

  const weft::search::Sampler::Drawn& candidate() const { return candidate_; }

  // Allocations that were proposed, and those of which the results are known.
  std::size_t proposed() const { return proposed_; }
  std::size_t known() const { return curve_.size(); }
  bool under_way() const { return proposed_ > known(); }
  bool failed() const { return failed_; }
  bool initialised() const { return known() >= initial_allocations; }

  std::size_t propose() { return proposed_++; }
  void fail() { failed_ = true; }

  // Results may come in any order; they join the curve in that of their allocations.
  void tell(std::size_t allocation, Measured measured, const Allocations& allocations) {
    early_[allocation] = measured;
    for (auto next = early_.find(known()); next != early_.end(); next = early_.find(known())) {
      curve_.push_back({allocations.amount(next->first), next->second});
      early_.erase(next);
      make_monotone();
    }
  }

  // With N examples, from the last points: no learner does better there than on what it was trained on, and learning
  // curves are concave, so that none rises faster than it did:
  //   U = min(train(n), validation(n) + slope x (N - n)), slope >= 0
  double upper_bound(double whole) const {
    const Point& last = curve_.back();
    const std::size_t fitted = std::min(initial_allocations, curve_.size());
    const double rise = std::max(0.0, slope(std::span(curve_).last(fitted)));
    const double bound = last.measured.validation + rise * (whole - last.amount);
    return last.measured.train ? std::min(*last.measured.train, bound) : bound;
  }

 private:
  // More data do not harm: where the curve falls, both points are replaced by their mean.
  void make_monotone() {
    if (curve_.size() < 2) return;
    double& last = curve_.back().measured.validation;
    double& before = curve_[curve_.size() - 2].measured.validation;
    if (last < before) last = before = 0.5 * (last + before);
  }

  weft::search::Sampler::Drawn candidate_;
  std::size_t proposed_ = 0;
  std::vector<Point> curve_;
  std::map<std::size_t, Measured> early_;  // by allocation: those of which an earlier one's result is not known yet
  bool failed_ = false;
};

}  // namespace daub
