#include "weft/rng.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/catch.hpp"
#include "tests/sdk/rng_in_c.h"

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

// The hashes are those of release 1.0: a study is resumed by drawing the same numbers again, whoever draws them.
TEST_CASE("a stream's numbers are those of release 1.0, in C++ and in C") {
  struct Expected {
    weft_rng state;
    std::uint64_t next, uniform, below, derived;
  };
  const Expected expected[] = {
      {{0, 0, 0}, 0x68f5ae1d1effd504, 0x3bed576951c0c76e, 0xe0c13b3050c3077d, 0x78d1a91ebfcd1eff},
      {{7, 3, 5}, 0x4e8d9cc12699a8c8, 0x30ef7dd55a5b246c, 0x72fb3cfc7ae0dc85, 0x1e880d4505888ab1},
      {{0x0123456789abcdef, ~0ULL, ~0ULL - 500},  // the counter overflows on the way
       0x65ee3de850a3ce0e,
       0x6abb9aed92e85d89,
       0x2114b8a63bcb3e87,
       0x3ecc3a0774daad5b}};
  for (const Expected& stream : expected) {
    std::uint64_t next = hash_text(""), uniform = next, below = next, derived = next;
    const auto take = [](std::uint64_t& hash, std::uint64_t draw, std::uint64_t draw_in_c) {
      REQUIRE(draw == draw_in_c);
      hash = hash_text(std::to_string(draw), hash);
    };
    Rng a(stream.state), b(stream.state), c(stream.state);
    weft_rng a_in_c = stream.state, b_in_c = stream.state, c_in_c = stream.state;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      take(next, a(), next_in_c(&a_in_c));
      take(uniform, std::bit_cast<std::uint64_t>(b.uniform()), std::bit_cast<std::uint64_t>(uniform_in_c(&b_in_c)));
      const std::uint64_t count = i % 3 == 0 ? (std::uint64_t{3} << 62) - i : i + 1;
      take(below, c.below(count), below_in_c(&c_in_c, count));
      weft_rng child = derive_in_c(&stream.state, {"trial", 5}, i);
      take(derived, Rng(stream.state).derive("trial", i)(), next_in_c(&child));
    }
    CHECK(next == stream.next);
    CHECK(uniform == stream.uniform);
    CHECK(below == stream.below);
    CHECK(derived == stream.derived);
    // Nothing but the counter moves, in C as in C++: how far, depends on what `below` had to draw again.
    CHECK(c_in_c.key == stream.state.key);
    CHECK(c_in_c.stream == stream.state.stream);
    CHECK(c_in_c.counter == c.state().counter);
  }
}
