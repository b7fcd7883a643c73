#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <map>
#include <sstream>

#include "policy.hpp"
#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

at::Tensor augmented(const at::Tensor& images, const Json& policy, std::uint64_t seed = 1) {
  weft::Rng rng(seed);
  return augmentation_of(Plugin::open("augmentation", "autoaugment"), {{"policy", policy}})
      ->pixels(images.clone(), at::full({images.size(3)}, 50, at::kByte), rng);
}

// Of so many draws, within five standard deviations.
bool is_binomial(double count, double draws, double probability) {
  return std::abs(count - draws * probability) <= 5.0 * std::sqrt(draws * probability * (1.0 - probability));
}

std::string refusal(const char* policy) {
  try {
    augmented(at::zeros({1, 2, 2, 1}, at::kByte), Json::parse(policy));
  } catch (const weft::InvalidInput& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("autoaugment keeps the contract of augmentations") {
  const Plugin plugin = Plugin::open("augmentation", "autoaugment");
  check_augmentation(plugin, {{"magnitudes", GENERATE("aa", "tv", "paper", "faa")}});
  Json all = Json::array();
  for (const std::string& name : weft::image_operation_names()) all.push_back({{name, 0.9, 7}, {"Cutout", 0.5, 3}});
  check_augmentation(plugin, {{"policy", all}});
}

TEST_CASE("the policy for CIFAR-10 has the paper's 25 sub-policies") {
  // Operation, probability in tenths after a point, magnitude after a stroke.
  const std::string published =
      "I.1/7+C.2/6 R.7/2+X.3/9 S.8/1+S.9/3 H.5/8+Y.7/9 A.5/8+E.9/2 H.2/7+P.3/7 K.4/3+B.6/7 S.3/9+B.7/9 E.6/5+E.5/1 "
      "C.6/7+S.6/5 K.7/7+X.5/8 E.3/7+A.4/8 Y.4/3+S.2/6 B.9/6+K.2/8 Z.5/2+I.0/3 E.2/0+A.6/0 E.2/8+E.6/4 K.9/9+E.6/6 "
      "A.8/4+Z.2/8 B.1/3+K.7/0 Z.4/5+A.9/3 Y.9/9+Y.7/9 A.9/2+Z.8/3 E.8/8+I.1/3 Y.7/9+A.9/1";
  const std::map<std::string, char> letters = {
      {"Invert", 'I'},    {"Contrast", 'C'},   {"Rotate", 'R'},       {"TranslateX", 'X'}, {"TranslateY", 'Y'},
      {"Sharpness", 'S'}, {"ShearY", 'H'},     {"AutoContrast", 'A'}, {"Equalize", 'E'},   {"Posterize", 'P'},
      {"Color", 'K'},     {"Brightness", 'B'}, {"Solarize", 'Z'}};
  std::ostringstream ours;
  const char* between = "";
  for (const weft::SubPolicy& sub_policy : weft::cifar10_policy()) {
    for (const weft::PolicyStep& step : sub_policy) {
      const std::string& name = weft::image_operation_names()[static_cast<std::size_t>(step.operation)];
      ours << between << letters.at(name) << '.' << std::lround(10 * step.probability) << '/' << step.level;
      between = "+";
    }
    between = " ";
  }
  CHECK(ours.str() == published);
}

TEST_CASE("operations of a policy are as frequent as it says") {
  const weft::Policy policy = weft::cifar10_policy();
  std::array<double, weft::image_operation_count> wanted = {}, seen = {};
  for (const weft::SubPolicy& sub_policy : policy) {
    for (const weft::PolicyStep& step : sub_policy)
      wanted[static_cast<std::size_t>(step.operation)] += step.probability / 25;
  }
  constexpr std::size_t images = 20000;
  weft::Rng rng(5);
  int both = 0, none = 0;
  const auto steps = weft::drawn(policy, weft::Magnitudes::aa, images, 32, 32, rng);
  REQUIRE(steps.size() == 2);
  for (std::size_t i = 0; i < images; ++i) {
    for (const auto& step : steps) {
      if (step[i]) ++seen[static_cast<std::size_t>(step[i]->operation)];
    }
    both += steps[0][i] && steps[1][i];
    none += !steps[0][i] && !steps[1][i];
  }
  for (std::size_t operation = 0; operation < wanted.size(); ++operation) {
    INFO(weft::image_operation_names()[operation] << " " << seen[operation]);
    // A sub-policy may have it twice: the variance is at most twice a binomial one's.
    CHECK(std::abs(seen[operation] - images * wanted[operation]) <= 5.0 * std::sqrt(2.0 * images * wanted[operation]));
  }
  double expected_both = 0.0, expected_none = 0.0;
  for (const weft::SubPolicy& sub_policy : policy) {
    expected_both += sub_policy[0].probability * sub_policy[1].probability / 25;
    expected_none += (1 - sub_policy[0].probability) * (1 - sub_policy[1].probability) / 25;
  }
  CHECK(is_binomial(both, images, expected_both));
  CHECK(is_binomial(none, images, expected_none));
}

TEST_CASE("a picture goes through one sub-policy, its operations in turn") {
  const at::Tensor black = at::zeros({2000, 2, 2, 1}, at::kByte);
  const auto share = [&](const char* policy, int value) {
    const at::Tensor after = augmented(black, Json::parse(policy));
    return after.eq(value).flatten(1).all(1).sum().item<double>();
  };
  CHECK(share(R"([[["Invert", 1, 0], ["Invert", 1, 0]]])", 0) == 2000);
  CHECK(share(R"([[["Invert", 1, 0], ["Posterize", 1, 9]]])", 128) == 2000);  // one bit of 255 is left
  CHECK(share(R"([[["Posterize", 1, 9], ["Invert", 1, 0]]])", 255) == 2000);
  CHECK(is_binomial(share(R"([[["Invert", 0.3, 0]]])", 255), 2000, 0.3));
  CHECK(is_binomial(share(R"([[["Invert", 1, 0]], [["Equalize", 1, 0]]])", 255), 2000, 0.5));
  CHECK(is_binomial(share(R"([[["Invert", 0.5, 0], ["Invert", 0.5, 0]]])", 255), 2000, 0.5));
  const at::Tensor any = at::randint(256, {4, 8, 8, 3}, at::kByte);
  CHECK_FALSE(augmented(any, "cifar10", 1).equal(augmented(any, "cifar10", 2)));
}

TEST_CASE("autoaugment's magnitudes are those of the map it is told") {
  const auto becomes = [](const char* map, const char* operation, int level, int value) {
    const Json policy = Json::array({Json::array({Json::array({operation, 1, level})})});
    const auto augmentation =
        augmentation_of(Plugin::open("augmentation", "autoaugment"), {{"policy", policy}, {"magnitudes", map}});
    weft::Rng rng(1);
    return augmentation->pixels(at::full({1, 1, 1, 1}, value, at::kByte), at::full({1}, 50, at::kByte), rng)
        .item<int>();
  };
  // Of 255 1, 4, 4 and 8 bits are kept; inverted is what is at least 180, 170, 170.7 and 85.3.
  struct Case {
    const char* map;
    int posterized, solarized;
  };
  for (const auto& [map, posterized, solarized] :
       {Case{"aa", 128, 170}, Case{"tv", 240, 85}, Case{"paper", 240, 170}, Case{"faa", 255, 85}}) {
    INFO(map);
    CHECK(becomes(map, "Posterize", 9, 255) == posterized);
    CHECK(becomes(map, "Solarize", 3, 170) == solarized);
  }
}

TEST_CASE("autoaugment says where a policy is wrong") {
  CHECK(refusal(R"("cifar-10")") == R"(/policy is "cifar-10"; must be a list of sub-policies, or "cifar10")");
  CHECK_THAT(refusal(R"([[["Invert", 1, 0]], [["Rotate", 0.5, 2], ["Blur", 0.5, 2]]])"),
             ContainsSubstring(R"(/policy/1/1/0: "Blur" is no operation)"));
  CHECK(refusal(R"([[["Invert", 5, 0]]])") == R"(/policy/0/0 is ["Invert",5,0]; the probability must be from 0 to 1)");
  CHECK(refusal(R"([[["Invert", 1, 10]]])") == R"(/policy/0/0 is ["Invert",1,10]; the magnitude must be from 0 to 9)");
  CHECK_THAT(refusal(R"([[["Invert", 1]]])"), ContainsSubstring(R"(/policy/0/0 is ["Invert",1]; must be [operation,)"));
  CHECK_THAT(refusal(R"([["Invert", 1, 0]])"), ContainsSubstring(R"(/policy/0/0 is "Invert"; must be [operation,)"));
  CHECK_THAT(refusal("[[]]"), ContainsSubstring("/policy/0 is []; must be"));
}
