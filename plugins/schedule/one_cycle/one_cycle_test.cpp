#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

namespace {

// Of 100 epochs.
weft::Moment after(double epochs) { return {.elapsed = epochs, .epochs = 100}; }

}  // namespace

TEST_CASE("one_cycle keeps the contract of schedules") {
  const Plugin plugin = Plugin::open("schedule", "one_cycle");
  check_schedule(plugin);
  check_schedule(plugin, {{"three_phases", true}, {"shape", "linear"}, {"cycle_momentum", false}});
}

// PyTorch's OneCycleLR with its defaults and max_lr 1 has 0.04 in its first step of 100, 1 in step 29, 0.500002 in step
// 64 and 4e-6 in the last, 99: its steps 0 to 29 are the rise, 30 % here, and those to 99 the fall.
TEST_CASE("one_cycle by hand: PyTorch's defaults") {
  const auto schedule = schedule_of(Plugin::open("schedule", "one_cycle"));
  CHECK(schedule->rate(1.0, after(0)) == Approx(0.04));
  CHECK(schedule->rate(1.0, after(15)) == Approx(0.52));
  CHECK(schedule->rate(1.0, after(30)) == Approx(1.0));
  CHECK(schedule->rate(1.0, after(65)) == Approx(0.500002));
  CHECK(schedule->rate(1.0, after(100)) == Approx(4e-6));
  CHECK(schedule->rate(1.0, after(120)) == Approx(4e-6));
  CHECK(*schedule->momentum(after(0)) == Approx(0.95));
  CHECK(*schedule->momentum(after(15)) == Approx(0.90));
  CHECK(*schedule->momentum(after(30)) == Approx(0.85));
  CHECK(*schedule->momentum(after(100)) == Approx(0.95));
}

// Up and down again in as long, then on to the last rate (Smith and Topin 2019).
TEST_CASE("one_cycle by hand: three phases of straight lines") {
  const auto schedule = schedule_of(
      Plugin::open("schedule", "one_cycle"),
      {{"three_phases", true}, {"shape", "linear"}, {"rise", 0.4}, {"start_factor", 10}, {"end_factor", 100}});
  CHECK(schedule->rate(2.0, after(0)) == Approx(0.2));
  CHECK(schedule->rate(2.0, after(20)) == Approx(1.1));
  CHECK(schedule->rate(2.0, after(40)) == Approx(2.0));
  CHECK(schedule->rate(2.0, after(60)) == Approx(1.1));
  CHECK(schedule->rate(2.0, after(80)) == Approx(0.2));
  CHECK(schedule->rate(2.0, after(90)) == Approx(0.101));
  CHECK(schedule->rate(2.0, after(100)) == Approx(0.002));
  CHECK(*schedule->momentum(after(60)) == Approx(0.90));
  CHECK(*schedule->momentum(after(90)) == Approx(0.95));
}

TEST_CASE("one_cycle refuses what is no cycle") {
  const Plugin plugin = Plugin::open("schedule", "one_cycle");
  CHECK_THROWS_WITH(schedule_of(plugin, {{"momentum_range", {0.95, 0.85}}}),
                    ContainsSubstring("/momentum_range is [0.95,0.85]; the first must not exceed the second"));
  CHECK_THROWS_WITH(schedule_of(plugin, {{"three_phases", true}, {"rise", 0.5}}),
                    ContainsSubstring("/rise is 0.5; must be below 0.5 with three_phases"));
  CHECK(!schedule_of(plugin, {{"cycle_momentum", false}})->momentum(after(10)));
  // Adam divides by 1 - momentum^t.
  const weft::Json range = plugin.manifest.at("parameters").at("properties").at("momentum_range");
  CHECK(range.at("items").at("exclusiveMaximum") == 1);
  CHECK_FALSE(
      plugin.manifest.at("parameters").at("properties").contains("momentum"));  // which a recipe has of one number
}
