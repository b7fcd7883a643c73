#include <torch/optim/rmsprop.h>

#include <cmath>

#include "tests/catch.hpp"
#include "tests/torch/libtorch_rule.hpp"

using namespace weft::testing;

namespace {

const Plugin& rmsprop() {
  static const Plugin plugin = Plugin::open("update_rule", "rmsprop");
  return plugin;
}

}  // namespace

TEST_CASE("rmsprop keeps the contract of update rules, and in its variant pytorch is LibTorch's") {
  check_update_rule(rmsprop(), {{"variant", "tensorflow"}});
  for (const double momentum : {0.0, 0.8}) {
    const weft::Json args = {{"momentum", momentum}, {"decay", 0.95}, {"eps", 0.01}};
    check_update_rule(rmsprop(), args);
    check_as_libtorch<torch::optim::RMSprop>(
        update_rule_of(rmsprop(), args), torch::optim::RMSpropOptions(0.01).alpha(0.95).eps(0.01).momentum(momentum));
  }
}

// Gradient 1, decay 0.9, lr 0.1, eps 1e-3.
TEST_CASE("rmsprop by hand: the first step of both variants") {
  const auto moved = [](const char* variant) {
    Descent descent(update_rule_of(rmsprop(), {{"variant", variant}, {"decay", 0.9}, {"eps", 1e-3}}), at::zeros({1}));
    return -descent.step(at::ones({1}), 0.1).item<double>();
  };
  CHECK(moved("tensorflow") == Approx(0.0999500));  // 0.1 / sqrt(1 + 1e-3)
  CHECK(moved("pytorch") == Approx(0.315231));      // 0.1 / (sqrt(0.1) + 1e-3)
}

// Twice gradient 1, the second at a tenth of the rate: what the velocity holds keeps its rate in TensorFlow alone.
TEST_CASE("rmsprop by hand: the rate is within the momentum in one variant and outside it in the other") {
  const auto moved = [](const char* variant, double momentum = 0.5, const weft::UpdateRule::Step& others = {}) {
    const weft::Json args = {{"variant", variant}, {"decay", 0.5}, {"eps", 0}, {"momentum", momentum}};
    Descent descent(update_rule_of(rmsprop(), args), at::zeros({1}));
    const double first = descent.step(at::ones({1}), 0.1).item<double>();
    return first - descent.step(at::ones({1}), 0.01, others).item<double>();
  };
  CHECK(moved("tensorflow") == Approx(0.5 * 0.1 + 0.01));  // v stays 1
  // v 0.5, then 0.75.
  CHECK(moved("pytorch") == Approx(0.01 * (0.5 / std::sqrt(0.5) + 1.0 / std::sqrt(0.75))));
  // What the schedule wants comes before the rule's own.
  for (const char* variant : {"tensorflow", "pytorch"})
    CHECK(moved(variant, 0.9, {.momentum = 0.5}) == moved(variant, 0.5));
}
