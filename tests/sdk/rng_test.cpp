#include "weft/rng.hpp"

#include <array>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "tests/catch.hpp"

using namespace weft;

static_assert(std::uniform_random_bit_generator<Rng>);

// Random123's published vectors (kat_vectors, "philox4x32 10").
TEST_CASE("philox4x32-10 gives the published blocks") {
  using Block = std::array<std::uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream resumes from its stored state") {
  Rng rng(7, 3);
  for (int i = 0; i < 5; ++i) rng();
  Rng resumed(rng.state());
  for (int i = 0; i < 100; ++i) REQUIRE(resumed() == rng());
}

// Chi-squared over the counts: 99.99 % quantiles of 6 and 2 degrees of freedom are 27.9 and 18.4.
TEST_CASE("below is uniform over its range") {
  const auto chi_squared = [](std::size_t count, int draws) {
    Rng rng(11, count);
    std::vector<int> seen(count);
    for (int i = 0; i < draws; ++i) ++seen.at(rng.below(count));
    const double expected = static_cast<double>(draws) / static_cast<double>(count);
    double sum = 0.0;
    for (const int n : seen) sum += (n - expected) * (n - expected) / expected;
    return sum;
  };
  CHECK(chi_squared(7, 70000) < 27.9);
  CHECK(chi_squared(3, 60000) < 18.4);
}

// A plain remainder by 3 * 2^62 would draw the lower third of the range with probability 1/2.
TEST_CASE("below has no bias from the remainder") {
  Rng rng(13);
  const std::size_t count = std::size_t{3} << 62;
  int low = 0;
  for (int i = 0; i < 30000; ++i) low += rng.below(count) < (std::size_t{1} << 62) ? 1 : 0;
  CHECK(std::abs(low - 10000) < 4 * 82);  // 4 standard deviations
}

TEST_CASE("derived streams are the same whenever derived, and independent of each other") {
  Rng rng(5);
  const Rng early = rng.derive("trial", 3);
  rng();
  Rng late = rng.derive("trial", 3);
  CHECK(Rng(early)() == late());

  std::set<std::uint64_t> first_draws;
  std::size_t streams = 0;
  for (const char* name : {"", "a", "b", "ab", "ba", "space", "optimizer", "trial"}) {
    for (std::uint64_t index = 0; index < 2000; ++index) {
      Rng child = rng.derive(name, index);
      Rng grandchild = child.derive(name, index);
      first_draws.insert(child());
      first_draws.insert(grandchild());
      streams += 2;
    }
  }
  CHECK(first_draws.size() == streams);

  // Neighbours are uncorrelated: sum of products of centred uniforms has standard deviation sqrt(n) / 12.
  double correlation = 0.0;
  for (std::uint64_t index = 0; index < 10000; ++index) {
    correlation += (rng.derive("trial", index).uniform() - 0.5) * (Rng(rng.derive("trial", index + 1)).uniform() - 0.5);
  }
  CHECK(std::abs(correlation) < 4 * 100.0 / 12);
}

TEST_CASE("real draws have the moments of their distribution") {
  Rng rng(17);
  const int draws = 100000;
  double uniform = 0.0, normal = 0.0, square = 0.0;
  for (int i = 0; i < draws; ++i) {
    const double u = rng.uniform(2.0, 4.0);
    REQUIRE((u >= 2.0 && u < 4.0));
    uniform += u / draws;
    const double n = rng.normal();
    normal += n / draws;
    square += n * n / draws;
  }
  CHECK(uniform == Approx(3.0).margin(4 * 0.577 / 316));
  CHECK(normal == Approx(0.0).margin(4 * 1.0 / 316));
  CHECK(square == Approx(1.0).margin(4 * 1.414 / 316));
}

TEST_CASE("weighted draws in proportion and never where the weight is 0") {
  Rng rng(19);
  const std::vector<double> weights = {0.0, 1.0, 0.0, 3.0, 0.0};
  std::array<int, 5> seen{};
  for (int i = 0; i < 40000; ++i) ++seen.at(rng.weighted(weights));
  CHECK(seen[0] + seen[2] + seen[4] == 0);
  CHECK(std::abs(seen[1] - 10000) < 4 * 87);
}

TEST_CASE("shuffle draws every permutation equally often") {
  Rng rng(23);
  std::map<std::vector<int>, int> seen;
  for (int i = 0; i < 24000; ++i) {
    std::vector<int> items = {0, 1, 2, 3};
    rng.shuffle(items);
    ++seen[items];
  }
  REQUIRE(seen.size() == 24);
  for (const auto& [permutation, count] : seen) CHECK(std::abs(count - 1000) < 5 * 31);
}
