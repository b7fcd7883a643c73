#include "weft/selection.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "tests/catch.hpp"

using namespace weft;
using selection::Offset;

namespace {

constexpr int draws = 20000;

// How often each index came out of `draws` calls, as a share.
template <std::size_t N, typename Draw>
std::array<double, N> shares(Draw&& draw) {
  std::array<double, N> share{};
  for (int i = 0; i < draws; ++i) share.at(draw()) += 1.0 / draws;
  return share;
}

// Four standard deviations of a share of `draws`, at the most.
constexpr double tolerance = 4 * 0.5 / 141.4;

}  // namespace

TEST_CASE("draw_distinct draws distinct numbers, each in each place equally often") {
  Rng rng(1);
  for (std::size_t place = 0; place < 3; ++place) {
    for (const double share : shares<5>([&] {
           const std::vector<std::size_t> drawn = selection::draw_distinct(3, 5, rng);
           REQUIRE(std::set(drawn.begin(), drawn.end()).size() == 3);
           return drawn[place];
         })) {
      CHECK(std::abs(share - 0.2) < tolerance);
    }
  }
  CHECK(selection::draw_distinct(4, 4, rng).size() == 4);
}

// Of all three, the best is accepted with p, the second with p (1 - p), and the last with what remains.
TEST_CASE("a tournament accepts the best with probability p, then the next, the last is taken if none was") {
  const std::vector<double> fitness = {0.1, 0.9, 0.5};
  Rng rng(2);
  const auto share =
      shares<3>([&] { return selection::tournament(fitness, {.size = 3, .probability = 0.7}, rng).accepted; });
  CHECK(std::abs(share[1] - 0.7) < tolerance);
  CHECK(std::abs(share[2] - 0.21) < tolerance);
  CHECK(std::abs(share[0] - 0.09) < tolerance);
}

// C(rank, 1) pairs: the best of four is in a pair with probability 1/2, the second wins 2 of 6 pairs, the third 1 of 6.
TEST_CASE("a tournament of two is held between two of the population") {
  const std::vector<double> fitness = {4, 3, 2, 1};
  Rng rng(3);
  const auto winners = shares<4>([&] { return selection::tournament(fitness, {.size = 2}, rng).accepted; });
  CHECK(std::abs(winners[0] - 3.0 / 6) < tolerance);
  CHECK(std::abs(winners[1] - 2.0 / 6) < tolerance);
  CHECK(std::abs(winners[2] - 1.0 / 6) < tolerance);
  CHECK(winners[3] == 0.0);
  const auto losers = shares<4>([&] { return selection::tournament(fitness, {.size = 2}, rng).last; });
  CHECK(std::abs(losers[3] - 3.0 / 6) < tolerance);
  CHECK(losers[0] == 0.0);
  CHECK(selection::tournament(fitness, {.size = 9}, rng).accepted == 0);  // of the four there are
}

TEST_CASE("a tournament between equals has no favourite") {
  const std::vector<double> fitness = {1, 1};
  Rng rng(4);
  CHECK(std::abs(shares<2>([&] { return selection::tournament(fitness, {.size = 2}, rng).accepted; })[0] - 0.5) <
        tolerance);
}

// As the tournament that draws: of five, two of which are equal, three at a time.
TEST_CASE("a tournament by ranks is as likely to accept each as one that draws") {
  const std::vector<double> fitness = {2, 5, 3, 5, 1};
  selection::Ranking ranking;
  ranking.follow(std::span(fitness).first(2));
  ranking.follow(fitness);
  Rng rng(12);
  for (const double probability : {1.0, 0.6}) {
    const selection::Tournament three{.size = 3, .probability = probability};
    const auto drawn = shares<5>([&] { return selection::tournament(fitness, three, rng).accepted; });
    const auto ranked = shares<5>([&] { return ranking.tournament(fitness, three, rng); });
    for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(drawn[i] - ranked[i]) < 1.5 * tolerance);
  }
}

