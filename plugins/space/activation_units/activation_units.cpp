// Searched activation functions, in the place of those that a given network has.
//
// Ramachandran, Zoph, Le 2018, "Searching for Activation Functions", section 2: a function is composed of core units
// b(u1(x1), u2(x2)), each of a binary and two unary functions, whose inputs are the preactivation x or what earlier
// units make; a controller decides inputs, unary and binary functions one after the other, and small spaces are
// searched whole. Every use of a function with a beta has one of its own, which is trained, for each channel.
//
// What keeps functions defined and finite is ours (weft/learning/activation_expression.hpp). A unit takes the constant
// beta for one of its two operands at most, since no gradient would pass it. The notation is the formula, whose normal
// form several genotypes may share.

#include <algorithm>
#include <string>
#include <vector>

#include "core_units.hpp"
#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

namespace {

using activation_units::Functions;
using activation_units::Unit;
using weft::Decision;
using weft::Json;

enum class Part { first_input, first_unary, second_input, second_unary, binary };

// Those of `all` that are among `allowed`.
std::vector<std::string> in_order(const std::vector<std::string>& all, const std::vector<std::string>& allowed) {
  std::vector<std::string> taken;
  std::copy_if(all.begin(), all.end(), std::back_inserter(taken), [&](const std::string& function) {
    return std::find(allowed.begin(), allowed.end(), function) != allowed.end();
  });
  return taken;
}

class ActivationUnits final : public weft::RecipeSpace {
 public:
  explicit ActivationUnits(const weft::Context& context)
      : RecipeSpace(context),
        units_(context.get<int>("core_units")),
        functions_{in_order(weft::unary_functions(), context.get<std::vector<std::string>>("unary")),
                   in_order(weft::binary_functions(), context.get<std::vector<std::string>>("binary"))},
        replaces_(context.get<std::vector<std::string>>("replaces")),
        initial_beta_(context.get<double>("initial_beta")) {
    if (functions_.constant() == 0)
      throw weft::InvalidInput("/unary is [\"beta\"], which makes constants alone; must name a function of x besides");
    check_given_architecture();
  }

