#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/testing/catch.hpp"
#include "weft/testing/update_rule_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of update rules") { check_update_rule(Plugin::open("update_rule", "my_plugin")); }

TEST_CASE("moves against the sign, and not at all where the mean is zero") {
  const auto rule = update_rule_of(Plugin::open("update_rule", "my_plugin"), {{"momentum", 0.5}});
  const at::Tensor values = at::tensor({1.0f, 1.0f, 1.0f}), mean = at::tensor({0.0f, 3.0f, 2.0f});
  rule->step({.values = values, .gradients = at::tensor({5.0f, -1.0f, -2.0f}), .memory = {{"mean", mean}}, .count = 1, .lr = 0.25});
  CHECK(at::equal(values, at::tensor({0.75f, 0.75f, 1.0f})));
}
