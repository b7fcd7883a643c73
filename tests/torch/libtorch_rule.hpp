// A rule beside LibTorch's optimizer of that name.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/testing/update_rule_contract.hpp"

// Both follow the same gradients from the same start, 20 steps at a rate of 0.01, in float64. LibTorch's decays weights
// by its own options; `others` is what the rule is told of it.
template <typename Optimizer, typename Options>
void check_as_libtorch(std::shared_ptr<const weft::UpdateRule> rule, const Options& options,
                       const weft::UpdateRule::Step& others = {}) {
  at::manual_seed(6);
  const at::Tensor start = at::randn({7}, at::kDouble);
  const at::Tensor theirs = start.clone().requires_grad_();
  Optimizer optimizer(std::vector<at::Tensor>{theirs}, options);
  weft::testing::Descent ours(std::move(rule), start);
  for (int step = 0; step < 20; ++step) {
    const at::Tensor gradients = at::randn({7}, at::kDouble) + theirs.detach();
    theirs.mutable_grad() = gradients.clone();
    optimizer.step();
    ours.step(gradients, 0.01, others);
    INFO("step " << step + 1);
    REQUIRE(ours.values().allclose(theirs.detach(), 1e-9, 1e-12));
  }
}
