// The policies that population based augmentation changes while it trains: for each of 15 operations, twice, how often
// it is applied and how strongly.
//
// Ho, Liang, Stoica, Abbeel, Chen 2019, "Population Based Augmentation: Efficient Learning of Augmentation Policy
// Schedules", section 3: 60 integers, probabilities 0 .. 10 at even places and magnitudes 0 .. 9 at odd ones. What they
// mean is for the augmentation `pba` to say.

#include <array>
#include <string>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

namespace {

// In the order of the authors' code, in which a policy has them twice.
constexpr std::array operations = {"AutoContrast", "Equalize", "Invert",     "Rotate",     "Posterize",
                                   "Solarize",     "Color",    "Contrast",   "Brightness", "Sharpness",
                                   "ShearX",       "ShearY",   "TranslateX", "TranslateY", "Cutout"};
constexpr std::size_t integers = 2 * 2 * operations.size();
constexpr std::int64_t probabilities = 11, magnitudes = 10;

std::vector<std::string> up_to(std::int64_t count) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < count; ++i) numbers.push_back(i);
  return weft::ordinal_options(std::move(numbers));
}

class PopulationBasedAugmentation final : public weft::RecipeSpace {
 public:
  explicit PopulationBasedAugmentation(const weft::Context& context) : RecipeSpace(context) {}

 private:
  using Taken = std::span<const std::int32_t>;

  std::optional<weft::Decision> next_of_recipe(Taken taken) const override {
    const std::size_t at = taken.size();
    if (at >= integers) return {};
    const std::string what = at % 2 == 0 ? "probability" : "magnitude";
    const std::string which = std::to_string(at / (2 * operations.size()) + 1);
    return weft::Decision{.name = operations[at / 2 % operations.size()] + (" " + which) + "/" + what,
                          .group = what,
                          .kind = weft::Decision::Kind::ordinal,
                          .options = up_to(at % 2 == 0 ? probabilities : magnitudes),
                          .step = static_cast<int>(at / 2)};
  }
  int recipe_steps() const override { return static_cast<int>(integers / 2); }

  void apply(Taken recipe, weft::Candidate& candidate) const override {
    const std::vector<std::int32_t> policy(recipe.begin(), recipe.end());
    candidate.recipe["augmentation"] = weft::Json::array({{{"name", "pba"}, {"args", {{"policy", policy}}}}});
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<PopulationBasedAugmentation>("pba"))
