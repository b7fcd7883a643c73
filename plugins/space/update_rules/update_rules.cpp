// Update rules: formulas of operands, unary and binary functions, made in a few steps.
//
// Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with Reinforcement Learning": a step chooses two operands,
// a unary function for each, and the binary function that joins them, b(u1(o1), u2(o2)); the result of a step may be an
// operand of the next, and that of the last is the rule. How many steps there are is given. What the formulas mean is
// for the update rule `expression` to say.
//
// Deviations: the paper trains each rule for one epoch at every learning rate of a grid and goes on with the best; here
// the learning rate is one more decision, so that rule and rate are found together, each candidate is trained once, and
// a good rule may be missed by a bad rate. Whether the whole step decays is a decision, too.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/learning/update_expression.hpp"
#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

namespace {

using weft::Decision;
using weft::learning::UpdateExpression;
using Formulas = std::vector<UpdateExpression>;

constexpr std::size_t parts = 5;  // of a step: two operands, two unary functions, the binary one

// An argument's formulas, in which so many of x and y may stand.
Formulas formulas_of(const weft::Context& context, const std::string& argument, int variables) {
  Formulas formulas;
  for (const std::string& text : context.get<std::vector<std::string>>(argument.c_str())) {
    try {
      formulas.push_back(UpdateExpression::parse(text, variables));
    } catch (const weft::InvalidInput& error) {
      throw weft::InvalidInput("/" + argument + "/" + std::to_string(formulas.size()) + " is " +
                               weft::Json(text).dump() + ": " + error.what());
    }
  }
  return formulas;
}

// What x and y stand for where a function's value is a formula.
struct Arguments {
  std::optional<UpdateExpression> x = {}, y = {};
};

// Whether `formula` is `function` of some arguments, which are then set.
bool is_value_of(const UpdateExpression& function, const UpdateExpression& formula, Arguments& arguments) {
  const auto stands_for = [&](std::optional<UpdateExpression>& argument) {
    if (!argument) argument = formula;
    return *argument == formula;
  };
  if (function.term == UpdateExpression::Term::x) return stands_for(arguments.x);
  if (function.term == UpdateExpression::Term::y) return stands_for(arguments.y);
  if (function.term != formula.term || function.number != formula.number || function.of.size() != formula.of.size())
    return false;
  for (std::size_t i = 0; i < function.of.size(); ++i) {
    if (!is_value_of(function.of[i], formula.of[i], arguments)) return false;
  }
  return true;
}

class UpdateRules final : public weft::RecipeSpace {
 public:
  explicit UpdateRules(const weft::Context& context)
      : RecipeSpace(context),
        depth_(context.get<std::size_t>("depth")),
        operands_(formulas_of(context, "operands", 0)),
        unary_(formulas_of(context, "unary", 1)),
        binary_(formulas_of(context, "binary", 2)),
        decays_(formulas_of(context, "decays", 0)),
        rates_(context.get<std::vector<double>>("learning_rates")) {
    std::sort(rates_.begin(), rates_.end());
    for (std::size_t step = 0; step < depth_; ++step) add_step(context, static_cast<int>(step));
    if (!decays_.empty()) {
      std::vector<std::string> options = {"none"};
      for (const UpdateExpression& decay : decays_) options.push_back(decay.to_string());
      add("decay", "decay", Decision::Kind::categorical, options, static_cast<int>(depth_));
    }
    if (rates_.size() > 1) {
      std::vector<std::string> options;
      for (const double rate : rates_) options.push_back(UpdateExpression::text_of(rate));
      add("learning rate", "learning rate", Decision::Kind::ordinal, options, static_cast<int>(depth_));
    }
  }

 private:
  using Taken = std::span<const std::int32_t>;

  std::optional<Decision> next_of_recipe(Taken taken) const override {
    if (taken.size() >= decisions_.size()) return {};
    return decisions_[taken.size()];
  }
  int recipe_steps() const override { return static_cast<int>(depth_) + 1; }

  // {"update_rule": {"name": "expression", "args": {"formula": "m / sqrt|v|"}}, "lr": 0.001}
  void apply(Taken recipe, weft::Candidate& candidate) const override {
    candidate.recipe["update_rule"] = {{"name", "expression"}, {"args", {{"formula", formula(recipe).to_string()}}}};
    candidate.recipe["lr"] = rate(recipe);
  }

  // "m / sqrt|v|, lr 0.001"
  std::string recipe_notation(Taken recipe) const override {
    return formula(recipe).to_string() + ", lr " + UpdateExpression::text_of(rate(recipe));
  }

  std::vector<std::int32_t> parse_recipe(std::string_view notation) const override {
    const std::size_t comma = notation.rfind(", lr ");
    if (comma == std::string_view::npos)
      throw weft::InvalidInput("\"" + std::string(notation) + "\" is not FORMULA, lr RATE, as m / sqrt|v|, lr 0.001");
    const UpdateExpression formula = UpdateExpression::parse(notation.substr(0, comma));
    std::optional<std::vector<std::int32_t>> recipe = made(formula);
    if (!recipe)
      throw weft::InvalidInput(formula.to_string() + " is not made of /operands, /unary and /binary in " +
                               std::to_string(depth_) + " steps; /depth allows no more");
    if (rates_.size() > 1) {
      recipe->push_back(rate_option(notation.substr(comma + 5)));
    } else {
      rate_option(notation.substr(comma + 5));
    }
    return *std::move(recipe);
  }

