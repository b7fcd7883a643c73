// What the regressors have in common: samples, folds of them, and the random search for hyperparameters.
//
// A family of regressors is a class, made for certain samples, with
//   Hyperparameters                   what a draw consists of
//   draw(rng)                         one of them
//   held_out(folds)                   a function of hyperparameters: of each sample in a fold, what a model predicts
//                                     that was fitted without that fold. It refers to family and folds
//   fit(hyperparameters, for_each)    a model of all samples, with its residuals where they come at no further fit
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "weft/learning/forest.hpp"
#include "weft/rng.hpp"

namespace sequential_regression {

using weft::learning::ForEach;
using Rows = std::vector<Eigen::Index>;

// Targets and the columns of the inputs have mean 0 and variance 1.
struct Samples {
  Eigen::MatrixXd inputs;  // samples x features
  Eigen::VectorXd targets;

  Eigen::Index size() const { return targets.size(); }
  Samples of(const Rows& rows) const { return {inputs(rows, Eigen::all), targets(rows)}; }
};

// Predictions of all samples in some folds, for hyperparameters.
template <typename Hyperparameters>
using HeldOut = std::function<Eigen::VectorXd(const Hyperparameters&)>;

class Regressor {
 public:
  virtual ~Regressor() = default;
  virtual double predict(const Eigen::VectorXd& input) const = 0;
};

inline void predict_rows(const Regressor& regressor, const Samples& samples, const Rows& rows,
                         Eigen::VectorXd& predicted) {
  for (const Eigen::Index row : rows) predicted(row) = regressor.predict(samples.inputs.row(row).transpose());
}

struct Fitted {
  std::unique_ptr<const Regressor> regressor;
  std::optional<Eigen::VectorXd> residuals = {};  // of samples that it had not seen
  bool leave_one_out = false;                     // whether they are of models that had seen all other samples
};

struct Fold {
  Rows held_out, rest;
};
using Folds = std::vector<Fold>;

// Of sizes that differ by one at the most, in the order of `rows`.
inline Folds folds_of(const Rows& rows, std::size_t count) {
  Folds folds(std::min(count, rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t fold = 0; fold < folds.size(); ++fold)
      (fold == i % folds.size() ? folds[fold].held_out : folds[fold].rest).push_back(rows[i]);
  }
  return folds;
}

inline Rows all_rows(Eigen::Index count) {
  Rows rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), Eigen::Index{0});
  return rows;
}

// `count` of them, ascending; all, where there are no more.
inline Rows drawn_rows(Eigen::Index samples, std::size_t count, weft::Rng rng) {
  Rows rows = all_rows(samples);
  if (rows.size() <= count) return rows;
  rng.shuffle(rows);
  rows.resize(count);
  std::sort(rows.begin(), rows.end());
  return rows;
}

inline Folds random_folds(Eigen::Index samples, std::size_t count, weft::Rng rng) {
  Rows rows = all_rows(samples);
  rng.shuffle(rows);
  return folds_of(rows, count);
}

inline Folds leave_one_out(Eigen::Index samples) {
  return folds_of(all_rows(samples), static_cast<std::size_t>(samples));
}

// The draw with the least squared error on what its fits did not see; the first of equals.
template <typename Family>
typename Family::Hyperparameters random_search(const Family& family, const Samples& samples, const Folds& folds,
                                               std::size_t draws, const weft::Rng& rng, const ForEach& for_each) {
  std::vector<typename Family::Hyperparameters> drawn;
  for (std::size_t i = 0; i < draws; ++i) {
    weft::Rng stream = rng.derive("draw", i);
    drawn.push_back(family.draw(stream));
  }
  if (draws == 1) return drawn.front();
  const auto held_out = family.held_out(folds);
  std::vector<double> errors(draws);
  for_each(draws, [&](std::size_t i) { errors[i] = (held_out(drawn[i]) - samples.targets).squaredNorm(); });
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < draws; ++i) {
    if (!(errors[i] < least)) continue;  // nor is one that is not a number
    least = errors[i];
    best = i;
  }
  return drawn[best];
}

// Of models that were each fitted without a fold.
template <typename Family>
Eigen::VectorXd residuals(const Family& family, const Samples& samples, const Folds& folds,
                          const typename Family::Hyperparameters& hyperparameters, const ForEach& for_each) {
  Eigen::VectorXd residuals(samples.size());
  for_each(folds.size(), [&](std::size_t i) {
    const Folds one = {folds[i]};
    const Eigen::VectorXd predicted = family.held_out(one)(hyperparameters);
    for (const Eigen::Index row : folds[i].held_out) residuals(row) = samples.targets(row) - predicted(row);
  });
  return residuals;
}

}  // namespace sequential_regression
