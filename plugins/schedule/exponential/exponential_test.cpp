#include <cmath>

#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

TEST_CASE("exponential keeps the contract of schedules") {
  check_schedule(Plugin::open("schedule", "exponential"));
  check_schedule(Plugin::open("schedule", "exponential"), {{"factor", 0.5}, {"every", 1}, {"staircase", false}});
}

// Times 0.97 every 2.4 epochs, counted from the end of warm-up (Tan et al. 2019); smooth, half a period is a square
// root.
TEST_CASE("exponential by hand: in steps, and smoothly") {
  const Plugin plugin = Plugin::open("schedule", "exponential");
  const auto rate = [](const weft::Schedule& schedule, double elapsed) {
    return schedule.rate(0.256, {.elapsed = 5 + elapsed, .warmup = 5, .epochs = 350});
  };
  const auto steps = schedule_of(plugin);
  CHECK(rate(*steps, 0) == 0.256);
  CHECK(rate(*steps, 2.39) == 0.256);
  CHECK(rate(*steps, 2.41) == Approx(0.24832));
  CHECK(rate(*steps, 4.81) == Approx(0.2408704));
  const auto smooth = schedule_of(plugin, {{"factor", 0.81}, {"every", 2}, {"staircase", false}});
  CHECK(rate(*smooth, 0) == Approx(0.256));
  CHECK(rate(*smooth, 1) == Approx(0.9 * 0.256));
  CHECK(rate(*smooth, 4) == Approx(0.81 * 0.81 * 0.256));
}
