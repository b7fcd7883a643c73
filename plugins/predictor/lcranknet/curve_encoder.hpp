// What LCRankNet sees of a curve: convolutions of several widths side by side, each followed by batch norm, LeakyReLU,
// dropout and the maximum over time.
//
// Wistuba, Pedapati 2020, "Learning to Rank Learning Curves", section 3; the order of the layers as in LCRankNet-v2.
// The convolutions have no bias, which batch norm would take away again. Batch norm as Ioffe and Szegedy 2015 have it,
// with PyTorch's constants.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace lcranknet {

using weft::Rng;
using weft::controllers::Block;
using weft::controllers::Matrix;
using weft::controllers::Parameters;
using weft::controllers::Vector;

// Uniform, such that LeakyReLU keeps the variance: He, Zhang, Ren, Sun 2015.
inline double he_range(Eigen::Index inputs, double leak) {
  return std::sqrt(6.0 / ((1.0 + leak * leak) * static_cast<double>(inputs)));
}

class CurveEncoder {
 public:
  static constexpr Eigen::Index channels = 2;  // reward, and whether it was observed

  struct Branch {
    Matrix patches = {};     // what a filter reads x (positions of the first curve, of the second ..)
    Matrix normalised = {};  // filters x those
    Vector deviations = {};
    Matrix slopes = {};                      // of LeakyReLU and dropout
    std::vector<Eigen::Index> winners = {};  // filter by filter of each curve: the column of the maximum
  };
  struct Pass {
    std::vector<Branch> branches;
    Matrix output;  // size() x curves
  };

  CurveEncoder(Parameters& parameters, std::span<const Eigen::Index> kernels, Eigen::Index filters, double leak,
               double dropout, const Rng& rng)
      : filters_(filters), leak_(leak), dropout_(dropout) {
    for (const Eigen::Index kernel : kernels) {
      const Eigen::Index inputs = channels * kernel;
      Convolution convolution{.kernel = kernel};
      convolution.weight =
          parameters.add(filters, inputs, he_range(inputs, leak), rng.derive("convolution", convolutions_.size()));
      convolution.gain = parameters.add(filters, 1, 0.0, rng);
      std::fill_n(parameters.values().end() - filters, filters, 1.0);
      convolution.shift = parameters.add(filters, 1, 0.0, rng);
      convolution.mean = Vector::Zero(filters);
      convolution.variance = Vector::Ones(filters);
      convolutions_.push_back(std::move(convolution));
    }
  }

  Eigen::Index size() const { return filters_ * static_cast<Eigen::Index>(convolutions_.size()); }

  // A curve is a column: reward and mask of each position in turn, at least as many positions as the widest kernel.
  // In training: with the statistics of these curves, which move the running ones, and with dropout.
  Pass train(const Parameters& parameters, const Matrix& curves, Rng& rng) {
    Pass pass{.branches = {}, .output = Matrix(size(), curves.cols())};
    for (std::size_t i = 0; i < convolutions_.size(); ++i) {
      Convolution& convolution = convolutions_[i];
      Branch branch{.patches = patches(curves, convolution.kernel)};
      branch.normalised = parameters[convolution.weight] * branch.patches;
      const Vector mean = branch.normalised.rowwise().mean();
      branch.normalised.colwise() -= mean;
      const Vector variance = branch.normalised.array().square().rowwise().mean().matrix();
      track(convolution, mean, variance, static_cast<double>(branch.patches.cols()));
      branch.deviations = (variance.array() + epsilon).sqrt().matrix();
      branch.normalised.array().colwise() /= branch.deviations.array();

      const Matrix sums = affine(parameters, convolution, branch.normalised);
      branch.slopes = (sums.array() > 0.0).select(Matrix::Ones(sums.rows(), sums.cols()), leak_);
      if (dropout_ > 0.0) drop(branch.slopes, rng);
      pass.output.middleRows(static_cast<Eigen::Index>(i) * filters_, filters_) =
          maxima(sums.cwiseProduct(branch.slopes), curves.cols(), &branch.winners);
      pass.branches.push_back(std::move(branch));
    }
    return pass;
  }

  // With the running statistics.
  Matrix encode(const Parameters& parameters, const Matrix& curves) const {
    Matrix output(size(), curves.cols());
    for (std::size_t i = 0; i < convolutions_.size(); ++i) {
      const Convolution& convolution = convolutions_[i];
      Matrix normalised = parameters[convolution.weight] * patches(curves, convolution.kernel);
      normalised.colwise() -= convolution.mean;
      normalised.array().colwise() /= (convolution.variance.array() + epsilon).sqrt();
      const Matrix sums = affine(parameters, convolution, normalised);
      output.middleRows(static_cast<Eigen::Index>(i) * filters_, filters_) =
          maxima(sums.cwiseMax(leak_ * sums), curves.cols(), nullptr);
    }
    return output;
  }

