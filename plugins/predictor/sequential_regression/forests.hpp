// Random forests, whose number of trees and share of features are searched for.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ranges.hpp"
#include "regression.hpp"
#include "weft/learning/forest.hpp"
#include "weft/rng.hpp"

namespace sequential_regression {

class ForestRegressor final : public Regressor {
 public:
  explicit ForestRegressor(weft::learning::RegressionForest forest) : forest_(std::move(forest)) {}
  double predict(const Eigen::VectorXd& input) const override { return forest_.predict(input).mean; }

 private:
  weft::learning::RegressionForest forest_;
};

class Forests {
 public:
  using Hyperparameters = weft::learning::RegressionForest::Options;
  struct Options {
    Range trees, feature_fraction;
    std::size_t least_leaf = 1, depth = 0;
  };

  // `rng`: what forests grow by.
  Forests(const Samples& samples, const Options& options, const weft::Rng& rng)
      : samples_(samples), options_(options), rng_(rng) {}

  Hyperparameters draw(weft::Rng& rng) const {
    const auto least = static_cast<std::size_t>(options_.trees.low);
    return {.trees = least + rng.below(static_cast<std::size_t>(options_.trees.high) - least + 1),
            .feature_fraction = options_.feature_fraction.uniform(rng),
            .least_leaf = options_.least_leaf,
            .depth = options_.depth};
  }

  HeldOut<Hyperparameters> held_out(const Folds& folds) const {
    return [this, &folds](const Hyperparameters& hyperparameters) {
      Eigen::VectorXd predicted = Eigen::VectorXd::Zero(samples_.size());
      for (const Fold& fold : folds) {
        const Samples rest = samples_.of(fold.rest);
        const ForestRegressor regressor({rest.inputs, rest.targets, hyperparameters, rng_});
        predict_rows(regressor, samples_, fold.held_out, predicted);
      }
      return predicted;
    };
  }

  // Residuals out of bag; a sample that every tree saw counts with its own, as only tiny forests have them.
  Fitted fit(const Hyperparameters& hyperparameters, const ForEach& for_each) const {
    weft::learning::RegressionForest forest(samples_.inputs, samples_.targets, hyperparameters, rng_, for_each);
    const std::vector<std::optional<double>> means = forest.out_of_bag(samples_.inputs);
    Eigen::VectorXd residuals(samples_.size());
    for (Eigen::Index row = 0; row < samples_.size(); ++row) {
      const std::optional<double>& mean = means[static_cast<std::size_t>(row)];
      residuals(row) =
          samples_.targets(row) - (mean ? *mean : forest.predict(samples_.inputs.row(row).transpose()).mean);
    }
    return {std::make_unique<ForestRegressor>(std::move(forest)), std::move(residuals)};
  }

 private:
  const Samples& samples_;
  Options options_;
  weft::Rng rng_;
};

}  // namespace sequential_regression
