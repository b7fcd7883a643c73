// f of LCRankNet: one number of a training, the larger of two of which is to end better.
//
// Wistuba, Pedapati 2020, "Learning to Rank Learning Curves", section 3. The parts - the curve so far, an LSTM over the
// architecture's operations, an embedding of the data set, the hyperparameters - are joined, and a hidden layer with
// LeakyReLU (as in LCRankNet-v2) makes one number of them. An operation or a data set that was not seen in training is
// embedded as the mean of those that were.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "curve_encoder.hpp"
#include "weft/controllers/lstm.hpp"
#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace lcranknet {

using weft::controllers::Lstm;

using Tokens = std::vector<Eigen::Index>;  // operations by number; -1: unknown

// A column of an embedding's table, or the mean of all.
inline Vector embedding(const Parameters& parameters, Block table, Eigen::Index number) {
  if (number >= 0) return parameters[table].col(number);
  if (table.columns == 0) return Vector::Zero(table.rows);
  return parameters[table].rowwise().mean();
}
inline void embedding_backward(Parameters& parameters, Block table, Eigen::Index number, const Vector& gradient) {
  if (number >= 0) {
    parameters.gradient(table).col(number) += gradient;
  } else if (table.columns > 0) {
    parameters.gradient(table).colwise() += gradient / static_cast<double>(table.columns);
  }
}

// Of one layer; an operation is embedded in its first `token` inputs, the rest are zeros.
class ArchitectureEncoder {
 public:
  using Pass = std::vector<Lstm::Step>;

  ArchitectureEncoder(Parameters& parameters, Eigen::Index operations, Eigen::Index token, Eigen::Index units,
                      const Rng& rng)
      : units_(units),
        table_(parameters.add(token, operations, std::sqrt(3.0), rng.derive("operations"))),
        lstm_(parameters, 1, units, 1.0 / std::sqrt(static_cast<double>(units)), rng.derive("lstm")) {}

  Pass forward(const Parameters& parameters, const Tokens& tokens) const {
    Pass steps;
    steps.reserve(tokens.size());
    for (const Eigen::Index token : tokens) {
      Vector input = Vector::Zero(units_);
      input.head(table_.rows) = embedding(parameters, table_, token);
      steps.push_back(lstm_.forward(parameters, std::move(input), steps.empty() ? nullptr : &steps.back()));
    }
    return steps;
  }
  // Zeros of no operations.
  Vector output(const Pass& steps) const { return steps.empty() ? Vector::Zero(units_).eval() : steps.back().output(); }

  void backward(Parameters& parameters, const Tokens& tokens, const Pass& steps, Vector output) const {
    Lstm::Carry carry = lstm_.no_carry();
    for (std::size_t i = steps.size(); i-- > 0;) {
      const Lstm::Step* before = i == 0 ? nullptr : &steps[i - 1];
      const Vector input = lstm_.backward(parameters, steps[i], before, std::move(output), carry);
      embedding_backward(parameters, table_, tokens[i], input.head(table_.rows));
      output = Vector::Zero(units_);
    }
  }

 private:
  Eigen::Index units_;
  Block table_;
  Lstm lstm_;
};

// Trainings, one a column.
struct Samples {
  Matrix curves;                           // as CurveEncoder has them
  Matrix hyperparameters;                  // standardised
  std::vector<std::size_t> architectures;  // by number, into the tokens of each
  std::vector<Eigen::Index> datasets;      // by number; -1: unknown
};

class RankNetwork {
 public:
  struct Sizes {
    std::vector<Eigen::Index> kernels;
    Eigen::Index filters, token, units, dataset, hidden;
    double leak, dropout;
    Eigen::Index operations, datasets, hyperparameters;  // how many there are
  };

  RankNetwork(const Sizes& sizes, const Rng& rng)
      : leak_(sizes.leak),
        curves_(parameters, sizes.kernels, sizes.filters, sizes.leak, sizes.dropout, rng.derive("curves")),
        architectures_(parameters, sizes.operations, sizes.token, sizes.units, rng.derive("architectures")),
        datasets_(parameters.add(sizes.dataset, sizes.datasets, std::sqrt(3.0), rng.derive("datasets"))),
        units_(sizes.units),
        inputs_(curves_.size() + sizes.units + sizes.dataset + sizes.hyperparameters),
        hidden_(parameters.add(sizes.hidden, inputs_, he_range(inputs_, sizes.leak), rng.derive("hidden"))),
        bias_(parameters.add(sizes.hidden, 1, 0.0, rng)),
        score_(parameters.add(1, sizes.hidden, he_range(sizes.hidden, 1.0), rng.derive("score"))) {}

