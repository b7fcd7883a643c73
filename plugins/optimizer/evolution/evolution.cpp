// Evolution, the general algorithm: initialise; then select parents, recombine and mutate them, evaluate the children,
// and select the survivors.
//
// Wistuba, Rawat, Pedapati 2019, "A Survey on Neural Architecture Search", section 3.2 and Table 1. The rows of that
// table as arguments, where they differ from the defaults (population sizes are the papers'):
//
//   Real et al. 2017      population_size 1000, initialisation trivial, tournament_size 2, survivors paired,
//                         inherit_weights true
//   Xie and Yuille 2017   schedule generations, population_size 20, parents all, crossover_probability 0.2,
//                         step_crossover_probability 0.2, mutate_crossed false, mutation_probability 0.8,
//                         gene_mutation_probability 0.05, survivors fitness_proportionate, fitness_offset minimum,
//                         parents_compete false
//   Suganuma et al. 2017  schedule generations, population_size 1, offspring 2, parents all, survivors elitist,
//                         neutral_mutation_probability 0.05; and where the space's own mutation does not force active
//                         genes to change, gene_mutation_probability 0.05, forced_active_mutation true
//   Liu et al. 2018       population_size 200, initialisation given (a chain of identities), initial_mutations 1000,
//                         tournament_share 0.05, survivors all
//   Real et al. 2019      population_size 100, tournament_size 25, survivors youngest
//   Elsken et al. 2018    schedule generations, population_size 1, offspring 8, parents all, mutations 5,
//                         initialisation trivial, survivors elitist, inherit_weights true
//   Wistuba 2018          population_size 1, initialisation trivial, survivors all, inherit_weights true
//
// The plugin regularized_evolution is Real et al. 2019 draw by draw: its tournaments are drawn with replacement, those
// here without. With several trials running at once a steady state breeds from whoever is evaluated; generations
// give the same search whatever the number of trials at once, as children are ranked in the order of their proposals.
// A candidate that fails or is pruned never enters the population.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weft/budget.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"
#include "weft/selection.hpp"

namespace {

using weft::Genotype;
namespace selection = weft::selection;

struct Options {
  bool generations;
  std::size_t population_size;  // N
  std::string initialisation;
  std::vector<std::string> initial;
  int initial_mutations;
  std::string parents;
  selection::Tournament tournament;
  std::optional<double> tournament_share;
  selection::Offset fitness_offset;
  double crossover_probability;
  std::optional<double> step_crossover_probability;
  bool mutate_crossed;
  double mutation_probability;
  int mutations;
  std::optional<double> gene_mutation_probability;
  bool forced_active_mutation;
  double neutral_mutation_probability;
  std::size_t offspring;
  std::string survivors;
  bool parents_compete;
  selection::Tournament survivor_tournament;
  bool inherit_weights;

  explicit Options(const weft::Context& context)
      : generations(context.get<std::string>("schedule") == "generations"),
        population_size(context.get<std::size_t>("population_size")),
        initialisation(context.get<std::string>("initialisation")),
        initial(context.get<std::vector<std::string>>("initial")),
        initial_mutations(context.get<int>("initial_mutations")),
        parents(context.get<std::string>("parents")),
        tournament{context.get<std::size_t>("tournament_size"), context.get<double>("tournament_probability")},
        tournament_share(optional<double>(context, "tournament_share")),
        fitness_offset(context.get<std::string>("fitness_offset") == "minimum" ? selection::Offset::minimum
                                                                               : selection::Offset::none),
        crossover_probability(context.get<double>("crossover_probability")),
        step_crossover_probability(optional<double>(context, "step_crossover_probability")),
        mutate_crossed(context.get<bool>("mutate_crossed")),
        mutation_probability(context.get<double>("mutation_probability")),
        mutations(context.get<int>("mutations")),
        gene_mutation_probability(optional<double>(context, "gene_mutation_probability")),
        forced_active_mutation(context.get<bool>("forced_active_mutation")),
        neutral_mutation_probability(context.get<double>("neutral_mutation_probability")),
        offspring(optional<std::size_t>(context, "offspring").value_or(population_size)),
        survivors(context.get<std::string>("survivors")),
        parents_compete(context.get<bool>("parents_compete")),
        survivor_tournament{context.get<std::size_t>("survivor_tournament_size"),
                            context.get<double>("survivor_tournament_probability")},
        inherit_weights(context.get<bool>("inherit_weights")) {
    check_sizes(weft::Budget(context.study()));
    check_schedule(context);
    check_direction(context.study());
    check_space(context.space());
  }

