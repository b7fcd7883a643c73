// Explore: how a member's recipe changes when it goes on from another's weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>

#include "weft/context.hpp"
#include "weft/space.hpp"

namespace population_based_training {

// Decision by decision: drawn anew with a probability; else, where options are in order, moved by 0 .. `largest_shift`
// of them, up or down with equal probability and no further than the first and the last (Ho et al. 2019, Algorithm 2).
// Other decisions stay, and so do those of an architecture that is searched together with the recipe
// (weft/recipe_space.hpp): weights that are gone on from fit no other.
class Explorer {
 public:
  // Throws InvalidInput where the space cannot do what is asked for, or where exploring changes the network.
  Explorer(const weft::SpaceRef& space, const weft::Context& context)
      : space_(space),
        mutates_(context.get<std::string>("explore") == "mutation"),
        starts_first_(context.get<std::string>("start") == "first"),
        resample_(context.get<double>("resample_probability")),
        largest_shift_(context.get<std::size_t>("largest_shift")) {
    if (mutates_ && !space_.has_mutation())
      throw weft::InvalidInput(
          "/explore is \"mutation\", but the space does not provide space.mutation; use \"perturb\"");
    check_network(context.rng().derive("check"));
  }

  // A member before its first step: drawn, or the first option of every decision of the recipe.
  weft::Genotype start(weft::Rng& rng) const {
    if (!starts_first_) return space_.sample(rng);
    weft::Genotype genotype;
    while (const std::optional<weft::Decision> decision = next(genotype, 0)) {
      genotype.decisions.push_back(
          of_architecture(*decision) ? static_cast<std::int32_t>(rng.below(decision->options.size())) : 0);
    }
    return genotype;
  }

  weft::Genotype explore(const weft::Genotype& from, weft::Rng& rng) const {
    if (mutates_) return space_.mutate(from, rng);
    const std::map<std::string, std::string> answers = answers_of(from);
    weft::Genotype child;
    while (const std::optional<weft::Decision> decision = next(child, from.decisions.size())) {
      const auto answer = answers.find(decision->name);
      child.decisions.push_back(
          static_cast<std::int32_t>(explored(*decision, answer == answers.end() ? "" : answer->second, rng)));
    }
    return child;
  }

 private:
  static bool of_architecture(const weft::Decision& decision) { return decision.name.starts_with("architecture/"); }

  // What follows; nothing where that may be left out of a genotype that has `enough` decisions.
  std::optional<weft::Decision> next(const weft::Genotype& genotype, std::size_t enough) const {
    if (enough > 0 && genotype.decisions.size() >= enough && space_.complete(genotype.decisions)) return {};
    return space_.next(genotype.decisions);
  }

  // Option by decision.
  std::map<std::string, std::string> answers_of(const weft::Genotype& genotype) const {
    std::map<std::string, std::string> answers;
    const std::span<const std::int32_t> taken = genotype.decisions;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const std::optional<weft::Decision> decision = space_.next(taken.first(i));
      answers[decision->name] = decision->options.at(static_cast<std::size_t>(taken[i]));
    }
    return answers;
  }

  // The option that follows `answer`; of a decision that was not there before, or does not offer it, any.
  std::size_t explored(const weft::Decision& decision, const std::string& answer, weft::Rng& rng) const {
    const auto& options = decision.options;
    const auto found = std::find(options.begin(), options.end(), answer);
    if (found == options.end()) return rng.below(options.size());
    const auto place = static_cast<std::size_t>(found - options.begin());
    if (of_architecture(decision)) return place;
    if (rng.bernoulli(resample_)) return rng.below(options.size());
    if (decision.kind != weft::Decision::Kind::ordinal) return place;
    const std::size_t shift = rng.below(largest_shift_ + 1);
    return rng.bernoulli(0.5) ? place - std::min(shift, place) : std::min(place + shift, options.size() - 1);
  }

  void check_network(weft::Rng rng) const {
    constexpr int samples = 5;
    for (int i = 0; i < samples; ++i) {
      const weft::Genotype before = space_.sample(rng), after = explore(before, rng);
      if (space_.decode(before).architecture.canonical_hash() == space_.decode(after).architecture.canonical_hash())
        continue;
      throw weft::InvalidInput(
          "the space's decisions change the network (" + space_.notation(before) + " to " + space_.notation(after) +
          "), but a step goes on from the weights of another; take a space of recipes, such as pba, with its "
          "architecture given, or /explore \"perturb\", which keeps the architecture");
    }
  }

  const weft::SpaceRef& space_;
  bool mutates_, starts_first_;
  double resample_;
  std::size_t largest_shift_;
};

}  // namespace population_based_training
