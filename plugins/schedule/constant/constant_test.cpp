#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

TEST_CASE("constant keeps the contract of schedules, and the rate") {
  const Plugin plugin = Plugin::open("schedule", "constant");
  check_schedule(plugin);
  const auto schedule = schedule_of(plugin);
  for (const double elapsed : {0.0, 5.0, 20.0}) {
    CHECK(schedule->rate(0.3, {.elapsed = elapsed, .epochs = 10}) == 0.3);
    CHECK(!schedule->momentum({.elapsed = elapsed, .epochs = 10}));
  }
}
