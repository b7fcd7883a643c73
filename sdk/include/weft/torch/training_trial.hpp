// What evaluators that train have in common around the training loop: the worker's device and threads, the recipe of a
// trial, the way from a candidate to its metrics, and the files in its folder.
//
// Files: checkpoint.pt while it trains, or when it paused; when it ends, weights.pt unless it paused, and metrics.csv,
// one line per report with its members as columns.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>

#include "weft/candidate.hpp"
#include "weft/context.hpp"
#include "weft/evaluator.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"
#include "weft/torch/training.hpp"

namespace weft {

// The device of the worker's slot (weft/slot.hpp); sets LibTorch's threads. Throws Error if they cannot be used.
c10::Device claim_device();

// `arguments` are a recipe; the candidate's own comes before them, and the fidelity's epochs before both. Throws
// InvalidInput for a fidelity other than epochs, data_fraction and resume_from.
Recipe recipe_of(const Json& arguments, const Candidate& candidate, const Fidelity& fidelity,
                 const Ingredients& ingredients);

// That of a candidate of the space: what candidates bring is refused before the first trial as it would be in it.
Recipe sampled_recipe(const Json& arguments, const SpaceRef& space, const Ingredients& ingredients);

// How many of `examples` to train on: those of the fidelity's share, or of `data_fraction`. At least one. Throws
// InvalidInput if the share is not in (0, 1].
std::int64_t examples_of(std::int64_t examples, double data_fraction, const Fidelity& fidelity);

// Where a network that does not learn begins anew, with other weights and a smaller learning rate (Baker et al. 2017,
// Zhong et al. 2018).
struct Restarts {
  int most = 0;            // 0: never
  double lr_factor = 1.0;  // each time
  // Percent. A network does not learn if it is no better after its first epoch, or its loss is not finite.
  double accuracy = 0.0;
};

// What the trials of two evaluators differ in.
struct TrainingTrial {
  Recipe recipe;
  c10::Device device;
  std::function<TrainingResult(Network&, const Recipe&, Rng, const TrainingOptions&)> train;
  std::function<Score(Network&)> test = {};  // of a training that came to its end; none: in a search
  // On the examples it was trained on, as they are, after the last epoch; none: it is not measured. Its metrics are
  // "measured_train_loss" and "measured_train_accuracy"; those of an epoch are means while the weights change.
  std::function<Score(Network&)> measure_training = {};
  // At most so many training examples, as the network takes them: what a transfer wants calibrated is measured on them.
  std::function<at::Tensor(std::int64_t)> examples = {};
  std::function<Json(Json)> completed = {};  // a report, or the metrics, with what else is told
  std::size_t best_of_last = 1;              // validation_accuracy is the highest of so many last epochs
  Restarts restarts = {};                    // where there are any, "restarts" is told with every report
  Log log = {};
};

// Trains the candidate's network, beginning with the checkpoint in the trial's folder or in that of the trial it goes
// on from, or with what the request's transfer makes of its parent's weights, and tests it. A training that gives up
// leaves no checkpoint and no report; what is interrupted then takes the same way again.
Evaluation evaluate(const EvaluationRequest& request, const Reporter& reporter, const Candidate& candidate,
                    const TrainingTrial& trial);

}  // namespace weft
