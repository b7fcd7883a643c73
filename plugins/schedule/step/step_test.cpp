#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

TEST_CASE("step keeps the contract of schedules") {
  check_schedule(Plugin::open("schedule", "step"));
  check_schedule(Plugin::open("schedule", "step"), {{"milestones", {1, 2, 200}}, {"gamma", {0.5, 0, 3}}});
}

// PyTorch's documentation of MultiStepLR: 0.05, after 30 epochs 0.005, after 80 epochs 0.0005.
TEST_CASE("step by hand: one factor for all milestones") {
  const auto schedule = schedule_of(Plugin::open("schedule", "step"), {{"milestones", {30, 80}}, {"gamma", 0.1}});
  const auto rate = [&](double elapsed) { return schedule->rate(0.05, {.elapsed = elapsed, .epochs = 100}); };
  CHECK(rate(0) == 0.05);
  CHECK(rate(29.99) == 0.05);
  CHECK(rate(30) == Approx(0.005));
  CHECK(rate(79.99) == Approx(0.005));
  CHECK(rate(80) == Approx(0.0005));
  CHECK(rate(500) == Approx(0.0005));
}

// Baker et al. 2017, the final networks: 0.025 for 40 epochs, 0.0125 for 40, 1e-4 for 160, 1e-5 for 60. A milestone
// named twice counts twice. Warm-up shifts none.
TEST_CASE("step by hand: factors of its own for each milestone") {
  const Plugin plugin = Plugin::open("schedule", "step");
  const auto schedule = schedule_of(plugin, {{"milestones", {40, 80, 240}}, {"gamma", {0.5, 0.008, 0.1}}});
  const auto rate = [&](double elapsed) {
    return schedule->rate(0.025, {.elapsed = elapsed, .warmup = 5, .epochs = 300});
  };
  CHECK(rate(39) == 0.025);
  CHECK(rate(40) == Approx(0.0125));
  CHECK(rate(80) == Approx(1e-4));
  CHECK(rate(239) == Approx(1e-4));
  CHECK(rate(240) == Approx(1e-5));
  const auto twice = schedule_of(plugin, {{"milestones", {3, 3}}, {"gamma", 0.5}});
  CHECK(twice->rate(1.0, {.elapsed = 3, .epochs = 4}) == 0.25);
}

TEST_CASE("step refuses another number of factors than of milestones") {
  const Plugin plugin = Plugin::open("schedule", "step");
  CHECK_THROWS_WITH(schedule_of(plugin, {{"milestones", {3, 6}}, {"gamma", {0.1}}}),
                    ContainsSubstring("/gamma is [0.1]; must be one number, or one for each of the 2 milestones"));
}
