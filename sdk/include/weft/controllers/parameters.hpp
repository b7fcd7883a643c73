// The parameters of a controller and their gradient, in two long vectors that grow as the controller meets new options.
//
// A network adds blocks, reads them by operator[] and adds to their gradient; an Ascent then moves all of them at once.
// Needs Eigen: a plugin that includes it has a CMakeLists.txt that links Eigen3::Eigen.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <vector>

#include "weft/rng.hpp"

namespace weft::controllers {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

// A matrix among the parameters; a vector has one column.
struct Block {
  std::size_t offset = 0;
  Eigen::Index rows = 0;
  Eigen::Index columns = 1;
};

class Parameters {
 public:
  // A new block, uniform over [-range, range). Maps of other blocks are no longer valid.
  Block add(Eigen::Index rows, Eigen::Index columns, double range, Rng rng) {
    const Block block{values_.size(), rows, columns};
    for (Eigen::Index i = 0; i < rows * columns; ++i) values_.push_back(rng.uniform(-range, range));
    gradient_.resize(values_.size());
    return block;
  }

  Eigen::Map<const Matrix> operator[](Block block) const {
    return {values_.data() + block.offset, block.rows, block.columns};
  }
  Eigen::Map<Matrix> gradient(Block block) { return {gradient_.data() + block.offset, block.rows, block.columns}; }

  std::vector<double>& values() { return values_; }
  std::vector<double>& gradient() { return gradient_; }

 private:
  std::vector<double> values_;
  std::vector<double> gradient_;  // as long as values_
};

}  // namespace weft::controllers
