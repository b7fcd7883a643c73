// A training recipe: everything about a training but the network and the data.
//
// An evaluator merges its own arguments with the candidate's recipe and reads the result with from_json;
// weft/torch/training.hpp follows it. There are no defaults here: manifests/schemas/recipe.json has them, to which the
// manifests of evaluators refer. The ingredients are plugins, each of its kind: a recipe names them.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "weft/json.hpp"
#include "weft/schedule.hpp"
#include "weft/torch/augmentation.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/initialisation.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft {

struct Recipe {
  enum class DropPath { linear, linear_to_end, constant };
  enum class MixedPrecision { off, bf16 };

  int epochs;
  std::int64_t batch_size;

  std::shared_ptr<const UpdateRule> update_rule;
  double lr;
  double weight_decay;      // times the parameter, added to its gradient, unless the rule decays otherwise
  bool decay_weights_only;  // whether weight decay leaves out biases, and what normalises
  double gradient_clip;     // largest norm of all gradients together; 0: off

  std::shared_ptr<const Schedule> schedule;  // none: lr is constant
  int schedule_epochs;                       // how long the schedule takes, drop_path's too; 0: as long as the training
  int warmup_epochs;                         // during which lr rises linearly to its highest
  bool warmup_from_zero;                     // whether the first step has a rate of 0

  double drop_path;  // the highest probability, reached as drop_path_schedule says (Zoph et al. 2018)
  DropPath drop_path_schedule;
  std::shared_ptr<const Initialisation> initialisation;  // none: as the modules draw their weights
  std::vector<std::shared_ptr<const Loss>> losses;       // which are added up; none: cross-entropy
  Augmentations augmentation;
  MixedPrecision mixed_precision;

  // `json` has exactly the members of manifests/schemas/recipe.json, those of ingredients among them. Throws
  // InvalidInput naming the member, its value and what it must be, also in the arguments of an ingredient.
  static Recipe from_json(const Json& json, const Ingredients& ingredients);

  // The learning rate `elapsed` epochs after the start, a fraction within an epoch, of a step that takes so long. In
  // warm-up a straight line to lr; of a step what the line has at its end, so that the first one moves something.
  double learning_rate(double elapsed, double step = 0.0) const;
  std::optional<double> momentum(double elapsed) const;

  // Of an epoch, counted from 1.
  double drop_path_at(int epoch) const;

  // Of the schedule, `elapsed` epochs after the start: from 0 to 1.
  double progress(double elapsed) const { return std::min(1.0, elapsed / length()); }

 private:
  int length() const { return schedule_epochs > 0 ? schedule_epochs : epochs; }
};

// The second over the first as a merge patch. But a plugin of another name takes its arguments along: {"name", "args"}
// stands in the place of what was there; and augmentations come after those that there are.
Json merged_recipe(Json recipe, const Json& changes);

}  // namespace weft
