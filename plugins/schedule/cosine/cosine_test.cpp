#include "tests/catch.hpp"
#include "weft/testing/schedule_contract.hpp"

using namespace weft::testing;

TEST_CASE("cosine keeps the contract of schedules") {
  check_schedule(Plugin::open("schedule", "cosine"));
  check_schedule(Plugin::open("schedule", "cosine"), {{"lr_min", 0.01}});
}

// eta_min + (eta_max - eta_min) (1 + cos(pi t)) / 2; cos(pi / 3) = 1/2.
TEST_CASE("cosine by hand: thirds, warm-up, and the end") {
  const auto schedule = schedule_of(Plugin::open("schedule", "cosine"), {{"lr_min", 0.02}});
  CHECK(schedule->rate(0.1, {.elapsed = 0, .epochs = 9}) == Approx(0.1));
  CHECK(schedule->rate(0.1, {.elapsed = 3, .epochs = 9}) == Approx(0.08));
  CHECK(schedule->rate(0.1, {.elapsed = 4.5, .epochs = 9}) == Approx(0.06));
  CHECK(schedule->rate(0.1, {.elapsed = 6, .epochs = 9}) == Approx(0.04));
  CHECK(schedule->rate(0.1, {.elapsed = 9, .epochs = 9}) == Approx(0.02));
  CHECK(schedule->rate(0.1, {.elapsed = 50, .epochs = 9}) == Approx(0.02));
  CHECK(schedule->rate(0.1, {.elapsed = 2, .warmup = 2, .epochs = 11}) == Approx(0.1));
  CHECK(schedule->rate(0.1, {.elapsed = 5, .warmup = 2, .epochs = 11}) == Approx(0.08));
}
