#include <torch/optim/adam.h>

#include <tuple>

#include "tests/catch.hpp"
#include "tests/torch/libtorch_rule.hpp"

using namespace weft::testing;

TEST_CASE("adam keeps the contract of update rules, and is LibTorch's") {
  const Plugin plugin = Plugin::open("update_rule", "adam");
  check_update_rule(plugin);
  const weft::Json args = {{"betas", {0.7, 0.95}}, {"eps", 0.01}};
  check_update_rule(plugin, args);
  check_as_libtorch<torch::optim::Adam>(update_rule_of(plugin), torch::optim::AdamOptions(0.01));
  check_as_libtorch<torch::optim::Adam>(update_rule_of(plugin, args),
                                        torch::optim::AdamOptions(0.01).betas(std::make_tuple(0.7, 0.95)).eps(0.01));
}

// The first step is lr long, whatever the gradient is.
TEST_CASE("adam by hand: the first step") {
  Descent descent(update_rule_of(Plugin::open("update_rule", "adam")), at::zeros({2}));
  const at::Tensor& values = descent.step(at::tensor({1e-3f, -50.0f}), 0.1);
  CHECK(values.allclose(at::tensor({-0.1f, 0.1f}), 1e-4));
}

// Gradients 1 and -1: v^ is 1 in both steps, m 0.5 and then -0.25, which 1 - 0.5^2 divides.
TEST_CASE("adam by hand: a momentum that the schedule wants is its first beta") {
  Descent descent(update_rule_of(Plugin::open("update_rule", "adam")), at::zeros({1}));
  CHECK(descent.step(at::ones({1}), 0.1, {.momentum = 0.5}).item<float>() == Approx(-0.1));
  CHECK(descent.step(-at::ones({1}), 0.1, {.momentum = 0.5}).item<float>() == Approx(-0.1 + 0.1 / 3.0));
}
