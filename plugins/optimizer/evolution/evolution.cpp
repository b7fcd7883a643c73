// Evolution, the general algorithm: initialise; then select parents, recombine and mutate them, evaluate the children,
// and select the survivors.
//
// Wistuba, Rawat, Pedapati 2019, "A Survey on Neural Architecture Search", section 3.2 and Table 1. The rows of that
// table as arguments, where they differ from the defaults (population sizes are the papers'):
//
//   Real et al. 2017      population_size 1000, initialisation given (a linear model), tournament_size 2, survivors
//                         paired, inherit_weights true, on the space graph with the morphs of the paper's mutations
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
//   Elsken et al. 2018    schedule generations, population_size 1, offspring 8, unchanged_offspring 1, parents all,
//                         mutations 5, initialisation given (a small network), survivors elitist, parents_compete
//                         false, inherit_weights true
//   Wistuba 2018          population_size 1, initialisation given (a trivial cell), survivors all, inherit_weights true
//
// The plugin regularized_evolution is Real et al. 2019 draw by draw: its tournaments are drawn with replacement, those
// here without. With several trials running at once a steady state breeds from whoever is evaluated; generations
// give the same search whatever the number of trials at once, as children are ranked in the order of their proposals.
// A candidate that fails or is pruned never enters the population.
//
// With inherit_weights a child is made by morphs of the space instead of mutations, and begins with the weights of its
// parent as they say. Without it the same child begins with fresh ones, as a space's mutation draws what its morphs do.

#include <cmath>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "parts.hpp"
#include "weft/budget.hpp"
#include "weft/in_flight.hpp"
#include "weft/plugin.hpp"
#include "weft/selection.hpp"

