#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

TEST_CASE("sgdr keeps the contract of schedules") {
  check_schedule(Plugin::open("schedule", "sgdr"));
  check_schedule(Plugin::open("schedule", "sgdr"), {{"lr_min", 0.001}, {"restart_epochs", 7}, {"restart_factor", 1}});
}

// Loshchilov and Hutter 2017: T_0 = 10, T_mult = 2 begin anew after 10, 30 and 70 epochs; networks are compared at 150.
TEST_CASE("sgdr by hand: periods of 10, 20, 40, 80 epochs, counted from the end of warm-up") {
  const auto schedule =
      schedule_of(Plugin::open("schedule", "sgdr"), {{"lr_min", 0.01}, {"restart_epochs", 10}, {"restart_factor", 2}});
  for (const double warmup : {0.0, 5.0}) {
    const auto rate = [&](double elapsed) {
      return schedule->rate(0.05, {.elapsed = warmup + elapsed, .warmup = warmup, .epochs = 150 + warmup});
    };
    for (const double begin : {0.0, 10.0, 30.0, 70.0, 150.0}) CHECK(rate(begin) == Approx(0.05));
    for (const double middle : {5.0, 20.0, 50.0, 110.0}) CHECK(rate(middle) == Approx(0.03));
    for (const double end : {10.0, 30.0, 70.0, 150.0}) CHECK(rate(end - 1e-9) == Approx(0.01));
    CHECK(rate(10.0 + 20.0 / 3.0) == Approx(0.01 + 0.04 * 0.75));
  }
}
