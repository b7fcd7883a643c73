// A controller's parameters by name, each made when it is first asked for: trees bring operations and merges that no
// tree had before. What one begins with depends on its name alone.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <map>
#include <string>

#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace path_level_eas {

using weft::controllers::Block;
using weft::controllers::Matrix;
using weft::controllers::Vector;

class Weights {
 public:
  explicit Weights(const weft::Rng& rng) : rng_(rng) {}

  // Uniform over [-range, range).
  Block uniform(const std::string& name, Eigen::Index rows, Eigen::Index columns, double range) {
    const auto [known, is_new] = blocks_.try_emplace(name);
    if (is_new) known->second = parameters.add(rows, columns, range, rng_.derive(name));
    return known->second;
  }

  // Orthonormal rows, or columns where there are fewer of them (Saxe et al. 2014).
  Block orthogonal(const std::string& name, Eigen::Index rows, Eigen::Index columns) {
    const auto [known, is_new] = blocks_.try_emplace(name);
    if (!is_new) return known->second;
    weft::Rng rng = rng_.derive(name);
    Matrix normal(std::max(rows, columns), std::min(rows, columns));
    for (double& value : normal.reshaped()) value = rng.normal();
    const Matrix thin = Matrix::Identity(normal.rows(), normal.cols());
    Matrix q = Eigen::HouseholderQR<Matrix>(normal).householderQ() * thin;
    if (rows < columns) q.transposeInPlace();
    known->second = parameters.add(rows, columns, 0.0, rng);
    std::copy_n(q.data(), q.size(), parameters.values().data() + known->second.offset);
    return known->second;
  }

  weft::controllers::Parameters parameters;

 private:
  weft::Rng rng_;
  std::map<std::string, Block> blocks_;
};

}  // namespace path_level_eas
