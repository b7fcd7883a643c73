// What evaluators that train have in common around the training loop: the worker's device and threads, the recipe of a
// trial, and the files in its folder.
//
// Files: checkpoint.pt while it trains, or when it paused; weights.pt and metrics.csv when it ends. Device and threads
// are the worker's: WEFT_DEVICE ("cpu", "cuda:0"), WEFT_THREADS.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <vector>

#include "weft/candidate.hpp"
#include "weft/evaluator.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"

namespace weft {

// The worker's device; sets LibTorch's threads. Throws Error if WEFT_DEVICE or WEFT_THREADS cannot be used.
c10::Device claim_device();

// `arguments` are a recipe; the candidate's own comes before them, and the fidelity's epochs before both. Throws
// InvalidInput for a fidelity other than epochs, data_fraction and resume_from.
Recipe recipe_of(const Json& arguments, const Candidate& candidate, const Fidelity& fidelity);

// How many of `examples` to train on: those of the fidelity's share, or of `data_fraction`. At least one. Throws
// InvalidInput if the share is not in (0, 1].
std::int64_t examples_of(std::int64_t examples, double data_fraction, const Fidelity& fidelity);

// A trial that goes on from another begins with the other's checkpoint, unless it has come further itself.
void adopt_checkpoint(const EvaluationRequest& request);

// The last of a training's reports as its metrics, with "epochs" and "parameters" and without what is the epoch's
// alone.
Json metrics_of(const std::vector<Json>& reports, const Architecture& architecture);

// Writes metrics.csv, one line per report with its members as columns, and weights.pt unless the trial is paused. The
// checkpoint stays, too, until whoever asked for the trial has taken note of its end.
void leave_files(const std::filesystem::path& folder, const Network& network, const std::vector<Json>& reports,
                 TrialState state);

}  // namespace weft
