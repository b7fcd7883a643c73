// Orthogonal initialisation: rows, or columns where there are fewer, are orthonormal.

#include <ATen/ATen.h>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/initialisation_contract.hpp"

namespace {

using weft::testing::initialisation_of;
using weft::testing::Plugin;
using weft::testing::weight_of;

}  // namespace

TEST_CASE("initialisation orthogonal keeps the contract") {
  weft::testing::check_initialisation(Plugin::open("initialisation", "orthogonal"));
}

TEST_CASE("initialisation orthogonal makes the shorter side of the matrix orthonormal, times the gain") {
  const auto initialisation = initialisation_of(Plugin::open("initialisation", "orthogonal"), {{"gain", 3}});
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{8, 3, 3, 3}, {40, 3, 2, 2}, {6, 6}, {30, 10}}) {
    const at::Tensor matrix = weight_of(*initialisation, sizes).reshape({sizes[0], -1});
    const at::Tensor gram = matrix.size(0) <= matrix.size(1) ? matrix.mm(matrix.t()) : matrix.t().mm(matrix);
    CHECK(at::allclose(gram, 9.0 * at::eye(gram.size(0)), 1e-4, 1e-4));
  }
}

// The factor of LibTorch's decomposition alone has its first element always of one sign.
TEST_CASE("initialisation orthogonal draws from all orthogonal matrices, and biases of 0") {
  const auto initialisation = initialisation_of(Plugin::open("initialisation", "orthogonal"));
  for (const std::int64_t size : {1, 5}) {
    int positive = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed)
      positive += weight_of(*initialisation, {size, size}, seed)[0][0].item<double>() > 0.0 ? 1 : 0;
    INFO(size);
    CHECK(positive > 15);  // about 4 standard deviations
    CHECK(positive < 45);
  }
  at::Tensor bias = at::ones({8});
  initialisation->bias(bias, {27, 72}, at::Generator());
  CHECK(at::equal(bias, at::zeros({8})));
}