TEST_CASE("fitness-proportionate weights are the fitnesses, or what they exceed the lowest by") {
  const std::vector<double> fitness = {0.2, 0.6, 0.2};
  CHECK(selection::proportionate(fitness, Offset::none) == fitness);
  CHECK(selection::proportionate(fitness, Offset::minimum)[0] == 0.0);
  CHECK(selection::proportionate(fitness, Offset::minimum)[1] == Approx(0.4));
  const std::vector<double> ones = {1, 1};
  CHECK(selection::proportionate(std::vector<double>{-3, -3}, Offset::minimum) == ones);
  CHECK(selection::proportionate(std::vector<double>{0, 0}, Offset::none) == ones);
  CHECK_THROWS_WITH(selection::proportionate(std::vector<double>{0.5, -0.25}, Offset::none),
                    ContainsSubstring("met the fitness -0.25") && ContainsSubstring("minimum"));
}

TEST_CASE("elitism keeps the fittest and, among equals, the older, youth keeps the last") {
  using Indices = std::vector<std::size_t>;
  const std::vector<double> fitness = {1, 3, 2, 3, 2};
  CHECK(selection::elitist_survivors(fitness, 1) == Indices{1});
  CHECK(selection::elitist_survivors(fitness, 3) == Indices{1, 2, 3});
  CHECK(selection::elitist_survivors(fitness, 9) == Indices{0, 1, 2, 3, 4});
  CHECK(selection::youngest_survivors(5, 2) == Indices{3, 4});
  CHECK(selection::youngest_survivors(2, 5) == Indices{0, 1});
}

TEST_CASE("a deadly tournament of all kills the worst, of two the worse of the pair") {
  const std::vector<double> fitness = {4, 1, 3, 2};
  Rng rng(5);
  CHECK(selection::tournament_survivors(fitness, 2, {.size = 4}, rng) == std::vector<std::size_t>{0, 2});
  const auto dead = shares<4>([&] {
    const std::vector<std::size_t> alive = selection::tournament_survivors(fitness, 3, {.size = 2}, rng);
    return 6 - alive[0] - alive[1] - alive[2];
  });
  CHECK(dead[0] == 0.0);
  CHECK(std::abs(dead[1] - 3.0 / 6) < tolerance);
  CHECK(std::abs(dead[3] - 2.0 / 6) < tolerance);
}

TEST_CASE("the roulette wheel draws with replacement, in proportion") {
  const std::vector<double> weights = {1, 0, 3};
  Rng rng(6);
  const auto share = shares<3>([&] { return selection::roulette_survivors(weights, 1, rng)[0]; });
  CHECK(std::abs(share[0] - 0.25) < tolerance);
  CHECK(share[1] == 0.0);
  const std::vector<std::size_t> drawn = selection::roulette_survivors(weights, 100, rng);
  CHECK(drawn.size() == 100);
  CHECK_FALSE(std::is_sorted(drawn.begin(), drawn.end()));  // in the order of the draws
  CHECK(selection::roulette_survivors({}, 3, rng).empty());
}

// Of weights 1, 2, 3 the pair {2, 3} comes with 2/6 * 3/4 + 3/6 * 2/3 = 7/12, and then the first is left out.
TEST_CASE("proportionate survivors are drawn in proportion without replacement") {
  const std::vector<double> weights = {1, 2, 3};
  Rng rng(7);
  const auto left_out = shares<3>([&] {
    const std::vector<std::size_t> survivors = selection::proportionate_survivors(weights, 2, rng);
    REQUIRE(survivors[0] < survivors[1]);
    return 3 - survivors[0] - survivors[1];
  });
  CHECK(std::abs(left_out[0] - 7.0 / 12) < tolerance);
  CHECK(std::abs(left_out[1] - (1.0 / 6 * 3 / 5 + 3.0 / 6 * 1 / 3)) < tolerance);
  // Weight 0 comes last, however small the others.
  for (int i = 0; i < 100; ++i) {
    CHECK(selection::proportionate_survivors(std::vector<double>{0, 0.1, 0}, 1, rng) == std::vector<std::size_t>{1});
  }
  CHECK(selection::proportionate_survivors(weights, 5, rng) == std::vector<std::size_t>{0, 1, 2});
}