 private:
  template <typename T>
  static std::optional<T> optional(const weft::Context& context, const char* name) {
    const weft::Json& value = context.configuration().at(name);
    return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
  }

  static void refuse_if(bool wrong, const std::string& text) {
    if (wrong) throw weft::InvalidInput(text);
  }

  void check_sizes(const weft::Budget& budget) const {
    refuse_if(budget.trials && population_size >= *budget.trials,
              "/population_size is " + std::to_string(population_size) + "; must be less than the budget's trials, " +
                  std::to_string(budget.trials.value_or(0)) + ", or nobody is bred");
    const std::string population = "must not exceed population_size, " + std::to_string(population_size);
    refuse_if(parents == "tournament" && !tournament_share && survivors != "all" && tournament.size > population_size,
              "/tournament_size is " + std::to_string(tournament.size) + "; " + population);
    refuse_if(survivors == "tournament" && survivor_tournament.size > population_size,
              "/survivor_tournament_size is " + std::to_string(survivor_tournament.size) + "; " + population);
    refuse_if(crossover_probability > 0.0 && population_size < 2,
              "/population_size is 1; must be at least 2 for crossover, or crossover_probability 0");
    refuse_if(mutation_probability == 0.0 && crossover_probability == 0.0,
              "/mutation_probability is 0 and so is crossover_probability; one must be positive, for children to "
              "differ from their parents");
    refuse_if(initialisation == "given" && initial.empty(),
              "/initial is empty; must hold a genotype for the initialisation \"given\"");
    refuse_if(initial.size() > population_size,
              "/initial has " + std::to_string(initial.size()) + " genotypes; " + population);
    refuse_if(initialisation != "given" && !initial.empty(),
              "/initial is given, but initialisation is \"" + initialisation + "\"; set it to \"given\"");
  }

  void check_schedule(const weft::Context& context) const {
    const std::string needs = "; needs the schedule \"generations\"";
    refuse_if(!generations && neutral_mutation_probability > 0.0, "/neutral_mutation_probability is positive" + needs);
    refuse_if(!generations && !parents_compete, "/parents_compete is false" + needs);
    refuse_if(!generations && !context.configuration().at("offspring").is_null(), "/offspring is given" + needs);
    const bool fill = survivors == "elitist" || survivors == "youngest" || survivors == "tournament";
    refuse_if(!parents_compete && fill && offspring < population_size,
              "/offspring is " + std::to_string(offspring) + "; must be at least population_size, " +
                  std::to_string(population_size) + ", where children replace their parents");
    if (survivors != "paired") return;
    refuse_if(generations, "/survivors is \"paired\"; needs the schedule \"steady_state\"");
    refuse_if(parents != "tournament" || (!tournament_share && tournament.size < 2),
              "/survivors is \"paired\"; needs parents \"tournament\" with a tournament_size of at least 2");
  }

  // Rewards of what is minimised are negative.
  void check_direction(const weft::Json& study) const {
    const bool proportionate = parents == "fitness_proportionate" || survivors == "fitness_proportionate";
    refuse_if(proportionate && fitness_offset == selection::Offset::none &&
                  weft::first_direction(study) == weft::Direction::minimize,
              "/fitness_offset is \"none\", but the first objective is minimised, so that no fitness is positive; must "
              "be \"minimum\" for fitness-proportionate selection");
  }

