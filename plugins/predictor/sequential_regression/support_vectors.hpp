// nu-support-vector regression, by LIBSVM.
//
// Schoelkopf, Smola, Williamson, Bartlett 2000, "New Support Vector Algorithms"; Chang, Lin 2011, "LIBSVM: a library
// for support vector machines". LIBSVM is handed the kernel's matrix: the distances in it are computed once for all
// draws and folds, and it is quicker to look up than to compute again. Its training for regression draws no random
// numbers: rand() is called for probabilities and by its cross-validation, neither of which is used.
//
// The linear kernel is x'z over the number of features: with the plain one, training takes minutes at the end of C's
// range where there are a hundred features that depend on each other.
#pragma once

#include <libsvm/svm.h>

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "ranges.hpp"
#include "regression.hpp"
#include "weft/rng.hpp"

namespace sequential_regression {

enum class KernelKind { rbf, linear };

// Number of features; 1 without any.
inline double width(const Eigen::MatrixXd& rows) { return static_cast<double>(std::max<Eigen::Index>(1, rows.cols())); }

// Between all rows.
inline Eigen::MatrixXd squared_distances(const Eigen::MatrixXd& rows) {
  const Eigen::VectorXd norms = rows.rowwise().squaredNorm();
  const Eigen::MatrixXd products = -2.0 * rows * rows.transpose();
  return ((products.colwise() + norms).rowwise() + norms.transpose()).cwiseMax(0.0);
}

class SupportVectorRegressor final : public Regressor {
 public:
  SupportVectorRegressor(KernelKind kernel, double gamma, Eigen::MatrixXd vectors, Eigen::VectorXd coefficients,
                         double rho)
      : kernel_(kernel),
        gamma_(gamma),
        vectors_(std::move(vectors)),
        coefficients_(std::move(coefficients)),
        rho_(rho) {
    if (kernel_ == KernelKind::linear) weights_ = vectors_.transpose() * coefficients_ / width(vectors_);
  }

  double predict(const Eigen::VectorXd& input) const override {
    if (kernel_ == KernelKind::linear) return weights_.dot(input) - rho_;
    const Eigen::ArrayXd distances = (vectors_.rowwise() - input.transpose()).rowwise().squaredNorm().array();
    return (coefficients_.array() * (-gamma_ * distances).exp()).sum() - rho_;
  }

 private:
  KernelKind kernel_;
  double gamma_;
  Eigen::MatrixXd vectors_;  // vectors x features
  Eigen::VectorXd coefficients_;
  double rho_;
  Eigen::VectorXd weights_;
};

class SupportVectors {
 public:
  struct Hyperparameters {
    double C = 1.0, nu = 0.5, gamma = 1.0;
  };
  struct Options {
    KernelKind kernel = KernelKind::rbf;
    Range C, nu, gamma;
    double tolerance = 1e-3;
  };

  SupportVectors(const Samples& samples, const Options& options)
      : samples_(samples),
        options_(options),
        similarities_(options.kernel == KernelKind::rbf
                          ? squared_distances(samples.inputs)
                          : samples.inputs * samples.inputs.transpose() / width(samples.inputs)) {}

  Hyperparameters draw(weft::Rng& rng) const {
    Hyperparameters drawn;
    drawn.C = options_.C.log_uniform(rng);
    drawn.nu = options_.nu.uniform(rng);
    drawn.gamma = options_.gamma.log_uniform(rng);
    return drawn;
  }

  HeldOut<Hyperparameters> held_out(const Folds& folds) const {
    return [this, &folds](const Hyperparameters& hyperparameters) {
      const Kernel kernel(kernel_of(hyperparameters));
      Eigen::VectorXd predicted = Eigen::VectorXd::Zero(samples_.size());
      for (const Fold& fold : folds) {
        const Solution solution = solve(kernel, fold.rest, hyperparameters);
        for (const Eigen::Index row : fold.held_out) predicted(row) = solution.predict(kernel, row);
      }
      return predicted;
    };
  }

