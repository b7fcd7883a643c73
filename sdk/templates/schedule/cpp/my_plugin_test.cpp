#include "weft/testing/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("keeps the contract of schedules") { check_schedule(Plugin::open("schedule", "my_plugin")); }

TEST_CASE("is half way down in the middle") {
  const auto schedule = schedule_of(Plugin::open("schedule", "my_plugin"), {{"end", 0.5}});
  CHECK(schedule->rate(0.1, {.elapsed = 0, .epochs = 10}) == 0.1);
  CHECK(schedule->rate(0.1, {.elapsed = 6, .warmup = 2, .epochs = 10}) == 0.1 * 0.75);
}
