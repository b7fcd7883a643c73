#include "weft/testing/catch.hpp"
#include "weft/testing/stopper_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of stoppers") { check_stopper(Plugin::open("stopper", "my_plugin")); }

TEST_CASE("stops what is further below the best than the margin") {
  const Instance instance(Plugin::open("stopper", "my_plugin"), {{"grace", 1}, {"margin", 3.0}});
  StopperRef stopper(instance.handle());
  stopper.end({.trial = 0, .epochs = {1, 2}, .rewards = {50.0, 60.0}}, TrialState::complete, 60.0);
  CHECK(stopper.judge({.trial = 1, .epochs = {1}, .rewards = {10.0}}).verdict == Verdict::go_on);  // grace
  CHECK(stopper.judge({.trial = 1, .epochs = {1, 2}, .rewards = {10.0, 57.0}}).verdict == Verdict::go_on);
  CHECK(stopper.judge({.trial = 1, .epochs = {1, 2}, .rewards = {10.0, 56.0}}).verdict == Verdict::stop);
}
