// The arguments of the search, and which of them go together.
#pragma once

#include <cstddef>
#include <string>

#include "weft/budget.hpp"
#include "weft/context.hpp"
#include "weft/error.hpp"

namespace mcts {

struct Options {
  std::string tree;
  double reward_scale;
  double exploration;  // c
  bool normalise_rewards;
  bool bisection;
  std::string root;
  double stop_probability;
  std::size_t rollout_morphs;
  std::size_t retained;
  std::string surrogate;
  bool surrogate_prior;
  std::size_t rollouts;
  std::size_t predictions;  // k
  std::size_t refit_every;
  std::size_t memory;

  explicit Options(const weft::Context& context)
      : tree(context.get<std::string>("tree")),
        reward_scale(context.get<double>("reward_scale")),
        exploration(context.get<double>("exploration")),
        normalise_rewards(context.get<bool>("normalise_rewards")),
        bisection(context.get<bool>("bisection")),
        root(context.get<std::string>("root")),
        stop_probability(context.get<double>("stop_probability")),
        rollout_morphs(context.get<std::size_t>("rollout_morphs")),
        retained(context.get<std::size_t>("retained")),
        surrogate(context.get<std::string>("surrogate")),
        surrogate_prior(context.get<bool>("surrogate_prior")),
        rollouts(context.get<std::size_t>("rollouts")),
        predictions(context.get<std::size_t>("predictions")),
        refit_every(context.get<std::size_t>("refit_every")),
        memory(context.get<std::size_t>("memory")) {
    check_tree(context.space());
    if (surrogate != "none") {
      if (!context.space().has_encoding()) {
        throw weft::InvalidInput("/surrogate is \"" + surrogate +
                                 "\", but the space has no encoding (space.encoding); set it to \"none\"");
      }
      check_fits(weft::Budget(context.study()));
      return;
    }
    const auto needs_surrogate = [](bool wanted, const std::string& name, const std::string& value) {
      if (wanted)
        throw weft::InvalidInput("/" + name + " is " + value + "; needs a surrogate: \"ridge\" or \"network\"");
    };
    needs_surrogate(surrogate_prior, "surrogate_prior", "true");
    needs_surrogate(rollouts > 1, "rollouts", std::to_string(rollouts));
    needs_surrogate(predictions > 0, "predictions", std::to_string(predictions));
  }

 private:
  void check_tree(const weft::SpaceRef& space) const {
    if (tree == "decisions" && !space.has_decisions()) {
      throw weft::InvalidInput("/tree is \"decisions\", but the space has none (space.decisions); " +
                               std::string(space.has_morphisms() ? "set it to \"morphs\"" : "take another space"));
    }
    if (tree == "morphs" && !space.has_morphisms()) {
      throw weft::InvalidInput("/tree is \"morphs\", but the space has none (space.morphisms); " +
                               std::string(space.has_decisions() ? "set it to \"decisions\"" : "take another space"));
    }
  }

  void check_fits(const weft::Budget& budget) const {
    const std::string value = "/refit_every is " + std::to_string(refit_every);
    if (refit_every > memory) {
      throw weft::InvalidInput(value + "; must not exceed /memory, " + std::to_string(memory) +
                               ", or rewards are forgotten that were never fitted");
    }
    if (refit_every >= budget.least())
      throw weft::InvalidInput(value + "; must be less than " + budget.words() + ", or the surrogate is never used");
  }
};

}  // namespace mcts