  // Adds to the parameters' gradient what follows from that of the output.
  void backward(Parameters& parameters, const Pass& pass, const Matrix& output) const {
    for (std::size_t i = 0; i < convolutions_.size(); ++i) {
      const Convolution& convolution = convolutions_[i];
      const Branch& branch = pass.branches[i];
      Matrix sums = Matrix::Zero(branch.slopes.rows(), branch.slopes.cols());
      for (Eigen::Index curve = 0; curve < output.cols(); ++curve) {
        for (Eigen::Index filter = 0; filter < filters_; ++filter) {
          const Eigen::Index winner = branch.winners[static_cast<std::size_t>(curve * filters_ + filter)];
          sums(filter, winner) =
              output(static_cast<Eigen::Index>(i) * filters_ + filter, curve) * branch.slopes(filter, winner);
        }
      }
      const Vector shift = sums.rowwise().sum();
      const Vector gain = sums.cwiseProduct(branch.normalised).rowwise().sum();
      parameters.gradient(convolution.shift) += shift;
      parameters.gradient(convolution.gain) += gain;
      // Of batch norm: gain / deviation (d - mean(d) - normalised mean(d normalised)).
      const auto count = static_cast<double>(sums.cols());
      sums.colwise() -= shift / count;
      sums.array() -= branch.normalised.array().colwise() * (gain.array() / count);
      sums.array().colwise() *= parameters[convolution.gain].col(0).array() / branch.deviations.array();
      parameters.gradient(convolution.weight).noalias() += sums * branch.patches.transpose();
    }
  }

 private:
  struct Convolution {
    Eigen::Index kernel;
    Block weight = {};
    Block gain = {}, shift = {};      // of batch norm
    Vector mean = {}, variance = {};  // running
  };

  static Matrix patches(const Matrix& curves, Eigen::Index kernel) {
    const Eigen::Index positions = curves.rows() / channels - kernel + 1;
    Matrix patches(channels * kernel, positions * curves.cols());
    for (Eigen::Index curve = 0; curve < curves.cols(); ++curve) {
      for (Eigen::Index at = 0; at < positions; ++at) {
        patches.col(curve * positions + at) = curves.col(curve).segment(channels * at, channels * kernel);
      }
    }
    return patches;
  }

  static Matrix affine(const Parameters& parameters, const Convolution& convolution, const Matrix& normalised) {
    Matrix sums = (normalised.array().colwise() * parameters[convolution.gain].col(0).array()).matrix();
    sums.colwise() += parameters[convolution.shift].col(0);
    return sums;
  }

  // What stays grows by what is lost. Four decisions of each draw, of 16 bits.
  void drop(Matrix& slopes, Rng& rng) const {
    const auto dropped = static_cast<std::uint64_t>(dropout_ * 65536.0);
    const double kept = 1.0 / (1.0 - dropout_);
    std::uint64_t bits = 0;
    for (Eigen::Index i = 0; i < slopes.size(); ++i, bits >>= 16) {
      if (i % 4 == 0) bits = rng();
      slopes.data()[i] *= (bits & 0xffffU) < dropped ? 0.0 : kept;
    }
  }

  static void track(Convolution& convolution, const Vector& mean, const Vector& variance, double count) {
    convolution.mean += momentum * (mean - convolution.mean);
    convolution.variance += momentum * (variance * (count / std::max(1.0, count - 1.0)) - convolution.variance);
  }

  // Over the positions of each curve.
  static Matrix maxima(const Matrix& values, Eigen::Index curves, std::vector<Eigen::Index>* winners) {
    const Eigen::Index positions = values.cols() / curves;
    Matrix maxima(values.rows(), curves);
    for (Eigen::Index curve = 0; curve < curves; ++curve) {
      for (Eigen::Index filter = 0; filter < values.rows(); ++filter) {
        Eigen::Index best = 0;
        maxima(filter, curve) = values.row(filter).segment(curve * positions, positions).maxCoeff(&best);
        if (winners != nullptr) winners->push_back(curve * positions + best);
      }
    }
    return maxima;
  }

  static constexpr double epsilon = 1e-5;
  static constexpr double momentum = 0.1;

  Eigen::Index filters_;
  double leak_, dropout_;
  std::vector<Convolution> convolutions_;
};

}  // namespace lcranknet