  void add_step(const weft::Context& context, int step) {
    const auto texts = [&](const char* argument) { return context.get<std::vector<std::string>>(argument); };
    std::vector<std::string> operands = texts("operands");
    for (int earlier = 1; earlier <= step; ++earlier) operands.push_back("result " + std::to_string(earlier));
    const std::string place = "step " + std::to_string(step + 1) + "/";
    add(place + "operand 1", "operand", Decision::Kind::categorical, operands, step);
    add(place + "operand 2", "operand", Decision::Kind::categorical, operands, step);
    add(place + "unary 1", "unary", Decision::Kind::categorical, texts("unary"), step);
    add(place + "unary 2", "unary", Decision::Kind::categorical, texts("unary"), step);
    add(place + "binary", "binary", Decision::Kind::categorical, texts("binary"), step);
  }
  void add(const std::string& name, const std::string& group, Decision::Kind kind,
           const std::vector<std::string>& options, int step) {
    decisions_.push_back({.name = name, .group = group, .kind = kind, .options = options, .step = step});
  }

  UpdateExpression formula(Taken recipe) const {
    const auto option = [&](std::size_t at) { return static_cast<std::size_t>(recipe[at]); };
    Formulas operands = operands_;
    for (std::size_t at = 0; at < parts * depth_; at += parts) {
      const UpdateExpression left = unary_[option(at + 2)].with(operands[option(at)]);
      const UpdateExpression right = unary_[option(at + 3)].with(operands[option(at + 1)]);
      operands.push_back(binary_[option(at + 4)].with(left, right));
    }
    const std::size_t decay = decays_.empty() ? 0 : option(parts * depth_);
    return decay == 0 ? operands.back() : decayed(operands.back(), decays_[decay - 1]);
  }
  static UpdateExpression decayed(const UpdateExpression& step, const UpdateExpression& decay) {
    return {UpdateExpression::Term::product, 0.0, {step, decay}};
  }

  double rate(Taken recipe) const {
    return rates_.size() == 1 ? rates_.front() : rates_[static_cast<std::size_t>(recipe.back())];
  }
  std::int32_t rate_option(std::string_view text) const {
    const weft::Json number = weft::Json::parse(text, nullptr, false);
    const auto found =
        number.is_number() ? std::find(rates_.begin(), rates_.end(), number.get<double>()) : rates_.end();
    if (found == rates_.end())
      throw weft::InvalidInput("lr is \"" + std::string(text) + "\"; must be one of " + weft::Json(rates_).dump());
    return static_cast<std::int32_t>(found - rates_.begin());
  }

  // The first decisions that make this formula, without the learning rate; nothing where there are none.
  std::optional<std::vector<std::int32_t>> made(const UpdateExpression& formula) const {
    for (std::size_t decay = 0; decay <= decays_.size(); ++decay) {
      Results results(depth_);
      results.back() = formula;
      if (decay > 0) {
        if (formula.term != UpdateExpression::Term::product || formula.of[1] != decays_[decay - 1]) continue;
        results.back() = formula.of[0];
      }
      std::vector<std::int32_t> taken(parts * depth_);
      if (!makes(results, depth_ - 1, taken)) continue;
      if (!decays_.empty()) taken.push_back(static_cast<std::int32_t>(decay));
      return taken;
    }
    return {};
  }

  using Results = std::vector<std::optional<UpdateExpression>>;  // that steps must have; of others it does not matter

  // Takes what makes the results of this step and those before it.
  bool makes(const Results& results, std::size_t step, std::vector<std::int32_t>& taken) const {
    if (!results[step]) {
      std::fill_n(taken.begin() + static_cast<std::ptrdiff_t>(parts * step), parts, 0);
      return step == 0 || makes(results, step - 1, taken);
    }
    for (std::size_t binary = 0; binary < binary_.size(); ++binary) {
      Arguments sides;
      if (!is_value_of(binary_[binary], *results[step], sides)) continue;
      taken[parts * step + 4] = static_cast<std::int32_t>(binary);
      const bool found = side(sides.x, 0, step, results, taken, [&](const Results& left) {
        return side(sides.y, 1, step, left, taken,
                    [&](const Results& both) { return step == 0 || makes(both, step - 1, taken); });
      });
      if (found) return true;
    }
    return false;
  }

  // Takes a unary function and an operand of which `value` is made, for which `goes_on` finds the rest.
  template <typename GoesOn>
  bool side(const std::optional<UpdateExpression>& value, std::size_t which, std::size_t step, const Results& results,
            std::vector<std::int32_t>& taken, const GoesOn& goes_on) const {
    std::int32_t& operand = taken[parts * step + which];
    std::int32_t& function = taken[parts * step + 2 + which];
    if (!value) {
      operand = function = 0;
      return goes_on(results);
    }
    for (std::size_t unary = 0; unary < unary_.size(); ++unary) {
      Arguments argument;
      if (!is_value_of(unary_[unary], *value, argument)) continue;
      for (std::size_t option = 0; option < operands_.size() + step; ++option) {
        Results needed = results;
        if (argument.x && !is_option(option, *argument.x, needed)) continue;
        function = static_cast<std::int32_t>(unary);
        operand = static_cast<std::int32_t>(option);
        if (goes_on(needed)) return true;
      }
    }
    return false;
  }

  // Whether this operand is the formula: a given one, or the result of an earlier step, which must then be it.
  bool is_option(std::size_t option, const UpdateExpression& formula, Results& results) const {
    if (option < operands_.size()) return operands_[option] == formula;
    std::optional<UpdateExpression>& result = results[option - operands_.size()];
    if (!result) result = formula;
    return *result == formula;
  }

  std::size_t depth_;
  Formulas operands_, unary_, binary_, decays_;
  std::vector<double> rates_;  // ascending
  std::vector<Decision> decisions_;
};

}  // namespace

WEFT_PLUGIN(weft::component<UpdateRules>("update_rules"))
