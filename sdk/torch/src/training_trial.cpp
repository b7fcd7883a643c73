#include "weft/torch/training_trial.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/slot.hpp"
#include "weft/torch/weight_transfer.hpp"

namespace weft {

namespace fs = std::filesystem;

namespace {

// A worker of slot cuda:<index> sees that card alone, as cuda:0.
c10::Device device_named(const std::string& name) {
  std::optional<c10::Device> device;
  try {
    device.emplace(name);
  } catch (const c10::Error&) {  // not the name of a device: refused below
  }
  if (!device || !(device->is_cpu() || device->is_cuda()))
    throw Error("WEFT_DEVICE is \"" + name + "\"; must be cpu, or cuda:<index> for a card");
  if (device->is_cuda() && !at::Context::hasCUDART()) {
    throw Error("a slot is a card (WEFT_DEVICE is \"" + name +
                "\"), but this LibTorch, " TORCH_VERSION
                ", knows none; use the slots cpu:<threads>, or build Weft with a LibTorch for CUDA");
  }
  const std::int64_t cards = device->is_cuda() ? static_cast<std::int64_t>(torch::cuda::device_count()) : 0;
  if (device->is_cuda() && device->index() >= cards) {
    throw Error("a slot is a card (WEFT_DEVICE is \"" + name + "\"), but LibTorch finds " + std::to_string(cards) +
                " of them; is the driver as new as its CUDA (nvidia-smi shows both), and the card free?");
  }
  return *device;
}

void write_curve(const fs::path& file, const std::vector<Json>& reports) {
  errno = 0;
  std::ofstream stream(file);
  for (const Json& report : reports) {
    std::string names, values;
    for (const auto& [name, value] : report.items()) {
      names += (names.empty() ? "" : ",") + name;
      values += (values.empty() ? "" : ",") + value.dump();
    }
    if (&report == &reports.front()) stream << names << '\n';
    stream << values << '\n';
  }
  if (!stream.flush()) throw Error(file.string() + ": cannot be written: " + std::strerror(errno));
}

// Whether it was interrupted after an epoch of its own, of which the answer may have been lost.
bool was_interrupted(const EvaluationRequest& request) {
  if (!request.folder) return false;
  const std::size_t own = checkpointed_curve(*request.folder).size();
  return own > (request.resume_folder ? checkpointed_curve(*request.resume_folder).size() : 0);
}

// A trial that goes on from another begins with the other's checkpoint, unless it has come further itself.
void adopt_checkpoint(const EvaluationRequest& request) {
  if (!request.fidelity.resume_from) return;
  const std::string other = "trial " + std::to_string(*request.fidelity.resume_from);
  if (!request.folder) throw Error("to go on from " + other + " takes a folder for checkpoints, which is not given");
  if (!checkpointed_curve(*request.folder).empty()) return;
  if (!request.resume_folder || checkpointed_curve(*request.resume_folder).empty())
    throw Error(other + " left no checkpoint to resume from, or a damaged one");
  const fs::path own = checkpoint_file(*request.folder);
  fs::path part = own;
  part += ".part";
  fs::copy_file(checkpoint_file(*request.resume_folder), part, fs::copy_options::overwrite_existing);
  fs::rename(part, own);
}

// What the transfer makes of the weights that the parent's trial left; gives what is to be calibrated then.
std::vector<std::string> inherit_weights(const EvaluationRequest& request, Network& network, Rng rng) {
  const std::string trial = "trial " + std::to_string(request.trial);
  const WeightTransfer transfer = WeightTransfer::from_json(request.transfer);
  if (!request.inherit_folder) throw Error(trial + " inherits weights, but its parent has no folder that holds any");
  const fs::path file = *request.inherit_folder / "weights.pt";
  if (!fs::exists(file)) {
    throw Error(trial + " inherits weights, but its parent's are gone: " + file.string() +
                " does not exist; put it back: without it this trial alone fails");
  }
  try {
    const Inherited inherited = inherit(read_weights(file), transfer, rng);
    take_over(network, inherited);
    return inherited.calibrated;
  } catch (const InvalidInput& error) {
    throw InvalidInput(trial + " cannot inherit the weights of " + file.string() + ": " + error.what());
  }
}

// The network as its training begins, on its device.
void begin(const EvaluationRequest& request, const TrainingTrial& trial, Network& network, Rng rng) {
  constexpr std::int64_t calibrated_on = 64;  // examples (Cai et al. 2018: a batch)
  const auto goes_on = [&] { return request.folder && !checkpointed_curve(*request.folder).empty(); };
  std::vector<std::string> calibrated;
  if (!request.transfer.is_null() && !goes_on()) calibrated = inherit_weights(request, network, rng);
  network.to(trial.device);
  if (calibrated.empty()) return;
  if (!trial.examples)
    throw InvalidInput("the transfer wants " + calibrated.front() +
                       " calibrated on a batch, which this evaluator does not do; give it a constant");
  calibrate(network, calibrated, trial.examples(calibrated_on));
}

// The last of a training's reports, with "epochs" and "parameters" and without what is the epoch's alone.
Json metrics_of(const std::vector<Json>& reports, const Architecture& architecture) {
  Json metrics = reports.back();
  metrics["epochs"] = reports.size();
  metrics["parameters"] = architecture.cost().parameters;
  for (const char* name : {"epoch", "lr", "seconds"}) metrics.erase(name);
  return metrics;
}

// The checkpoint stays, too, until whoever asked for the trial has taken note of its end.
void leave_files(const fs::path& folder, const Network& network, const std::vector<Json>& reports, TrialState state) {
  write_curve(folder / "metrics.csv", reports);
  if (state != TrialState::paused) save_weights(network, folder / "weights.pt");
}

// `report` as the evaluator tells it.
Json completed(const TrainingTrial& trial, Json report) {
  return trial.completed ? trial.completed(std::move(report)) : report;
}

double best_accuracy(const std::vector<TrainedEpoch>& curve, std::size_t of_last) {
  double best = 0.0;
  for (std::size_t i = curve.size() - std::min(of_last, curve.size()); i < curve.size(); ++i)
    best = std::max(best, curve[i].validation->accuracy);
  return best;
}

Evaluation ended(const EvaluationRequest& request, const Candidate& candidate, const TrainingTrial& trial,
                 Network& network, const TrainingResult& training) {
  std::vector<Json> reports;
  for (const TrainedEpoch& epoch : training.curve) reports.push_back(completed(trial, epoch.to_json()));
  if (training.state == TrialState::complete) network.condense();
  Json metrics = metrics_of(reports, candidate.architecture);
  if (training.curve.back().validation)
    metrics["validation_accuracy"] = best_accuracy(training.curve, trial.best_of_last);
  if (trial.test && training.state == TrialState::complete) {
    const Score score = trial.test(network);
    metrics.update({{"test_loss", score.loss}, {"test_accuracy", score.accuracy}});
  }
  if (trial.measure_training && training.state != TrialState::paused) {
    const Score score = trial.measure_training(network);
    metrics.update({{"measured_train_loss", score.loss}, {"measured_train_accuracy", score.accuracy}});
  }
  if (request.folder) leave_files(*request.folder, network, reports, training.state);
  return {training.state, completed(trial, std::move(metrics))};
}

// What a checkpoint knows of; without one the trial begins, and it takes the same way again.
int restarts_so_far(const EvaluationRequest& request, const Restarts& restarts) {
  if (!request.folder || restarts.most == 0) return 0;
  const std::vector<TrainedEpoch> curve = checkpointed_curve(*request.folder);
  return curve.empty() ? 0 : curve.back().restarts.value_or(0);
}

std::string anew(TrialId trial, const Restarts& restarts, double lr) {
  return "trial " + std::to_string(trial) + " did not learn in its first epoch with lr " + Json(lr).dump() +
         " (an accuracy of " + Json(restarts.accuracy).dump() +
         " % at most, or a loss that is not finite); it begins anew with lr " + Json(lr * restarts.lr_factor).dump();
}

}  // namespace

c10::Device claim_device() {
  const Slot slot = own_slot();
  at::set_num_threads(slot.threads);
  at::globalContext().setDeterministicCuDNN(true);  // the same convolutions and the same sums in every run
  return device_named(slot.device);
}

Recipe recipe_of(const Json& arguments, const Candidate& candidate, const Fidelity& fidelity,
                 const Ingredients& ingredients) {
  for (const auto& [name, asked] : {std::pair("resolution", fidelity.resolution.has_value()),
                                    std::pair("width_scale", fidelity.width_scale.has_value()),
                                    std::pair("depth_scale", fidelity.depth_scale.has_value())}) {
    if (asked) {
      throw InvalidInput("fidelity /" + std::string(name) +
                         " is not known to this evaluator; epochs and data_fraction are");
    }
  }
  Json merged = merged_recipe(arguments, candidate.recipe);
  if (fidelity.epochs) merged["epochs"] = *fidelity.epochs;
  return Recipe::from_json(merged, ingredients);
}

Recipe sampled_recipe(const Json& arguments, const SpaceRef& space, const Ingredients& ingredients) {
  Rng rng(0);
  const Genotype genotype = space.sample(rng);
  const Candidate candidate = space.decode(genotype);
  try {
    return recipe_of(arguments, candidate, {}, ingredients);
  } catch (const InvalidInput& error) {
    throw InvalidInput("with the recipe that candidate " + space.notation(genotype) + " brings: " + error.what());
  }
}

std::int64_t examples_of(std::int64_t examples, double data_fraction, const Fidelity& fidelity) {
  const double fraction = fidelity.data_fraction.value_or(data_fraction);
  if (!(fraction > 0.0 && fraction <= 1.0))
    throw InvalidInput("/data_fraction is " + Json(fraction).dump() + "; must be in (0, 1]");
  return std::max<std::int64_t>(static_cast<std::int64_t>(fraction * static_cast<double>(examples)), 1);
}

Evaluation evaluate(const EvaluationRequest& request, const Reporter& reporter, const Candidate& candidate,
                    const TrainingTrial& trial) {
  const bool interrupted = was_interrupted(request);
  adopt_checkpoint(request);
  for (int restarts = restarts_so_far(request, trial.restarts);; ++restarts) {
    const Rng rng = restarts == 0 ? request.rng : request.rng.derive("restart", static_cast<std::uint64_t>(restarts));
    Recipe recipe = trial.recipe;
    recipe.lr *= std::pow(trial.restarts.lr_factor, restarts);
    Network network(candidate.architecture, rng.derive("weights"));
    if (recipe.initialisation) initialise(network, *recipe.initialisation, rng.derive("weights"));
    begin(request, trial, network, rng.derive("inherited"));
    TrainingOptions options{.folder = request.folder,
                            .report =
                                [&](const Json& report) {
                                  Json told = completed(trial, report);
                                  told["epochs"] = recipe.epochs;
                                  return reporter.report(told);
                                },
                            .repeats_last = interrupted,
                            .device = trial.device};
    if (trial.restarts.most > 0) options.restarts = restarts;
    if (restarts < trial.restarts.most) {
      options.gives_up = [&](const std::optional<Score>& score) {
        return !score || score->accuracy <= trial.restarts.accuracy;
      };
    }
    const TrainingResult training = trial.train(network, recipe, rng.derive("training"), options);
    if (!training.curve.empty()) return ended(request, candidate, trial, network, training);
    trial.log.info(anew(request.trial, trial.restarts, recipe.lr));
  }
}

}  // namespace weft