namespace {

using evolution::Algorithm;
using evolution::Individual;
using evolution::Population;
using weft::Genotype;
namespace selection = weft::selection;

// ---- the arguments ------------------------------------------------------------------------------------------------

struct Options {
  bool generations;
  std::size_t population_size;  // N
  std::string initialisation;
  std::vector<std::string> initial;
  int initial_mutations;
  std::optional<int> initial_epochs;
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
  std::size_t unchanged_offspring;
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
        initial_epochs(optional<int>(context, "initial_epochs")),
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
        unchanged_offspring(context.get<std::size_t>("unchanged_offspring")),
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
    refuse_if(budget.least() <= population_size, "/population_size is " + std::to_string(population_size) +
                                                     "; must be less than " + budget.words() + ", or nobody is bred");
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
    refuse_if(!generations && unchanged_offspring > 0, "/unchanged_offspring is positive" + needs);
    refuse_if(unchanged_offspring > offspring, "/unchanged_offspring is " + std::to_string(unchanged_offspring) +
                                                   "; must be at most offspring, " + std::to_string(offspring));
    const std::string morphs = "; weights are inherited by the space's own morphs alone (/inherit_weights): ";
    refuse_if(inherit_weights && crossover_probability > 0.0, "/crossover_probability is positive" + morphs + "set it to 0");
    refuse_if(inherit_weights && gene_mutation_probability, "/gene_mutation_probability is given" + morphs + "leave it out");
    refuse_if(inherit_weights && forced_active_mutation, "/forced_active_mutation is true" + morphs + "leave it out");
    refuse_if(inherit_weights && neutral_mutation_probability > 0.0,
              "/neutral_mutation_probability is positive" + morphs + "set it to 0");
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
    refuse_if(inherit_weights && !space.has_morphisms(),
              "/inherit_weights is true, but the space has no morphs (space.morphisms), which say how weights follow; take "
              "one that has, or set it to false");
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

std::vector<Genotype> parsed(const weft::SpaceRef& space, const std::vector<std::string>& notations) {
  std::vector<Genotype> genotypes;
  for (std::size_t i = 0; i < notations.size(); ++i) {
    try {
      genotypes.push_back(space.parse(notations[i]));
    } catch (const weft::InvalidInput& error) {
      throw weft::InvalidInput("/initial/" + std::to_string(i) + ": " + error.what());
    }
  }
  return genotypes;
}

evolution::Initialise initialisation(const Options& options, const weft::SpaceRef& space) {
  evolution::Initialise begin = options.initialisation == "random" ? evolution::samples(space)
                                : options.initialisation == "trivial"
                                    ? evolution::trivial(space)
                                    : evolution::given(parsed(space, options.initial));
  return
      [begin = std::move(begin), vary = evolution::repeated(evolution::mutation_of(space), options.initial_mutations)](
          weft::Rng& rng) mutable { return vary(begin(rng), rng); };
}

evolution::Select parents(const Options& options) {
  if (options.parents == "all") return evolution::each_in_turn();
  if (options.parents == "fitness_proportionate") return evolution::proportionate(options.fitness_offset);
  if (options.tournament_share)
    return evolution::tournament_of_share(*options.tournament_share, options.tournament.probability,
                                          !options.generations && options.survivors == "all");
  return evolution::tournament(options.tournament);
}

evolution::Mutate mutation(const Options& options, const weft::SpaceRef& space) {
  evolution::Mutate once = options.gene_mutation_probability
                               ? evolution::gene_mutation(space, *options.gene_mutation_probability)
                               : evolution::mutation_of(space);
  evolution::Mutate all = evolution::repeated(std::move(once), options.mutations);
  return options.forced_active_mutation ? evolution::forced_active(space, std::move(all)) : all;
}

evolution::Survive survivors(const Options& options) {
  const std::size_t count = options.population_size;
  if (options.survivors == "elitist") return evolution::elitist(count);
  if (options.survivors == "youngest") return evolution::youngest(count);
  if (options.survivors == "tournament")
    return evolution::not_the_worst_of_tournaments(count, options.survivor_tournament);
  if (options.survivors == "fitness_proportionate") {
    return options.generations ? evolution::roulette(count, options.fitness_offset)
                               : evolution::distinct_by_roulette(count, options.fitness_offset);
  }
  return {};
}

Algorithm put_together(const Options& options, const weft::SpaceRef& space) {
  return {.population_size = options.population_size,
          .generations = options.generations,
          .initialise = initialisation(options, space),
          .initial_epochs = options.initial_epochs,
          .parents = parents(options),
          .crossover_probability = options.crossover_probability,
          .cross = options.step_crossover_probability
                       ? evolution::step_crossover(space, *options.step_crossover_probability)
                       : evolution::crossover_of(space),
          .mutate_crossed = options.mutate_crossed,
          .mutation_probability = options.mutation_probability,
          .mutate = mutation(options, space),
          .morph = options.inherit_weights ? evolution::morphs(space, options.mutations) : evolution::Morph(),
          .survivors = survivors(options),
          .paired = options.survivors == "paired",
          .offspring = options.offspring,
          .unchanged = options.unchanged_offspring,
          .parents_compete = options.parents_compete,
          .drift = options.neutral_mutation_probability > 0.0
                       ? evolution::neutral_drift(space, options.neutral_mutation_probability)
                       : evolution::Mutate()};
}

// ---- the algorithm ------------------------------------------------------------------------------------------------

struct Child {
  Genotype genotype;
  std::optional<weft::TrialId> parent = {};
  weft::WeightTransfer transfer = {};
  bool crossed = false;
};

class Evolution final : public weft::Optimizer {
 public:
  explicit Evolution(const weft::Context& context)
      : algorithm_(put_together(Options(context), context.space())), rng_(context.rng()) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals;
    while (proposals.size() < capacity) {
      std::optional<Child> child = algorithm_.generations ? next_of_generation() : next_of_steady_state();
      if (!child) break;
      weft::Proposal& proposal = proposals.emplace_back();
      proposal.genotype = std::move(child->genotype);
      if (!child->parent) proposal.fidelity.epochs = algorithm_.initial_epochs;
      if (algorithm_.morph && child->parent) {
        proposal.parent = child->parent;
        proposal.transfer = child->transfer.to_json();
      }
      in_flight_.add(proposal, proposed_++);
    }
    return proposals;
  }

  void tell(const weft::TrialResult& result) override {
    const std::optional<std::size_t> number = in_flight_.take(result);
    if (!number) return;  // not one of ours
    if (const std::optional<double> reward = result.told_reward(); reward && std::isfinite(*reward)) {
      Individual individual{result.genotype, *reward, result.trial};
      if (algorithm_.generations) {
        evaluated_.emplace(*number, std::move(individual));
      } else {
        join(std::move(individual));
      }
    }
    if (algorithm_.generations && in_flight_.empty() && queue_.empty()) end_generation();
  }

  std::optional<std::vector<weft::TrialId>> retain() const override {
    if (!algorithm_.morph) return {};
    std::vector<weft::TrialId> parents;
    for (const Individual& individual : population_.individuals) parents.push_back(individual.trial);
    for (const auto& [number, individual] : evaluated_) parents.push_back(individual.trial);
    for (const Child& child : queue_) {
      if (child.parent) parents.push_back(*child.parent);
    }
    return parents;
  }

 private:
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
    for (std::size_t i = 0; i < algorithm_.population_size; ++i) queue_.push_back({algorithm_.initialise(rng_)});
  }

