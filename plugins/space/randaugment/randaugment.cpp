// RandAugment's grid: how many operations are drawn for each image, and their one magnitude.
//
// Cubuk, Zoph, Shlens, Le 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
// section 3: two numbers, N and M, small enough for a grid search. Which values are tried, and in which unit M is, are
// arguments.

#include <string>
#include <vector>

#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

namespace {

using Numbers = std::vector<std::int64_t>;

// Ascending, each once.
Numbers grid(const weft::Context& context, const char* name) {
  Numbers numbers;
  for (const std::string& option : weft::ordinal_options(context.get<Numbers>(name)))
    numbers.push_back(std::stoll(option));
  return numbers;
}

class RandAugment final : public weft::RecipeSpace {
 public:
  explicit RandAugment(const weft::Context& context)
      : RecipeSpace(context),
        counts_(grid(context, "counts")),
        magnitudes_(grid(context, "magnitudes")),
        bins_(context.get<std::int64_t>("bins")),
        map_(context.get<std::string>("map")) {
    if (magnitudes_.back() > 10 * (bins_ - 1))
      throw weft::InvalidInput("/magnitudes has " + std::to_string(magnitudes_.back()) + "; must not exceed " +
                               std::to_string(10 * (bins_ - 1)) + ", ten times the strongest of /bins");
  }

 private:
  using Taken = std::span<const std::int32_t>;

  std::optional<weft::Decision> next_of_recipe(Taken taken) const override {
    if (taken.size() >= 2) return {};
    const bool first = taken.empty();
    return weft::Decision{.name = first ? "count" : "magnitude",
                          .group = first ? "count" : "magnitude",
                          .kind = weft::Decision::Kind::ordinal,
                          .options = weft::ordinal_options(first ? counts_ : magnitudes_),
                          .step = first ? 0 : 1};
  }
  int recipe_steps() const override { return 2; }

  void apply(Taken recipe, weft::Candidate& candidate) const override {
    const weft::Json args = {
        {"count", count_of(recipe)}, {"magnitude", magnitude_of(recipe)}, {"bins", bins_}, {"magnitudes", map_}};
    candidate.recipe["augmentation"] = weft::Json::array({{{"name", "randaugment"}, {"args", args}}});
  }

  // "2 at 9": N and M.
  std::string recipe_notation(Taken recipe) const override {
    return std::to_string(count_of(recipe)) + " at " + std::to_string(magnitude_of(recipe));
  }
  std::vector<std::int32_t> parse_recipe(std::string_view notation) const override {
    weft::NotationReader reader(notation, "\"2 at 9\", two operations of magnitude 9");
    std::vector<std::int32_t> recipe = {place(reader, counts_, "a number of operations")};
    reader.expect("at");
    recipe.push_back(place(reader, magnitudes_, "a magnitude"));
    reader.expect_end();
    return recipe;
  }
  static std::int32_t place(weft::NotationReader& reader, const Numbers& numbers, const std::string& what) {
    const auto found = std::find(numbers.begin(), numbers.end(), reader.integer(what));
    if (found == numbers.end()) reader.fail(what + " of the grid, " + weft::Json(numbers).dump() + ", before this");
    return static_cast<std::int32_t>(found - numbers.begin());
  }

  std::int64_t count_of(Taken recipe) const { return counts_[static_cast<std::size_t>(recipe[0])]; }
  std::int64_t magnitude_of(Taken recipe) const { return magnitudes_[static_cast<std::size_t>(recipe[1])]; }

  Numbers counts_, magnitudes_;
  std::int64_t bins_;
  std::string map_;  // what a magnitude means
};

}  // namespace

WEFT_PLUGIN(weft::component<RandAugment>("randaugment"))
