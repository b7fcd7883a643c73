// AutoAugment's policies: how many there are, how they are written, and what becomes of them in a recipe.

#include <cmath>
#include <string>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

const Json study = {{"task", {{"input", {3, 32, 32}}, {"classes", 10}}}};
const std::string network = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";

Plugin plugin() { return Plugin::open("space", "autoaugment"); }

Json over(const Json& args = Json::object(), bool given = true) {
  Json all = {{"architecture", {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}}}};
  if (given) all["genotype"] = network;
  all.update(args);
  return all;
}

// With the space that it is made of.
class Opened {
 public:
  explicit Opened(const Json& args)
      : company_(plugin(), args, {.study = study}), instance_(plugin(), args, company_.surroundings()) {}
  SpaceRef operator*() const { return SpaceRef(instance_.handle()); }

 private:
  Company company_;
  Instance instance_;
};

}  // namespace

TEST_CASE("autoaugment keeps the contract of spaces") {
  check_space(plugin(), over(), study);
  check_space(plugin(), over({{"sub_policies", 1}, {"operations_each", 1}, {"operations", {"Invert", "Rotate"}}}),
              study);
}

TEST_CASE("autoaugment keeps the contract of spaces where the network is searched together with the policy") {
  check_space(plugin(), over({{"sub_policies", 2}}, false), study);
}

TEST_CASE("autoaugment has (16 x 11 x 10)^10 policies in 30 decisions") {
  const Opened space(over());
  Genotype genotype;
  double log_count = 0.0;
  while (const std::optional<Decision> decision = (*space).next(genotype.decisions)) {
    const bool ordered = decision->kind == Decision::Kind::ordinal;
    CHECK(ordered == (genotype.decisions.size() % 3 != 0));  // an operation, then its probability and its magnitude
    CHECK(decision->step == static_cast<int>(genotype.decisions.size() / 6));
    log_count += std::log10(static_cast<double>(decision->options.size()));
    genotype.decisions.push_back(0);
  }
  CHECK(genotype.decisions.size() == 30);
  CHECK(log_count == Approx(10 * std::log10(1760.0)));
}

TEST_CASE("autoaugment writes the paper's policy and hands it to the augmentation") {
  const Opened space(over());
  // The first five sub-policies of the final one for CIFAR-10.
  const std::string text =
      "Invert 10% 7 + Contrast 20% 6; Rotate 70% 2 + TranslateX 30% 9; Sharpness 80% 1 + Sharpness 90% 3; "
      "ShearY 50% 8 + TranslateY 70% 9; AutoContrast 50% 8 + Equalize 90% 2";
  const Genotype genotype = (*space).parse(text);
  CHECK((*space).notation(genotype) == text);
  const Json policy = Json::parse(R"([
    [["Invert", 0.1, 7], ["Contrast", 0.2, 6]],
    [["Rotate", 0.7, 2], ["TranslateX", 0.3, 9]],
    [["Sharpness", 0.8, 1], ["Sharpness", 0.9, 3]],
    [["ShearY", 0.5, 8], ["TranslateY", 0.7, 9]],
    [["AutoContrast", 0.5, 8], ["Equalize", 0.9, 2]]])");
  const Candidate candidate = (*space).decode(genotype);
  CHECK(candidate.recipe ==
        Json{{"augmentation",
              Json::array({{{"name", "autoaugment"}, {"args", {{"magnitudes", "aa"}, {"policy", policy}}}}})}});
  const Opened other(over({{"magnitudes", "faa"}}));
  CHECK((*other).decode(genotype).recipe.at("augmentation")[0].at("args").at("magnitudes") == "faa");
  const Opened together(over(Json::object(), false));
  CHECK((*together).notation((*together).parse(text + " @ " + network)) == text + " @ " + network);
}

TEST_CASE("autoaugment refuses what is no policy, and a network that its space does not know") {
  const Opened space(over({{"sub_policies", 1}}));
  const auto refused = [&](const char* text, const char* why) {
    CHECK_THROWS_WITH((*space).parse(text), ContainsSubstring(why));
  };
  refused("Invert 15% 7 + Contrast 20% 6", "expected a probability of 0, 10, .. or 100%");
  refused("Invert 110% 7 + Contrast 20% 6", "expected a probability of 0, 10, .. or 100%");
  refused("Invert 10% 10 + Contrast 20% 6", "expected a magnitude from 0 to 9");
  refused("Turn 10% 7 + Contrast 20% 6", "expected an operation, one of ShearX, ShearY");
  refused("Invert 10% 7", "expected \"+\"");
  refused("Invert 10% 7 + Contrast 20% 6; Invert 10% 7 + Contrast 20% 6", "expected the end");
  CHECK_THROWS_WITH(Opened(over({{"genotype", "no network"}})), ContainsSubstring("/genotype: "));
}
