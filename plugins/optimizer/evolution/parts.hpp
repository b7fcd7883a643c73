// The parts that evolutionary methods are put together from, each a value: how individuals begin, who breeds, how
// parents are recombined and mutated, and who survives.
//
// Wistuba, Rawat, Pedapati 2019, "A Survey on Neural Architecture Search", section 3.2. Every part draws from the Rng
// that it is given and from nothing else.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/selection.hpp"

namespace evolution {

using weft::Genotype;
using weft::Rng;
using weft::SpaceRef;
namespace selection = weft::selection;

// ---- the population -----------------------------------------------------------------------------------------------

struct Individual {
  Genotype genotype;
  double reward;
  weft::TrialId trial;
};

// Oldest first, unless a roulette wheel put it together.
struct Population {
  std::vector<Individual> individuals;
  std::vector<double> fitness;  // their rewards

  std::size_t size() const { return individuals.size(); }
  void add(Individual individual) {
    fitness.push_back(individual.reward);
    individuals.push_back(std::move(individual));
  }
  void remove(std::size_t at) {
    fitness.erase(fitness.begin() + static_cast<std::ptrdiff_t>(at));
    individuals.erase(individuals.begin() + static_cast<std::ptrdiff_t>(at));
  }
  Population only(const std::vector<std::size_t>& survivors) const {
    Population population;
    for (const std::size_t at : survivors) population.add(individuals[at]);
    return population;
  }
};

using Initialise = std::function<Genotype(Rng&)>;
// Of the `turn`th parent of a generation.
using Select = std::function<selection::Outcome(std::span<const double> fitness, std::size_t turn, Rng&)>;
using Cross = std::function<Genotype(const Genotype&, const Genotype&, Rng&)>;
using Mutate = std::function<Genotype(const Genotype&, Rng&)>;
// A mutation that says how the weights follow.
using Morph = std::function<weft::Morphisms::Child(const Genotype&, Rng&)>;
using Survive = std::function<std::vector<std::size_t>(std::span<const double> fitness, Rng&)>;

// ---- initialisation -----------------------------------------------------------------------------------------------

inline Initialise samples(const SpaceRef& space) {
  return [space](Rng& rng) { return space.sample(rng); };
}

// Decision by decision the first option that ends the genotype, and where none does the first of all.
inline Initialise trivial(const SpaceRef& space) {
  return [space](Rng&) {
    Genotype genotype;
    std::vector<std::int32_t>& taken = genotype.decisions;
    while (const std::optional<weft::Decision> decision = space.next(taken)) {
      if (space.complete(taken)) break;
      taken.push_back(0);
      const auto end = static_cast<std::int32_t>(decision->options.size());
      while (taken.back() < end && !space.complete(taken)) ++taken.back();
      if (taken.back() == end) taken.back() = 0;
    }
    return genotype;
  };
}

// In turn.
inline Initialise given(std::vector<Genotype> genotypes) {
  return [genotypes = std::move(genotypes), at = std::size_t{0}](Rng&) mutable {
    return genotypes[at++ % genotypes.size()];
  };
}

// ---- parents ------------------------------------------------------------------------------------------------------

inline Select each_in_turn() {
  return [](std::span<const double> fitness, std::size_t turn, Rng&) {
    const std::size_t at = turn % fitness.size();
    return selection::Outcome{at, at};
  };
}

inline Select proportionate(selection::Offset offset) {
  return [offset](std::span<const double> fitness, std::size_t, Rng& rng) {
    const std::size_t at = rng.weighted(selection::proportionate(fitness, offset));
    return selection::Outcome{at, at};
  };
}

inline Select tournament(selection::Tournament tournament) {
  return [tournament](std::span<const double> fitness, std::size_t, Rng& rng) {
    return selection::tournament(fitness, tournament, rng);
  };
}

// Of a share of the population. One that only grows is kept in order: then a draw does not cost as much as the share.
inline Select tournament_of_share(double share, double probability, bool only_grows) {
  auto ranking = std::make_shared<selection::Ranking>();
  return [=](std::span<const double> fitness, std::size_t, Rng& rng) {
    const double size = std::round(share * static_cast<double>(fitness.size()));
    const selection::Tournament tournament{std::max<std::size_t>(1, static_cast<std::size_t>(size)), probability};
    constexpr std::size_t quicker_by_ranks = 64;
    if (!only_grows || tournament.size < quicker_by_ranks) return selection::tournament(fitness, tournament, rng);
    ranking->follow(fitness);
    const std::size_t accepted = ranking->tournament(fitness, tournament, rng);
    return selection::Outcome{accepted, accepted};
  };
}

// ---- recombination and mutation -----------------------------------------------------------------------------------

inline std::vector<weft::Decision> decisions_of(const SpaceRef& space, const Genotype& genotype) {
  std::vector<weft::Decision> decisions;
  for (std::size_t i = 0; i < genotype.decisions.size(); ++i) {
    decisions.push_back(*space.next(std::span(genotype.decisions).first(i)));
  }
  return decisions;
}

// What the genotype answers each of its decisions.
inline weft::detail::Answers answers(const SpaceRef& space, const Genotype& genotype) {
  return weft::detail::answers(decisions_of(space, genotype), genotype);
}

inline Cross crossover_of(const SpaceRef& space) {
  return [space](const Genotype& first, const Genotype& second, Rng& rng) { return space.cross(first, second, rng); };
}

// Each step comes whole from the second parent with this probability, else from the first; what a parent does not
// answer is taken from the other.
inline Cross step_crossover(const SpaceRef& space, double probability) {
  return [space, probability](const Genotype& first, const Genotype& second, Rng& rng) {
    const weft::detail::Answers parents[2] = {answers(space, first), answers(space, second)};
    std::optional<int> step;
    std::size_t from = 0;
    const auto choose = [&](const weft::Decision& decision) {
      if (step != decision.step) from = rng.bernoulli(probability) ? 1 : 0;
      step = decision.step;
      return weft::detail::keep_or_draw(decision, parents[parents[from].contains(decision.name) ? from : 1 - from],
                                        rng);
    };
    return weft::detail::walk_and_choose(space, choose, [&](const weft::Decision& decision) {
      return !parents[0].contains(decision.name) && !parents[1].contains(decision.name);
    });
  };
}

inline Mutate mutation_of(const SpaceRef& space) {
  return [space](const Genotype& parent, Rng& rng) { return space.mutate(parent, rng); };
}

// Each decision for whose index `changes` says so takes another of its options, each equally likely; the others keep
// theirs where they still exist and offer it.
template <typename Changes>
Genotype change_genes(const SpaceRef& space, const Genotype& parent, Rng& rng, Changes&& changes) {
  const weft::detail::Answers kept = answers(space, parent);
  std::size_t at = 0;
  const auto choose = [&](const weft::Decision& decision) {
    const std::size_t old = weft::detail::keep_or_draw(decision, kept, rng);
    if (!changes(at++) || decision.options.size() == 1) return old;
    const std::size_t drawn = rng.below(decision.options.size() - 1);
    return drawn + (drawn >= old ? 1 : 0);
  };
  return weft::detail::walk_and_choose(space, choose,
                                       [&](const weft::Decision& decision) { return !kept.contains(decision.name); });
}

inline Mutate gene_mutation(const SpaceRef& space, double probability) {
  return [space, probability](const Genotype& parent, Rng& rng) {
    return change_genes(space, parent, rng, [&](std::size_t) { return rng.bernoulli(probability); });
  };
}

inline Mutate repeated(Mutate mutate, int times) {
  return [mutate = std::move(mutate), times](Genotype genotype, Rng& rng) {
    for (int i = 0; i < times; ++i) genotype = mutate(genotype, rng);
    return genotype;
  };
}

// So many morphs of the space, one after the other; fewer where nothing can be done any more.
inline Morph morphs(const SpaceRef& space, int times) {
  return [space, times](const Genotype& parent, Rng& rng) {
    weft::Morphisms::Child child{parent, {}};
    for (int i = 0; i < times; ++i) {
      const std::optional<weft::Json> morph = space.draw_morph(child.genotype, rng);
      if (!morph) break;
      weft::Morphisms::Child next = space.morph(child.genotype, *morph, rng);
      child.genotype = std::move(next.genotype);
      child.transfer.append(std::move(next.transfer));
    }
    return child;
  };
}

// What the genotype's active genes say: a hash of the candidate. Nothing where the space refuses to build it, as one
// does whose limits a mutation gene by gene knows nothing of (Suganuma et al.: the number of active nodes).
inline std::optional<std::uint64_t> phenotype(const SpaceRef& space, const Genotype& genotype) {
  try {
    return space.decode(genotype).hash();
  } catch (const weft::InvalidInput&) {
    return {};
  }
}

// Suganuma et al. 2017: mutation is repeated until an active gene has changed. The parent itself, where that does not
// come about.
inline Mutate forced_active(const SpaceRef& space, Mutate mutate) {
  return [space, mutate = std::move(mutate)](const Genotype& parent, Rng& rng) {
    static constexpr int attempts = 1000;  // so that a space of a single network ends
    const std::optional<std::uint64_t> expressed = phenotype(space, parent);
    for (int i = 0; i < attempts; ++i) {
      Genotype child = mutate(parent, rng);
      if (child == parent) continue;
      const std::optional<std::uint64_t> other = phenotype(space, child);
      if (other && other != expressed) return child;
    }
    return parent;
  };
}

// As change_genes() of one gene on which no other depends; nothing drawn, and nothing returned, where one does.
// `decisions` are the parent's.
inline std::optional<Genotype> change_alone(const SpaceRef& space, const Genotype& parent,
                                            const std::vector<weft::Decision>& decisions, std::size_t gene, Rng& rng) {
  const std::size_t options = decisions[gene].options.size();
  if (options == 1) return parent;
  Rng as_before = rng;
  Genotype child = parent;
  const auto drawn = static_cast<std::int32_t>(rng.below(options - 1));
  child.decisions[gene] = drawn + (drawn >= parent.decisions[gene] ? 1 : 0);
  const std::span<const std::int32_t> taken = child.decisions;
  bool others_stay = true;
  for (std::size_t at = gene + 1; others_stay && at < taken.size(); ++at) {
    const std::optional<weft::Decision> decision = space.next(taken.first(at));
    others_stay = decision && decision->name == decisions[at].name && decision->options == decisions[at].options;
  }
  if (others_stay && !space.next(taken)) return child;
  rng = as_before;
  return {};
}

// Suganuma et al. 2017, the neutral drift: genes mutate as far as the network they encode does not change.
inline Mutate neutral_drift(const SpaceRef& space, double probability) {
  return [space, probability](Genotype genotype, Rng& rng) {
    const std::optional<std::uint64_t> expressed = phenotype(space, genotype);
    std::vector<weft::Decision> decisions = decisions_of(space, genotype);
    for (std::size_t gene = 0; gene < genotype.decisions.size(); ++gene) {
      if (!rng.bernoulli(probability)) continue;
      const std::optional<Genotype> alone = change_alone(space, genotype, decisions, gene, rng);
      const Genotype changed =
          alone ? *alone : change_genes(space, genotype, rng, [gene](std::size_t at) { return at == gene; });
      if (phenotype(space, changed) != expressed) continue;
      genotype = changed;
      if (!alone) decisions = decisions_of(space, genotype);
    }
    return genotype;
  };
}

// ---- survivors ----------------------------------------------------------------------------------------------------

inline Survive elitist(std::size_t count) {
  return [count](std::span<const double> fitness, Rng&) { return selection::elitist_survivors(fitness, count); };
}

inline Survive youngest(std::size_t count) {
  return
      [count](std::span<const double> fitness, Rng&) { return selection::youngest_survivors(fitness.size(), count); };
}

inline Survive not_the_worst_of_tournaments(std::size_t count, selection::Tournament deadly) {
  return [count, deadly](std::span<const double> fitness, Rng& rng) {
    return selection::tournament_survivors(fitness, count, deadly, rng);
  };
}

// A wheel that may stop at the same individual again, as that of Xie and Yuille 2017; who is drawn one after the other
// is paired.
inline Survive roulette(std::size_t count, selection::Offset offset) {
  return [count, offset](std::span<const double> fitness, Rng& rng) {
    return selection::roulette_survivors(selection::proportionate(fitness, offset), count, rng);
  };
}

// Where one joins and one leaves, drawing the same twice would be a loss of two.
inline Survive distinct_by_roulette(std::size_t count, selection::Offset offset) {
  return [count, offset](std::span<const double> fitness, Rng& rng) {
    return selection::proportionate_survivors(selection::proportionate(fitness, offset), count, rng);
  };
}

// ---- put together -------------------------------------------------------------------------------------------------

struct Algorithm {
  std::size_t population_size;  // N
  bool generations = false;     // else a steady state
  Initialise initialise;
  std::optional<int> initial_epochs = {};  // of training those; nothing: as all others
  Select parents;
  double crossover_probability = 0.0;
  Cross cross = {};
  bool mutate_crossed = true;
  double mutation_probability = 1.0;
  Mutate mutate;
  Morph morph = {};              // instead, where weights are inherited
  Survive survivors = {};        // nothing: all of them
  bool paired = false;           // who loses a parents' tournament dies as its winner breeds; nobody else does
  std::size_t offspring = 1;     // of a generation
  std::size_t unchanged = 0;     // of them: are their parents once more
  bool parents_compete = true;   // with their generation's children
  Mutate drift = {};             // of parents that stay
};

}  // namespace evolution
