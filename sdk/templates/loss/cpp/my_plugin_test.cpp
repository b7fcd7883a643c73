#include <ATen/ATen.h>

#include <cmath>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/loss_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of losses") { check_loss(Plugin::open("loss", "my_plugin")); }

TEST_CASE("without focus it is cross-entropy, with it less of what is known") {
  const at::Tensor logits = at::tensor({0.0f, 0.0f}).view({1, 2}), labels = at::zeros({1}, at::kLong);
  const auto value = [&](double focus) {
    return loss_of(Plugin::open("loss", "my_plugin"), {{"focus", focus}}, logits, labels);
  };
  CHECK(std::abs(value(0.0) - std::log(2.0)) < 1e-6);
  CHECK(std::abs(value(2.0) - 0.25 * std::log(2.0)) < 1e-6);
}
