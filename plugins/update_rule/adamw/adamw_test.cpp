#include <torch/optim/adamw.h>

#include "tests/catch.hpp"
#include "tests/torch/libtorch_rule.hpp"

using namespace weft::testing;

TEST_CASE("adamw keeps the contract of update rules, and is LibTorch's") {
  const Plugin plugin = Plugin::open("update_rule", "adamw");
  check_update_rule(plugin);
  check_as_libtorch<torch::optim::AdamW>(update_rule_of(plugin), torch::optim::AdamWOptions(0.01).weight_decay(0.3),
                                         {.weight_decay = 0.3});
}

// theta 1, any gradient above 0, lr 0.1, lambda 0.01: 1 - 0.1 (1 + 0.01). Decay in the gradient would leave 0.9.
TEST_CASE("adamw by hand: decay is no part of the gradient, and leaves out what it is told to") {
  const Plugin plugin = Plugin::open("update_rule", "adamw");
  const auto step = [&](const weft::UpdateRule::Step& others) {
    return Descent(update_rule_of(plugin), at::ones({2})).step(at::tensor({0.5f, 7.0f}), 0.1, others).clone();
  };
  CHECK(step({.weight_decay = 0.01}).allclose(at::tensor({0.899f, 0.899f})));
  CHECK(step({.weight_decay = 0.01, .decayed = at::tensor({1.0f, 0.0f})}).allclose(at::tensor({0.899f, 0.9f})));
}
