#include <torch/optim/sgd.h>

#include "tests/catch.hpp"
#include "tests/torch/libtorch_rule.hpp"

using namespace weft::testing;

TEST_CASE("sgd keeps the contract of update rules, and is LibTorch's") {
  const Plugin plugin = Plugin::open("update_rule", "sgd");
  for (const bool nesterov : {false, true}) {
    const weft::Json args = {{"momentum", 0.8}, {"nesterov", nesterov}};
    check_update_rule(plugin, args);
    check_as_libtorch<torch::optim::SGD>(update_rule_of(plugin, args),
                                         torch::optim::SGDOptions(0.01).momentum(0.8).nesterov(nesterov));
  }
  check_update_rule(plugin, {{"momentum", 0}});
  CHECK(update_rule_of(plugin)->momentum() == 0.9);
  CHECK(update_rule_of(plugin, {{"momentum", 0}})->formula() == "-lr g");
}

// v: 1, then 0.5 + 2 = 2.5; ahead: g + 0.5 v.
TEST_CASE("sgd by hand: momentum, Nesterov, and a momentum that the schedule wants") {
  const Plugin plugin = Plugin::open("update_rule", "sgd");
  const at::Tensor one = at::ones({1}), two = at::full({1}, 2.0f);
  Descent plain(update_rule_of(plugin, {{"momentum", 0.5}, {"nesterov", false}}), one);
  CHECK(plain.step(one, 0.1).item<float>() == Approx(0.9));
  CHECK(plain.step(two, 0.1).item<float>() == Approx(0.65));
  CHECK(plain.step(two, 0.1, {.momentum = 0.0}).item<float>() == Approx(0.45));
  // What was remembered while the schedule wanted none is of that step alone: 2, then 0.5 * 2 + 2.
  CHECK(plain.step(two, 0.1, {.momentum = 0.5}).item<float>() == Approx(0.15));
  Descent ahead(update_rule_of(plugin, {{"momentum", 0.5}, {"nesterov", true}}), one);
  CHECK(ahead.step(one, 0.1).item<float>() == Approx(0.85));
  CHECK(ahead.step(two, 0.1).item<float>() == Approx(0.525));
}