  Fitted fit(const Hyperparameters& hyperparameters, const ForEach&) const {
    const Kernel kernel(kernel_of(hyperparameters));
    const Solution solution = solve(kernel, all_rows(samples_.size()), hyperparameters);
    const Eigen::VectorXd coefficients = Eigen::Map<const Eigen::VectorXd>(
        solution.coefficients.data(), static_cast<Eigen::Index>(solution.coefficients.size()));
    return {std::make_unique<SupportVectorRegressor>(options_.kernel, hyperparameters.gamma,
                                                     samples_.inputs(solution.rows, Eigen::all), coefficients,
                                                     solution.rho)};
  }

 private:
  // A matrix as LIBSVM reads it: a row of nodes for each sample, of which the first says the sample's number, from 1.
  class Kernel {
   public:
    explicit Kernel(const Eigen::MatrixXd& values) : width_(static_cast<std::size_t>(values.cols()) + 1) {
      nodes_.reserve(width_ * width_);
      for (Eigen::Index row = 0; row < values.rows(); ++row) {
        nodes_.push_back({0, static_cast<double>(row + 1)});
        for (Eigen::Index column = 0; column < values.cols(); ++column)
          nodes_.push_back({static_cast<int>(column + 1), values(column, row)});  // symmetric
      }
    }
    double operator()(Eigen::Index row, Eigen::Index column) const { return nodes_[place(row, column + 1)].value; }
    // LIBSVM only reads.
    svm_node* row(Eigen::Index row) const { return const_cast<svm_node*>(&nodes_[place(row, 0)]); }

   private:
    std::size_t place(Eigen::Index row, Eigen::Index column) const {
      return static_cast<std::size_t>(row) * width_ + static_cast<std::size_t>(column);
    }
    std::size_t width_;
    std::vector<svm_node> nodes_;
  };

  struct Solution {
    Rows rows = {};  // of the support vectors
    std::vector<double> coefficients = {};
    double rho = 0.0;

    double predict(const Kernel& kernel, Eigen::Index row) const {
      double sum = -rho;
      for (std::size_t i = 0; i < rows.size(); ++i) sum += coefficients[i] * kernel(row, rows[i]);
      return sum;
    }
  };

  Eigen::MatrixXd kernel_of(const Hyperparameters& hyperparameters) const {
    if (options_.kernel == KernelKind::linear) return similarities_;
    return (-hyperparameters.gamma * similarities_.array()).exp().matrix();
  }

  Solution solve(const Kernel& kernel, const Rows& rows, const Hyperparameters& hyperparameters) const {
    std::vector<svm_node*> inputs;
    std::vector<double> targets;
    for (const Eigen::Index row : rows) {
      inputs.push_back(kernel.row(row));
      targets.push_back(samples_.targets(row));
    }
    const svm_problem problem{static_cast<int>(rows.size()), targets.data(), inputs.data()};
    const auto count = static_cast<double>(rows.size());
    svm_parameter parameter{};
    parameter.svm_type = NU_SVR;
    parameter.kernel_type = PRECOMPUTED;
    parameter.cache_size = 1.0 + count * count * sizeof(float) / 1e6;  // MB: all of the matrix
    parameter.eps = options_.tolerance;
    parameter.C = hyperparameters.C;
    parameter.nu = hyperparameters.nu;
    parameter.shrinking = 1;
    const std::unique_ptr<svm_model, void (*)(svm_model*)> model(
        svm_train(&problem, &parameter), [](svm_model* trained) { svm_free_and_destroy_model(&trained); });
    Solution solution{.rho = model->rho[0]};
    for (int i = 0; i < model->l; ++i) {
      solution.rows.push_back(rows[static_cast<std::size_t>(model->sv_indices[i] - 1)]);
      solution.coefficients.push_back(model->sv_coef[0][i]);
    }
    return solution;
  }

  const Samples& samples_;
  Options options_;
  Eigen::MatrixXd similarities_;  // samples x samples: squared distances, or mean products
};

}  // namespace sequential_regression
