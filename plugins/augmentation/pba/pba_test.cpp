#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// Of Invert, the third operation, in the first and in the second half.
Json policy(int first, int second = 0) {
  std::vector<int> all(60, 0);
  all[4] = first;
  all[34] = second;
  return all;
}

std::shared_ptr<const weft::Augmentation> pba(const Json& policy, const Json& more = Json::object()) {
  Json args = {{"policy", policy}};
  args.update(more);
  return augmentation_of(Plugin::open("augmentation", "pba"), args);
}

// How many of 2000 black pictures become white.
double inverted(const weft::Augmentation& augmentation) {
  weft::Rng rng(1);
  const at::Tensor after =
      augmentation.pixels(at::zeros({2000, 2, 3, 1}, at::kByte), at::full({1}, 50, at::kByte), rng);
  return after.eq(255).flatten(1).all(1).sum().item<double>();
}

bool is_binomial(double count, double probability) {
  return std::abs(count - 2000 * probability) <= 5.0 * std::sqrt(2000 * probability * (1.0 - probability));
}

}  // namespace

TEST_CASE("pba keeps the contract of augmentations") {
  std::vector<int> all(60);
  for (std::size_t i = 0; i < 60; ++i) all[i] = static_cast<int>(i % 2 == 0 ? 3 + i % 7 : i % 10);
  check_augmentation(Plugin::open("augmentation", "pba"), {{"policy", all}});
  check_augmentation(Plugin::open("augmentation", "pba"), {{"policy", {{3, policy(0)}, {5, all}}}});
}

TEST_CASE("pba applies 0, 1 or 2 operations in 2, 3 and 5 of 10 cases") {
  CHECK(inverted(*pba(policy(0))) == 0);
  CHECK(is_binomial(inverted(*pba(policy(10))), 0.8));      // there is one alone
  CHECK(is_binomial(inverted(*pba(policy(10, 10))), 0.3));  // twice is as it was
  CHECK(is_binomial(inverted(*pba(policy(5))), 0.4));
  CHECK(is_binomial(inverted(*pba(policy(5, 5))), 0.3 * 0.75 + 0.5 * 0.5));
  CHECK(inverted(*pba(policy(10), {{"counts", {0, 1}}})) == 2000);
  CHECK(inverted(*pba(policy(10), {{"counts", {1}}})) == 0);
}

TEST_CASE("pba's operations stand in the order of the authors") {
  // Posterize is the fifth: 9 leaves one bit. Solarize is the sixth: 9 inverts from 26 on.
  const auto once = [](std::size_t operation) {
    std::vector<int> all(60, 0);
    all[30 + 2 * operation] = 10;
    all[30 + 2 * operation + 1] = 9;
    weft::Rng rng(1);
    return pba(all, {{"counts", {0, 1}}})
        ->pixels(at::full({1, 1, 1, 1}, 200, at::kByte), at::full({1}, 50, at::kByte), rng)
        .item<int>();
  };
  CHECK(once(2) == 55);
  CHECK(once(4) == 128);
  CHECK(once(5) == 55);
  CHECK(once(8) == 255);  // Brightness, 1.72
  CHECK(once(12) == 50);  // TranslateX
  CHECK(once(13) == 50);  // TranslateY
  CHECK(once(14) == 50);  // Cutout
  CHECK(once(0) == 200);  // AutoContrast of one value
}

TEST_CASE("pba's magnitudes are those of the map it is told") {
  // Posterize of 255, the strongest: 1, 4, 4 and 8 bits. Solarize of 170 at 3: from 180, 170, 170.7 and 85.3 on.
  const auto becomes = [](const char* map, std::size_t operation, int level, int value) {
    std::vector<int> all(60, 0);
    all[2 * operation] = 10;
    all[2 * operation + 1] = level;
    weft::Rng rng(1);
    return pba(all, {{"counts", {0, 1}}, {"magnitudes", map}})
        ->pixels(at::full({1, 1, 1, 1}, value, at::kByte), at::full({1}, 50, at::kByte), rng)
        .item<int>();
  };
  struct Case {
    const char* map;
    int posterized, solarized;
  };
  for (const auto& [map, posterized, solarized] :
       {Case{"aa", 128, 170}, Case{"tv", 240, 85}, Case{"paper", 240, 170}, Case{"faa", 255, 85}}) {
    INFO(map);
    CHECK(becomes(map, 4, 9, 255) == posterized);
    CHECK(becomes(map, 5, 3, 170) == solarized);
  }
}

TEST_CASE("pba follows a schedule in the training's own time") {
  const auto schedule = pba({{29, policy(0)}, {1, policy(10)}, {170, policy(0)}}, {{"counts", {0, 1}}});
  CHECK(inverted(*schedule) == 0);
  for (int epoch = 0; epoch < 200; ++epoch) {
    INFO("epoch " << epoch);
    if (epoch > 40 && epoch % 20 != 0) continue;
    CHECK(inverted(schedule->during(epoch / 200.0)) == (epoch == 29 ? 2000 : 0));
  }
  // Of 400 epochs, 58 and 59.
  for (int epoch = 56; epoch < 62; ++epoch)
    CHECK(inverted(schedule->during(epoch / 400.0)) == (epoch == 58 || epoch == 59 ? 2000 : 0));
  CHECK(inverted(schedule->during(1.0)) == 0);
}

TEST_CASE("pba says where a policy is wrong") {
  CHECK_THROWS_WITH(pba({1, 2}), ContainsSubstring("/policy is a list of 2; must be a list of 60 integers"));
  CHECK_THROWS_WITH(pba(policy(11)),
                    ContainsSubstring("/policy/4 is 11; a probability must be an integer from 0 to 10"));
  Json magnitude = policy(1);
  magnitude[5] = 10;
  CHECK_THROWS_WITH(pba(magnitude), ContainsSubstring("/policy/5 is 10; a magnitude must be an integer from 0 to 9"));
  CHECK_THROWS_WITH(pba({{2, policy(1)}, {0, policy(1)}}), ContainsSubstring("/policy/1 is no part of a schedule"));
  CHECK_THROWS_WITH(pba({{2, policy(1)}, {3, policy(-1)}}), ContainsSubstring("/policy/1/1/4 is -1"));
  CHECK_THROWS_WITH(pba(policy(1), {{"counts", {0, 0}}}),
                    ContainsSubstring("/counts is [0.0,0.0]; one must be above 0"));
}
