#include <ATen/ATen.h>

#include <cmath>
#include <set>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

// How many of 2000 black pictures become so bright.
double share(const Json& args, int value) {
  weft::Rng rng(1);
  const at::Tensor after = augmentation_of(Plugin::open("augmentation", "randaugment"), args)
                               ->pixels(at::zeros({2000, 2, 3, 1}, at::kByte), at::full({1}, 50, at::kByte), rng);
  return after.eq(value).flatten(1).all(1).sum().item<double>();
}

bool is_binomial(double count, double probability) {
  return std::abs(count - 2000 * probability) <= 5.0 * std::sqrt(2000 * probability * (1.0 - probability));
}

}  // namespace

TEST_CASE("randaugment keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "randaugment"));
  check_augmentation(Plugin::open("augmentation", "randaugment"),
                     {{"operations", {"Cutout", "SamplePairing"}}, {"magnitudes", "aa"}, {"count", 3}});
  for (const char* magnitudes : {"aa", "tv", "paper", "faa"})
    check_augmentation(Plugin::open("augmentation", "randaugment"),
                       {{"magnitude", 28}, {"bins", 11}, {"magnitudes", magnitudes}});
}

TEST_CASE("randaugment draws so many operations, all alike") {
  CHECK(share({{"operations", {"Identity"}}}, 0) == 2000);
  CHECK(share({{"operations", {"Invert"}}, {"count", 3}}, 255) == 2000);
  CHECK(share({{"operations", {"Invert"}}, {"count", 0}}, 0) == 2000);
  CHECK(is_binomial(share({{"operations", {"Identity", "Invert", "Equalize"}}, {"count", 1}}, 255), 1.0 / 3.0));
  // Inverted once of two times.
  CHECK(is_binomial(share({{"operations", {"Identity", "Invert", "Equalize"}}, {"count", 2}}, 255), 4.0 / 9.0));
  // The strongest of 31 magnitudes inverts whatever is at least 0, the weakest what is at least 255.
  CHECK(share({{"operations", {"Solarize"}}, {"count", 1}, {"magnitude", 30}}, 255) == 2000);
  CHECK(share({{"operations", {"Solarize"}}, {"count", 1}, {"magnitude", 0}}, 0) == 2000);
}

TEST_CASE("randaugment has the paper's 14 operations, and torchvision's two of them at magnitude 9 of 31") {
  const Json args = Plugin::open("augmentation", "randaugment").configuration(Json::object());
  std::set<std::string> operations;
  for (const Json& operation : args.at("operations")) operations.insert(operation.get<std::string>());
  CHECK(args.at("operations").size() == 14);
  CHECK(operations == std::set<std::string>{"Identity", "AutoContrast", "Equalize", "Rotate", "Solarize", "Color",
                                            "Posterize", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY",
                                            "TranslateX", "TranslateY"});
  CHECK(args.at("count") == 2);
  CHECK(args.at("magnitude") == 9);
}

TEST_CASE("randaugment's magnitudes are in parts of its bins, and go beyond the last") {
  const auto becomes = [](const Json& args, int value) {
    Json all = {{"operations", {"Solarize"}}, {"count", 1}};
    all.update(args);
    weft::Rng rng(1);
    return augmentation_of(Plugin::open("augmentation", "randaugment"), all)
        ->pixels(at::full({1, 1, 1, 1}, value, at::kByte), at::full({1}, 50, at::kByte), rng)
        .item<int>();
  };
  CHECK(becomes({{"magnitude", 9}}, 178) == 178);  // 255 (1 - 9 / 30) = 178.5
  CHECK(becomes({{"magnitude", 9}}, 179) == 76);
  const Json paper = {{"magnitude", 5}, {"bins", 11}, {"magnitudes", "paper"}};
  CHECK(becomes(paper, 127) == 127);  // 256 (1 - 5 / 10) = 128
  CHECK(becomes(paper, 128) == 127);
  const auto strong = [&](const char* operation, int value) {
    return becomes({{"operations", {operation}}, {"magnitude", 20}, {"bins", 11}, {"magnitudes", "paper"}}, value);
  };
  CHECK(strong("Brightness", 10) == 37);  // 0.1 + 0.18 x 20 = 3.7
  CHECK(strong("Solarize", 0) == 255);
  CHECK(strong("Posterize", 255) == 0);
}

TEST_CASE("randaugment refuses operations and magnitudes that there are not") {
  CHECK_THROWS_WITH(share({{"operations", {"Identity", "Blur"}}}, 0),
                    ContainsSubstring("/operations/1: \"Blur\" is no operation"));
  CHECK_THROWS_WITH(share({{"magnitude", 301}}, 0),
                    ContainsSubstring("/magnitude is 301; must be from 0 to 300, ten times the strongest of /bins"));
}