  // In pairs, as a crossover of two makes two.
  void breed_generation() {
    turn_ = 0;
    while (queue_.size() < algorithm_.unchanged) queue_.push_back(copy(population_.individuals[select_parent().accepted]));
    while (queue_.size() < algorithm_.offspring) {
      const Individual& first = population_.individuals[select_parent().accepted];
      const Individual& second = population_.individuals[select_parent().accepted];
      std::pair<Child, Child> children = rng_.bernoulli(algorithm_.crossover_probability)
                                             ? cross(first, second)
                                             : std::pair(copy(first), copy(second));
      queue_.push_back(mutated(std::move(children.first)));
      if (queue_.size() < algorithm_.offspring) queue_.push_back(mutated(std::move(children.second)));
    }
  }

  void end_generation() {
    Population competing;
    if (algorithm_.parents_compete || evaluated_.empty()) competing = std::move(population_);
    const std::size_t parents = competing.size();
    for (auto& [number, individual] : evaluated_) competing.add(std::move(individual));
    evaluated_.clear();
    if (competing.size() == 0) return;
    const std::vector<std::size_t> survivors = algorithm_.survivors
                                                   ? algorithm_.survivors(competing.fitness, rng_)
                                                   : selection::youngest_survivors(competing.size(), competing.size());
    population_ = competing.only(survivors);
    if (!algorithm_.drift) return;
    for (std::size_t i = 0; i < survivors.size(); ++i) {
      Genotype& genotype = population_.individuals[i].genotype;
      if (survivors[i] < parents) genotype = algorithm_.drift(genotype, rng_);
    }
  }

  // ---- asynchronous: a steady state

  std::optional<Child> next_of_steady_state() {
    if (!founded_ && population_.size() + in_flight_.size() < algorithm_.population_size)
      return Child{algorithm_.initialise(rng_)};
    if (population_.size() == 0) return {};
    return breed();
  }

  Child breed() {
    const selection::Outcome outcome = select_parent();
    const Individual& parent = population_.individuals[outcome.accepted];
    Child child = rng_.bernoulli(algorithm_.crossover_probability)
                      ? cross(parent, population_.individuals[select_parent().accepted]).first
                      : copy(parent);
    // While failed children have left gaps, nobody is killed, as the population is to stay at N (Real et al. 2017).
    if (algorithm_.paired && outcome.accepted != outcome.last &&
        population_.size() + in_flight_.size() >= algorithm_.population_size) {
      population_.remove(outcome.last);
    }
    return mutated(std::move(child));
  }

  void join(Individual individual) {
    population_.add(std::move(individual));
    if (population_.size() >= algorithm_.population_size) founded_ = true;
    if (algorithm_.survivors && population_.size() > algorithm_.population_size)
      population_ = population_.only(algorithm_.survivors(population_.fitness, rng_));
  }

  // ---- selection, recombination, mutation

  selection::Outcome select_parent() { return algorithm_.parents(population_.fitness, turn_++, rng_); }

  static Child copy(const Individual& parent) { return {parent.genotype, parent.trial, {}}; }

  // Both children come of the same draws, so that they swap what crossover takes from the other (Xie and Yuille 2017).
  std::pair<Child, Child> cross(const Individual& first, const Individual& second) {
    weft::Rng same_draws = rng_;
    return {Child{algorithm_.cross(first.genotype, second.genotype, rng_), first.trial, {}, true},
            Child{algorithm_.cross(second.genotype, first.genotype, same_draws), second.trial, {}, true}};
  }

  Child mutated(Child child) {
    if (child.crossed && !algorithm_.mutate_crossed) return child;
    if (!rng_.bernoulli(algorithm_.mutation_probability)) return child;
    if (!algorithm_.morph) {
      child.genotype = algorithm_.mutate(child.genotype, rng_);
      return child;
    }
    weft::Morphisms::Child morphed = algorithm_.morph(child.genotype, rng_);
    child.genotype = std::move(morphed.genotype);
    child.transfer = std::move(morphed.transfer);
    return child;
  }

  Algorithm algorithm_;
  weft::Rng rng_;
  Population population_;
  std::size_t turn_ = 0;  // who breeds next
  std::size_t proposed_ = 0;
  weft::InFlight<std::size_t> in_flight_;  // by number of the proposal

  std::deque<Child> queue_;                      // of a generation: not proposed yet
  std::map<std::size_t, Individual> evaluated_;  // of a generation: the children so far, in the order of proposals
  bool founded_ = false;                         // of a steady state: the initial population was complete
};

}  // namespace

WEFT_PLUGIN(weft::component<Evolution>("evolution"))
