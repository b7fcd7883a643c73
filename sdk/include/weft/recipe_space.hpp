// What spaces of recipes have in common: what they decide is about how a network is trained, or what its activations
// are, and the network itself comes from another space.
//
// The plugin's manifest has the parameters
//   architecture  {"type": "object", "plugin": "space", ..}: where networks come from
//   genotype      {"type": "string"}: one of them, in that space's notation
// With a genotype, or where that space has one alone, the recipe is searched for that network. Else both are searched
// together: a genotype's first decisions are the recipe's, the others the architecture's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/context.hpp"
#include "weft/space.hpp"

namespace weft {

class RecipeSpace : public DecisionSpace {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const final;
  bool complete(std::span<const std::int32_t> taken) const final;
  Candidate decode(const Genotype& genotype) const final;
  // "RECIPE @ ARCHITECTURE", or the recipe alone where the architecture is given.
  std::string notation(const Genotype& genotype) const final;
  Genotype parse(std::string_view notation) const final;
  // One-hot of the recipe's decisions, which must not depend on each other, then the architecture's encoding.
  std::size_t encoding_length() const override;
  std::vector<double> encode(const Genotype& genotype) const override;

 protected:
  // Throws InvalidInput where the given genotype is not of that space, or the space has no decisions and none is given.
  explicit RecipeSpace(const Context& context);

  // The decision that follows the options taken so far, of the recipe alone; nothing where that is decided.
  virtual std::optional<Decision> next_of_recipe(std::span<const std::int32_t> taken) const = 0;
  // More than the step of any of them.
  virtual int recipe_steps() const = 0;
  // Makes of the architecture's candidate that with this recipe.
  virtual void apply(std::span<const std::int32_t> recipe, Candidate& candidate) const = 0;
  // What the field writes for it, without " @ ", and back; unless overridden option numbers, "3,0,2".
  virtual std::string recipe_notation(std::span<const std::int32_t> recipe) const;
  virtual std::vector<std::int32_t> parse_recipe(std::string_view notation) const;

 private:
  // How many of the options taken are the recipe's; as many as there are where it is not decided yet.
  std::size_t of_recipe(std::span<const std::int32_t> taken) const;
  Genotype architecture(const Genotype& genotype) const;

  SpaceRef space_;
  std::optional<Genotype> given_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE RecipeSpace::RecipeSpace(const Context& context) : space_(context.plugin("architecture")) {
  if (context.configuration().contains("genotype")) {
    try {
      given_ = space_.parse(context.get<std::string>("genotype"));
      space_.decode(*given_);
    } catch (const InvalidInput& error) {
      throw InvalidInput("/genotype: " + std::string(error.what()));
    }
    return;
  }
  if (!space_.has_decisions())
    throw InvalidInput(
        "/genotype: the space of /architecture has no decisions to be searched together with the recipe's; give one of "
        "its genotypes, or take a space that provides space.decisions");
  if (!space_.next({})) given_ = Genotype{};
}

WEFT_INLINE std::size_t RecipeSpace::of_recipe(std::span<const std::int32_t> taken) const {
  std::size_t count = 0;
  while (count < taken.size() && next_of_recipe(taken.first(count))) ++count;
  return count;
}

WEFT_INLINE std::optional<Decision> RecipeSpace::next(std::span<const std::int32_t> taken) const {
  const std::size_t count = of_recipe(taken);
  if (count == taken.size()) {
    if (std::optional<Decision> decision = next_of_recipe(taken)) return decision;
  }
  if (given_) return {};
  std::optional<Decision> decision = space_.next(taken.subspan(count));
  if (!decision) return {};
  decision->name = "architecture/" + decision->name;
  decision->group = decision->group.empty() ? "" : "architecture/" + decision->group;
  decision->step += recipe_steps();
  for (int& step : decision->named_steps) step += step == Decision::no_step ? 0 : recipe_steps();
  return decision;
}

WEFT_INLINE bool RecipeSpace::complete(std::span<const std::int32_t> taken) const {
  const std::size_t count = of_recipe(taken);
  if (next_of_recipe(taken.first(count))) return false;
  return given_ ? count == taken.size() : space_.complete(taken.subspan(count));
}

WEFT_INLINE Genotype RecipeSpace::architecture(const Genotype& genotype) const {
  if (given_) return *given_;
  const auto count = static_cast<std::ptrdiff_t>(of_recipe(genotype.decisions));
  return Genotype({genotype.decisions.begin() + count, genotype.decisions.end()});
}

WEFT_INLINE Candidate RecipeSpace::decode(const Genotype& genotype) const {
  walk(genotype);
  Candidate candidate = space_.decode(architecture(genotype));
  const std::span<const std::int32_t> taken = genotype.decisions;
  apply(taken.first(of_recipe(taken)), candidate);
  return candidate;
}

WEFT_INLINE std::string RecipeSpace::notation(const Genotype& genotype) const {
  walk(genotype);
  const std::span<const std::int32_t> taken = genotype.decisions;
  const std::string recipe = recipe_notation(taken.first(of_recipe(taken)));
  return given_ ? recipe : recipe + " @ " + space_.notation(architecture(genotype));
}

WEFT_INLINE Genotype RecipeSpace::parse(std::string_view notation) const {
  Genotype genotype;
  const std::size_t at = given_ ? std::string_view::npos : notation.find(" @ ");
  if (!given_ && at == std::string_view::npos)
    throw InvalidInput("\"" + std::string(notation) + "\" is not RECIPE @ ARCHITECTURE");
  genotype.decisions = parse_recipe(notation.substr(0, at));
  if (!given_) {
    const Genotype architecture = space_.parse(notation.substr(at + 3));
    genotype.decisions.insert(genotype.decisions.end(), architecture.decisions.begin(), architecture.decisions.end());
  }
  walk(genotype);
  return genotype;
}

WEFT_INLINE std::size_t RecipeSpace::encoding_length() const {
  std::size_t length = given_ ? 0 : space_.encoding_length();
  std::vector<std::int32_t> taken;
  while (const std::optional<Decision> decision = next_of_recipe(taken)) {
    length += decision->options.size();
    taken.push_back(0);
  }
  return length;
}

WEFT_INLINE std::vector<double> RecipeSpace::encode(const Genotype& genotype) const {
  walk(genotype);
  const std::span<const std::int32_t> taken = genotype.decisions;
  std::vector<double> code;
  const std::size_t count = of_recipe(taken);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = code.size();
    code.resize(at + next_of_recipe(taken.first(i))->options.size());
    code[at + static_cast<std::size_t>(taken[i])] = 1.0;
  }
  if (!given_) {
    const std::vector<double> architecture = space_.encode(this->architecture(genotype));
    code.insert(code.end(), architecture.begin(), architecture.end());
  }
  return code;
}

WEFT_INLINE std::string RecipeSpace::recipe_notation(std::span<const std::int32_t> recipe) const {
  std::string text;
  for (const std::int32_t option : recipe) text += (text.empty() ? "" : ",") + std::to_string(option);
  return text;
}

WEFT_INLINE std::vector<std::int32_t> RecipeSpace::parse_recipe(std::string_view notation) const {
  const Json list = Json::parse("[" + std::string(notation) + "]", nullptr, false);
  const Genotype genotype = Genotype::from_json(list.is_discarded() ? Json::object() : list);
  if (!genotype.opaque.is_null())
    throw InvalidInput("\"" + std::string(notation) + "\" is not a list of option numbers such as 3,0,2");
  return genotype.decisions;
}
#endif

}  // namespace weft