  // f of each.
  Vector scores(const Samples& samples, std::span<const Tokens> tokens) const {
    const Matrix inputs = join(curves_.encode(parameters, samples.curves), samples, encode(samples, tokens));
    const Matrix sums = hidden_sums(inputs);
    return (parameters[score_] * sums.cwiseMax(leak_ * sums)).row(0).transpose();
  }

  // The cross-entropy, a mean over the pairs, of P(i > j) = sigmoid(f(i) - f(j)), and its gradient, added to that of
  // the parameters. `samples`: the first of each pair, then the second of each.
  double loss(const Samples& samples, std::span<const Tokens> tokens, const Vector& targets, Rng dropout) {
    const CurveEncoder::Pass curves = curves_.train(parameters, samples.curves, dropout);
    const std::vector<ArchitectureEncoder::Pass> architectures = encode(samples, tokens);
    const Matrix inputs = join(curves.output, samples, architectures);
    const Matrix sums = hidden_sums(inputs);
    const Matrix hidden = sums.cwiseMax(leak_ * sums);
    const Vector scores = (parameters[score_] * hidden).row(0).transpose();

    const Eigen::Index pairs = targets.size();
    const Eigen::ArrayXd difference = scores.head(pairs).array() - scores.tail(pairs).array();
    const Eigen::ArrayXd probability = (1.0 + (-difference).exp()).inverse();
    Vector delta(2 * pairs);
    delta.head(pairs) = ((probability - targets.array()) / static_cast<double>(pairs)).matrix();
    delta.tail(pairs) = -delta.head(pairs);

    parameters.gradient(score_) += (hidden * delta).transpose();
    const Matrix slopes = (sums.array() > 0.0).select(Matrix::Ones(sums.rows(), sums.cols()), leak_);
    const Matrix back = slopes.cwiseProduct(parameters[score_].transpose() * delta.transpose());
    parameters.gradient(hidden_).noalias() += back * inputs.transpose();
    parameters.gradient(bias_) += back.rowwise().sum();
    split(parameters[hidden_].transpose() * back, samples, tokens, curves, architectures);

    // log(1 + exp(d)) - target d, without overflow.
    return (difference.max(0.0) + (-difference.abs()).exp().log1p() - targets.array() * difference).mean();
  }

  Parameters parameters;

 private:
  // Of those architectures that occur.
  std::vector<ArchitectureEncoder::Pass> encode(const Samples& samples, std::span<const Tokens> tokens) const {
    std::vector<ArchitectureEncoder::Pass> passes(tokens.size());
    for (const std::size_t number : samples.architectures) {
      if (passes[number].empty()) passes[number] = architectures_.forward(parameters, tokens[number]);
    }
    return passes;
  }

  // inputs x samples: the curve, the architecture, the data set, the hyperparameters.
  Matrix join(const Matrix& curves, const Samples& samples,
              const std::vector<ArchitectureEncoder::Pass>& architectures) const {
    Matrix inputs(inputs_, curves.cols());
    inputs.topRows(curves.rows()) = curves;
    for (Eigen::Index i = 0; i < curves.cols(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      inputs.col(i).segment(curves.rows(), units_) = architectures_.output(architectures[samples.architectures[at]]);
      inputs.col(i).segment(curves.rows() + units_, datasets_.rows) =
          embedding(parameters, datasets_, samples.datasets[at]);
    }
    inputs.bottomRows(samples.hyperparameters.rows()) = samples.hyperparameters;
    return inputs;
  }

  // The gradient of what was joined, to where it came from.
  void split(const Matrix& inputs, const Samples& samples, std::span<const Tokens> tokens,
             const CurveEncoder::Pass& curves, const std::vector<ArchitectureEncoder::Pass>& architectures) {
    curves_.backward(parameters, curves, inputs.topRows(curves_.size()));
    Matrix outputs = Matrix::Zero(units_, static_cast<Eigen::Index>(tokens.size()));
    for (Eigen::Index i = 0; i < inputs.cols(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      outputs.col(static_cast<Eigen::Index>(samples.architectures[at])) +=
          inputs.col(i).segment(curves_.size(), units_);
      embedding_backward(parameters, datasets_, samples.datasets[at],
                         inputs.col(i).segment(curves_.size() + units_, datasets_.rows));
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      architectures_.backward(parameters, tokens[i], architectures[i], outputs.col(static_cast<Eigen::Index>(i)));
    }
  }

  Matrix hidden_sums(const Matrix& inputs) const {
    Matrix sums = parameters[hidden_] * inputs;
    sums.colwise() += parameters[bias_].col(0);
    return sums;
  }

  double leak_;
  CurveEncoder curves_;
  ArchitectureEncoder architectures_;
  Block datasets_;
  Eigen::Index units_, inputs_;
  Block hidden_, bias_, score_;
};

}  // namespace lcranknet