  // One-hot, with a place for the constant where a unit's other operand has taken it, too.
  std::vector<double> encode(const weft::Genotype& genotype) const override {
    std::vector<double> code = RecipeSpace::encode(genotype);
    std::size_t end = 0;
    for (std::size_t at = 0; at < decisions(); ++at) {
      end += next_of_recipe(Taken(genotype.decisions).first(at))->options.size();
      if (part(at) != Part::second_unary || !is_constant(genotype.decisions[at - before_second_unary(at)])) continue;
      code.insert(code.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
      ++end;
    }
    return code;
  }

 private:
  using Taken = std::span<const std::int32_t>;

  // Of the first unit, whose inputs are x, and of each other one.
  static constexpr std::size_t of_first = 3, of_others = 5;

  std::size_t decisions() const { return of_first + of_others * static_cast<std::size_t>(units_ - 1); }
  static std::size_t unit_at(std::size_t at) { return at < of_first ? 0 : 1 + (at - of_first) / of_others; }
  static Part part(std::size_t at) {
    constexpr Part first[] = {Part::first_unary, Part::second_unary, Part::binary};
    return at < of_first ? first[at] : static_cast<Part>((at - of_first) % of_others);
  }
  // How far back the unit's first unary function was decided.
  static std::size_t before_second_unary(std::size_t at) { return at < of_first ? 1 : 2; }
  bool is_constant(std::int32_t unary) const { return unary >= 0 && unary == functions_.constant(); }

  std::optional<Decision> next_of_recipe(Taken taken) const override {
    const std::size_t at = taken.size();
    if (at >= decisions()) return {};
    const std::size_t number = unit_at(at);
    static const char* const names[] = {"input 1", "unary 1", "input 2", "unary 2", "binary"};
    static const char* const groups[] = {"input", "unary", "input", "unary", "binary"};
    const auto which = static_cast<std::size_t>(part(at));
    Decision decision{.name = "unit " + std::to_string(number + 1) + "/" + names[which],
                      .group = groups[which],
                      .step = static_cast<int>(number)};
    switch (part(at)) {
      case Part::first_input:
      case Part::second_input:
        decision.kind = Decision::Kind::reference;
        decision.options = {"x"};
        decision.named_steps = {Decision::no_step};
        for (std::size_t earlier = 0; earlier < number; ++earlier) {
          decision.options.push_back("unit " + std::to_string(earlier + 1));
          decision.named_steps.push_back(static_cast<int>(earlier));
        }
        break;
      case Part::first_unary:
        decision.options = functions_.unary;
        break;
      case Part::second_unary:
        decision.options = functions_.unary;
        if (is_constant(taken[at - before_second_unary(at)])) decision.options.pop_back();
        break;
      case Part::binary:
        decision.options = functions_.binary;
        break;
    }
    return decision;
  }
  int recipe_steps() const override { return units_; }

  std::vector<Unit> units_of(Taken recipe) const {
    std::vector<Unit> units(static_cast<std::size_t>(units_));
    for (std::size_t at = 0; at < recipe.size(); ++at) {
      Unit& unit = units[unit_at(at)];
      int* const members[] = {&unit.first_input, &unit.first_unary, &unit.second_input, &unit.second_unary,
                              &unit.binary};
      *members[static_cast<std::size_t>(part(at))] = recipe[at];
    }
    return units;
  }

  void apply(Taken recipe, weft::Candidate& candidate) const override {
    Json architecture = candidate.architecture.to_json();
    replace(architecture, {{"formula", formula_of(units_of(recipe), functions_)}, {"beta", initial_beta_}});
    candidate.architecture = weft::Architecture::from_json(architecture);
  }

  // Nodes keep their names, and everything else.
  void replace(Json& architecture, const Json& attributes) const {
    for (Json& node : architecture.at("nodes")) {
      if (node.at("operation") == "recurrent") replace(node.at("attributes").at("cell"), attributes);
      if (node.at("operation") != "activation") continue;
      const auto function = node.at("attributes").at("function").get<std::string>();
      if (std::find(replaces_.begin(), replaces_.end(), function) == replaces_.end()) continue;
      node["operation"] = "activation_unit";
      node["attributes"] = attributes;
    }
  }

  std::string recipe_notation(Taken recipe) const override { return formula_of(units_of(recipe), functions_); }

  std::vector<std::int32_t> parse_recipe(std::string_view notation) const override {
    const weft::ActivationExpression formula(notation);
    const auto units = activation_units::Decomposition(formula, functions_, static_cast<std::size_t>(units_)).units();
    if (!units)
      throw weft::InvalidInput("\"" + formula.text() + "\" is no formula of " + std::to_string(units_) +
                               " core unit(s) of /unary and /binary; the form is x * sigmoid(beta x)");
    std::vector<std::int32_t> recipe;
    for (std::size_t at = 0; at < decisions(); ++at) {
      const Unit& one = (*units)[unit_at(at)];
      const int members[] = {one.first_input, one.first_unary, one.second_input, one.second_unary, one.binary};
      recipe.push_back(members[static_cast<std::size_t>(part(at))]);
    }
    return recipe;
  }

  // Where networks are searched, too, some may have nothing to replace.
  void check_given_architecture() const {
    const weft::Genotype any(std::vector<std::int32_t>(decisions(), 0));
    if (next(any.decisions)) return;
    const weft::Json text = decode(any).architecture.to_json();
    if (text.dump().find("\"activation_unit\"") != std::string::npos) return;
    throw weft::InvalidInput("/replaces is " + Json(replaces_).dump() +
                             ", but the architecture has no such activation; must name one that it has");
  }

  int units_;
  Functions functions_;
  std::vector<std::string> replaces_;
  double initial_beta_;
};

}  // namespace

WEFT_PLUGIN(weft::component<ActivationUnits>("activation_units"))
