// The plugin's arguments.
#pragma once

#include <cstddef>
#include <string>

#include "forests.hpp"
#include "linear.hpp"
#include "ranges.hpp"
#include "support_vectors.hpp"
#include "weft/context.hpp"
#include "weft/error.hpp"

namespace sequential_regression {

struct Options {
  std::string model;
  std::size_t least_curves, most_curves;
  std::size_t draws, search_curves, folds;
  bool leave_one_out;
  std::size_t residual_folds;
  double margin;
  LeastSquares::Options least_squares;
  BayesianRidge::Options bayesian_ridge;
  SupportVectors::Options support_vectors;
  Forests::Options forests;

  explicit Options(const weft::Context& context)
      : model(context.get<std::string>("model")),
        least_curves(context.get<std::size_t>("least_curves")),
        most_curves(context.get<std::size_t>("most_curves")),
        draws(draws_of(context)),
        search_curves(context.get<std::size_t>("search_curves")),
        folds(context.get<std::size_t>("folds")),
        leave_one_out(context.get<std::string>("residuals") == "leave_one_out"),
        residual_folds(context.get<std::size_t>("residual_folds")),
        margin(context.get<double>("margin")),
        least_squares{.penalty = context.get<double>("penalty")},
        bayesian_ridge{.hyperprior = Range::of(context, "hyperprior"),
                       .iterations = context.get<int>("iterations"),
                       .tolerance = context.get<double>("tolerance")},
        support_vectors{.kernel = model == "nu_svr_linear" ? KernelKind::linear : KernelKind::rbf,
                        .C = Range::of(context, "C"),
                        .nu = Range::of(context, "nu"),
                        .gamma = Range::of(context, "gamma"),
                        .tolerance = context.get<double>("tolerance")},
        forests{.trees = Range::of(context, "trees"),
                .feature_fraction = Range::of(context, "feature_fraction"),
                .least_leaf = context.get<std::size_t>("least_leaf"),
                .depth = context.get<std::size_t>("depth")} {
    if (most_curves < least_curves) reject("most_curves", most_curves, "must not be less than");
    if (search_curves < least_curves) reject("search_curves", search_curves, "must not be less than");
    if (folds > least_curves) reject("folds", folds, "must not exceed");
    if (residual_folds > least_curves) reject("residual_folds", residual_folds, "must not exceed");
  }

 private:
  static std::size_t draws_of(const weft::Context& context) {
    const std::string model = context.get<std::string>("model");
    if (model == "least_squares") return 1;  // has nothing to draw
    return context.get<std::size_t>(model == "random_forest" ? "forest_draws" : "draws");
  }

  void reject(const std::string& argument, std::size_t value, const std::string& rule) const {
    throw weft::InvalidInput("/" + argument + " is " + std::to_string(value) + "; " + rule + " least_curves, " +
                             std::to_string(least_curves));
  }
};

}  // namespace sequential_regression
