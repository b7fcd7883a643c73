// AutoAugment's policies: a few sub-policies of a few operations each, with a probability and a magnitude on a grid.
//
// Cubuk, Zoph, Mane, Vasudevan, Le 2019, "AutoAugment: Learning Augmentation Policies from Data", section 3.1:
// 5 sub-policies of 2 operations, of (16 operations, 11 probabilities, 10 magnitudes) each, (16 x 11 x 10)^10 in all.
// What an operation does at a magnitude is for the augmentation `autoaugment` to say.

#include <string>
#include <vector>

#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

namespace {

constexpr int probabilities = 11;  // 0, 0.1, .., 1
constexpr int magnitudes = 10;     // 0 .. 9
constexpr std::size_t parts = 3;   // of an operation: which, how often, how strong

std::vector<std::string> numbered(int count, const std::string& unit = "", int times = 1) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back(std::to_string(times * i) + unit);
  return texts;
}

class AutoAugment final : public weft::RecipeSpace {
 public:
  explicit AutoAugment(const weft::Context& context)
      : RecipeSpace(context),
        sub_policies_(context.get<int>("sub_policies")),
        operations_each_(context.get<int>("operations_each")),
        operations_(context.get<std::vector<std::string>>("operations")),
        magnitudes_(context.get<std::string>("magnitudes")) {
    for (int sub_policy = 0; sub_policy < sub_policies_; ++sub_policy) {
      for (int operation = 0; operation < operations_each_; ++operation) add_operation(sub_policy, operation);
    }
  }

 private:
  using Taken = std::span<const std::int32_t>;

  std::optional<weft::Decision> next_of_recipe(Taken taken) const override {
    if (taken.size() >= decisions_.size()) return {};
    return decisions_[taken.size()];
  }
  int recipe_steps() const override { return sub_policies_; }

  // {"augmentation": [{"name": "autoaugment",
  //                    "args": {"magnitudes": "aa", "policy": [[["Invert", 0.1, 7], ["Contrast", 0.2, 6]], ..]}}]}
  void apply(Taken recipe, weft::Candidate& candidate) const override {
    weft::Json policy = weft::Json::array();
    for (std::size_t at = 0; at < recipe.size(); at += parts) {
      if (at % (parts * static_cast<std::size_t>(operations_each_)) == 0) policy.push_back(weft::Json::array());
      policy.back().push_back(
          {operations_[static_cast<std::size_t>(recipe[at])], recipe[at + 1] / 10.0, recipe[at + 2]});
    }
    const weft::Json args = {{"magnitudes", magnitudes_}, {"policy", policy}};
    candidate.recipe["augmentation"] = weft::Json::array({{{"name", "autoaugment"}, {"args", args}}});
  }

  // "Invert 10% 7 + Contrast 20% 6; Rotate 70% 2 + ..": operation, probability, magnitude.
  std::string recipe_notation(Taken recipe) const override {
    const std::size_t sub_policy = parts * static_cast<std::size_t>(operations_each_);
    std::string text;
    for (std::size_t at = 0; at < recipe.size(); at += parts) {
      text += at == 0 ? "" : at % sub_policy == 0 ? "; " : " + ";
      text += operations_[static_cast<std::size_t>(recipe[at])] + " " + std::to_string(10 * recipe[at + 1]) + "% " +
              std::to_string(recipe[at + 2]);
    }
    return text;
  }

  std::vector<std::int32_t> parse_recipe(std::string_view notation) const override {
    weft::NotationReader reader(notation, "\"Invert 10% 7 + Contrast 20% 6; Rotate 70% 2 + TranslateX 30% 9\"");
    std::vector<std::int32_t> recipe;
    for (int sub_policy = 0; sub_policy < sub_policies_; ++sub_policy) {
      for (int operation = 0; operation < operations_each_; ++operation) {
        if (operation + sub_policy > 0) reader.expect(operation == 0 ? ";" : "+");
        read_operation(reader, recipe);
      }
    }
    reader.expect_end();
    return recipe;
  }

  void read_operation(weft::NotationReader& reader, std::vector<std::int32_t>& recipe) const {
    recipe.push_back(static_cast<std::int32_t>(reader.option(operations_, "an operation")));
    const std::int64_t percent = reader.integer("a probability in percent");
    if (percent < 0 || percent > 100 || percent % 10 != 0)
      reader.fail("a probability of 0, 10, .. or 100% before this");
    reader.expect("%");
    const std::int64_t magnitude = reader.integer("a magnitude");
    if (magnitude < 0 || magnitude >= magnitudes) reader.fail("a magnitude from 0 to 9 before this");
    recipe.push_back(static_cast<std::int32_t>(percent / 10));
    recipe.push_back(static_cast<std::int32_t>(magnitude));
  }

  void add_operation(int sub_policy, int operation) {
    const auto add = [&](const std::string& what, weft::Decision::Kind kind, std::vector<std::string> options) {
      decisions_.push_back(
          {.name = "sub-policy " + std::to_string(sub_policy + 1) + "/" + what + " " + std::to_string(operation + 1),
           .group = what,
           .kind = kind,
           .options = std::move(options),
           .step = sub_policy});
    };
    add("operation", weft::Decision::Kind::categorical, operations_);
    add("probability", weft::Decision::Kind::ordinal, numbered(probabilities, "%", 10));
    add("magnitude", weft::Decision::Kind::ordinal, numbered(magnitudes));
  }

  int sub_policies_, operations_each_;
  std::vector<std::string> operations_;
  std::string magnitudes_;  // the map of them
  std::vector<weft::Decision> decisions_;
};

}  // namespace

WEFT_PLUGIN(weft::component<AutoAugment>("autoaugment"))