  void check_space(const weft::SpaceRef& space) const {
    refuse_if(crossover_probability > 0.0 && !step_crossover_probability && !space.has_crossover(),
              "/crossover_probability is positive, but the space has no crossover (space.crossover); set it to 0");
    if (space.has_decisions()) return;
    const std::string missing = ", but the space has no decisions (space.decisions); ";
    refuse_if(initialisation == "trivial", "/initialisation is \"trivial\"" + missing + "use \"given\"");
    refuse_if(step_crossover_probability.has_value(),
              "/step_crossover_probability is given" + missing + "leave it out");
    refuse_if(gene_mutation_probability.has_value(), "/gene_mutation_probability is given" + missing + "leave it out");
    refuse_if(neutral_mutation_probability > 0.0,
              "/neutral_mutation_probability is positive" + missing + "set it to 0");
  }
};

// ---- genotypes ----------------------------------------------------------------------------------------------------

// Decision by decision the first option that ends the genotype, and where none does the first of all.
Genotype trivial(const weft::SpaceRef& space) {
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
}

// What the genotype answers each of its decisions.
weft::detail::Answers answers(const weft::SpaceRef& space, const Genotype& genotype) {
  std::vector<weft::Decision> decisions;
  for (std::size_t i = 0; i < genotype.decisions.size(); ++i) {
    decisions.push_back(*space.next(std::span(genotype.decisions).first(i)));
  }
  return weft::detail::answers(decisions, genotype);
}

// Each decision for whose index `changes` says so takes another of its options, each equally likely; the others keep
// theirs where they still exist and offer it.
template <typename Changes>
Genotype change_genes(const weft::SpaceRef& space, const Genotype& parent, weft::Rng& rng, Changes&& changes) {
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

// Each step comes whole from the second parent with this probability, else from the first; what a parent does not
// answer is taken from the other.
Genotype cross_steps(const weft::SpaceRef& space, const Genotype& first, const Genotype& second, double probability,
                     weft::Rng& rng) {
  const weft::detail::Answers parents[2] = {answers(space, first), answers(space, second)};
  std::optional<int> step;
  std::size_t from = 0;
  const auto choose = [&](const weft::Decision& decision) {
    if (step != decision.step) from = rng.bernoulli(probability) ? 1 : 0;
    step = decision.step;
    return weft::detail::keep_or_draw(decision, parents[parents[from].contains(decision.name) ? from : 1 - from], rng);
  };
  return weft::detail::walk_and_choose(space, choose, [&](const weft::Decision& decision) {
    return !parents[0].contains(decision.name) && !parents[1].contains(decision.name);
  });
}

// What the genotype's active genes say: a hash of the candidate. Nothing where the space refuses to build it, as one
// does whose limits a mutation gene by gene knows nothing of (Suganuma et al.: the number of active nodes).
std::optional<std::uint64_t> phenotype(const weft::SpaceRef& space, const Genotype& genotype) {
  try {
    return space.decode(genotype).hash();
  } catch (const weft::InvalidInput&) {
    return {};
  }
}

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

struct Child {
  Genotype genotype;
  std::optional<weft::TrialId> parent = {};
  bool crossed = false;
};

// ---- the algorithm ------------------------------------------------------------------------------------------------

class Evolution final : public weft::Optimizer {
 public:
  explicit Evolution(const weft::Context& context) : options_(context), space_(context.space()), rng_(context.rng()) {
    for (std::size_t i = 0; i < options_.initial.size(); ++i) {
      try {
        given_.push_back(space_.parse(options_.initial[i]));
      } catch (const weft::InvalidInput& error) {
        throw weft::InvalidInput("/initial/" + std::to_string(i) + ": " + error.what());
      }
    }
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      std::optional<Child> child = options_.generations ? next_of_generation() : next_of_steady_state();
      if (!child) break;
      weft::Proposal& proposal = proposals.emplace_back();
      proposal.genotype = std::move(child->genotype);
      if (options_.inherit_weights) proposal.parent = child->parent;
      in_flight_.add(proposal, {});
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    if (!in_flight_.take(result)) return;  // not one of ours
    if (result.complete() && std::isfinite(result.reward)) {
      Individual individual{result.genotype, result.reward, result.trial};
      options_.generations ? remember(std::move(individual)) : join(std::move(individual));
    }
    if (options_.generations && in_flight_.empty() && queue_.empty()) end_generation();
  }

 private:
  struct Nothing {};

  // ---- synchronous: generations

  // A generation is proposed as there is room; nothing more until all of it is evaluated.
  std::optional<Child> next_of_generation() {
    if (queue_.empty() && in_flight_.empty()) {
      population_.size() == 0 ? initialise_generation() : breed_generation();
    }
    if (queue_.empty()) return {};
    Child child = std::move(queue_.front());
    queue_.pop_front();
    return child;
  }

  void initialise_generation() {
    for (std::size_t i = 0; i < options_.population_size; ++i) queue_.push_back(initialise());
  }

  // In pairs, as a crossover of two makes two.
  void breed_generation() {
    turn_ = 0;
    while (queue_.size() < options_.offspring) {
      const Individual& first = population_.individuals[select_parent().accepted];
      const Individual& second = population_.individuals[select_parent().accepted];
      std::pair<Child, Child> children =
          rng_.bernoulli(options_.crossover_probability) ? cross(first, second) : std::pair(copy(first), copy(second));
      queue_.push_back(mutated(std::move(children.first)));
      if (queue_.size() < options_.offspring) queue_.push_back(mutated(std::move(children.second)));
    }
  }

  void remember(Individual individual) { evaluated_.emplace(individual.trial, std::move(individual)); }

  void end_generation() {
    Population competing;
    if (options_.parents_compete || evaluated_.empty()) competing = std::move(population_);
    const std::size_t parents = competing.size();
    for (auto& [trial, individual] : evaluated_) competing.add(std::move(individual));
    evaluated_.clear();
    if (competing.size() == 0) return;
    const std::vector<std::size_t> survivors = select_survivors(competing.fitness);
    population_ = competing.only(survivors);
    if (options_.neutral_mutation_probability == 0.0) return;
    for (std::size_t i = 0; i < survivors.size(); ++i) {
      if (survivors[i] < parents) mutate_inactive(population_.individuals[i].genotype);
    }
  }

  // ---- asynchronous: a steady state

  std::optional<Child> next_of_steady_state() {
    if (!founded_ && population_.size() + in_flight_.size() < options_.population_size) return initialise();
    if (population_.size() == 0) return {};
    return breed();
  }

  Child breed() {
    const selection::Outcome outcome = select_parent();
    const Individual& parent = population_.individuals[outcome.accepted];
    Child child = rng_.bernoulli(options_.crossover_probability)
                      ? cross(parent, population_.individuals[select_parent().accepted]).first
                      : copy(parent);
    // While failed children have left gaps, nobody is killed: so the population stays at N (Real et al. 2017).
    if (options_.survivors == "paired" && outcome.accepted != outcome.last &&
        population_.size() + in_flight_.size() >= options_.population_size) {
      population_.remove(outcome.last);
    }
    return mutated(std::move(child));
  }

  void join(Individual individual) {
    population_.add(std::move(individual));
    if (population_.size() >= options_.population_size) founded_ = true;
    if (options_.survivors == "paired" || population_.size() <= options_.population_size) return;
    if (options_.survivors != "all") population_ = population_.only(select_survivors(population_.fitness));
  }

  // ---- initialisation

  Child initialise() {
    Child child;
    if (options_.initialisation == "random") child.genotype = space_.sample(rng_);
    if (options_.initialisation == "trivial") child.genotype = trivial(space_);
    if (options_.initialisation == "given") child.genotype = given_[initialised_++ % given_.size()];
    for (int i = 0; i < options_.initial_mutations; ++i) child.genotype = space_.mutate(child.genotype, rng_);
    return child;
  }

  // ---- parent selection

  selection::Outcome select_parent() {
    if (options_.parents == "all") {
      const std::size_t at = turn_++ % population_.size();
      return {at, at};
    }
    if (options_.parents == "fitness_proportionate") {
      const std::size_t at = rng_.weighted(selection::proportionate(population_.fitness, options_.fitness_offset));
      return {at, at};
    }
    selection::Tournament tournament = options_.tournament;
    if (options_.tournament_share) {
      const double size = std::round(*options_.tournament_share * static_cast<double>(population_.size()));
      tournament.size = std::max<std::size_t>(1, static_cast<std::size_t>(size));
    }
    return selection::tournament(population_.fitness, tournament, rng_);
  }

  // ---- recombination and mutation

  static Child copy(const Individual& parent) { return {parent.genotype, parent.trial}; }

  // Both children come of the same draws, so that they swap what crossover takes from the other (Xie and Yuille 2017).
  std::pair<Child, Child> cross(const Individual& first, const Individual& second) {
    weft::Rng same_draws = rng_;
    return {Child{cross(first.genotype, second.genotype, rng_), first.trial, true},
            Child{cross(second.genotype, first.genotype, same_draws), second.trial, true}};
  }

  Genotype cross(const Genotype& first, const Genotype& second, weft::Rng& rng) const {
    return options_.step_crossover_probability
               ? cross_steps(space_, first, second, *options_.step_crossover_probability, rng)
               : space_.cross(first, second, rng);
  }

  Child mutated(Child child) {
    if (child.crossed && !options_.mutate_crossed) return child;
    if (!rng_.bernoulli(options_.mutation_probability)) return child;
    child.genotype = options_.forced_active_mutation ? mutate_active(child.genotype) : mutate(child.genotype);
    return child;
  }

  Genotype mutate(Genotype genotype) {
    const auto gene_mutates = [this](std::size_t) { return rng_.bernoulli(*options_.gene_mutation_probability); };
    for (int i = 0; i < options_.mutations; ++i) {
      genotype = options_.gene_mutation_probability ? change_genes(space_, genotype, rng_, gene_mutates)
                                                    : space_.mutate(genotype, rng_);
    }
    return genotype;
  }

  // Suganuma et al. 2017: mutation is repeated until an active gene has changed. The parent itself, where that does
  // not come about.
  Genotype mutate_active(const Genotype& parent) {
    static constexpr int attempts = 1000;  // so that a space of a single network ends
    const std::optional<std::uint64_t> expressed = phenotype(space_, parent);
    for (int i = 0; i < attempts; ++i) {
      Genotype child = mutate(parent);
      if (child == parent) continue;
      const std::optional<std::uint64_t> other = phenotype(space_, child);
      if (other && other != expressed) return child;
    }
    return parent;
  }

  // Suganuma et al. 2017, the neutral drift: genes mutate as far as the network they encode does not change.
  void mutate_inactive(Genotype& genotype) {
    const std::optional<std::uint64_t> expressed = phenotype(space_, genotype);
    for (std::size_t gene = 0; gene < genotype.decisions.size(); ++gene) {
      if (!rng_.bernoulli(options_.neutral_mutation_probability)) continue;
      Genotype changed = change_genes(space_, genotype, rng_, [gene](std::size_t at) { return at == gene; });
      if (phenotype(space_, changed) == expressed) genotype = std::move(changed);
    }
  }

  // ---- survivor selection

  // Who of the competing lives on. A generation's roulette wheel may stop at the same individual again, as that of Xie
  // and Yuille 2017, and who is drawn one after the other is paired; where one joins and one leaves, drawing the same
  // twice would be a loss of two.
  std::vector<std::size_t> select_survivors(const std::vector<double>& fitness) {
    const std::size_t count = options_.survivors == "all" ? fitness.size() : options_.population_size;
    if (options_.survivors == "elitist") return selection::elitist_survivors(fitness, count);
    if (options_.survivors == "tournament") {
      return selection::tournament_survivors(fitness, count, options_.survivor_tournament, rng_);
    }
    if (options_.survivors == "fitness_proportionate") {
      const std::vector<double> weights = selection::proportionate(fitness, options_.fitness_offset);
      return options_.generations ? selection::roulette_survivors(weights, count, rng_)
                                  : selection::proportionate_survivors(weights, count, rng_);
    }
    return selection::youngest_survivors(fitness.size(), count);
  }

  Options options_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  std::vector<Genotype> given_;  // the initial genotypes of the configuration
  std::size_t initialised_ = 0;  // how many of them were taken
  Population population_;
  std::size_t turn_ = 0;     // of "all" parents: who breeds next
  weft::InFlight<Nothing> in_flight_;

  std::deque<Child> queue_;                        // of a generation: not proposed yet
  std::map<weft::TrialId, Individual> evaluated_;  // of a generation: the children so far, in the order of proposals
  bool founded_ = false;                           // of a steady state: the initial population was complete
};

}  // namespace

WEFT_PLUGIN(weft::component<Evolution>("evolution"))
