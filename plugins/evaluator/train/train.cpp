// Trains the candidate from scratch and measures it on held-out examples: the plain answer to "how good is it?".
//
// In a search: trained on the train split, measured on the validation split. In the final phase: trained on both (or on
// train alone, use_validation), measured on the test split, once, at the end.
//
// Files in the trial's folder: checkpoint.pt while it trains, or when it paused; weights.pt and metrics.csv when it
// ends. Device and threads are the worker's: WEFT_DEVICE ("cpu", "cuda:0"), WEFT_THREADS.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"

namespace {

namespace fs = std::filesystem;

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

c10::Device device() {
  const std::string name = environment("WEFT_DEVICE", "cpu");
  try {
    const c10::Device device(name);
    if (device.is_cpu() || (device.is_cuda() && at::hasCUDA())) return device;
  } catch (const c10::Error&) {  // not the name of a device: refused below
  }
  throw weft::Error("WEFT_DEVICE is \"" + name +
                    "\"; must be cpu, or cuda:<index> where LibTorch and the machine have CUDA");
}

int threads() {
  const std::string text = environment("WEFT_THREADS", "1");
  char* end = nullptr;
  const long count = std::strtol(text.c_str(), &end, 10);
  if (*end != '\0' || count < 1 || count > 4096)
    throw weft::Error("WEFT_THREADS is \"" + text + "\"; must be a number of threads, 1 to 4096");
  return static_cast<int>(count);
}

// One line per epoch, the members of its report as columns.
void write_curve(const fs::path& file, const std::vector<weft::TrainedEpoch>& curve) {
  std::ofstream stream(file);
  for (const weft::TrainedEpoch& epoch : curve) {
    const weft::Json report = epoch.to_json();
    std::string names, values;
    for (const auto& [name, value] : report.items()) {
      names += (names.empty() ? "" : ",") + name;
      values += (values.empty() ? "" : ",") + value.dump();
    }
    if (epoch.epoch == 1) stream << names << '\n';
    stream << values << '\n';
  }
  if (!stream.flush()) throw weft::Error(file.string() + ": cannot be written; is the disk full, the folder writable?");
}

class Train final : public weft::Evaluator {
 public:
  explicit Train(const weft::Context& context)
      : arguments_(context.configuration()),
        use_validation_(context.get<bool>("use_validation")),
        data_fraction_(context.get<double>("data_fraction")),
        final_(context.final_phase()),
        space_(context.space()),
        dataset_(weft::dataset(context)),
        device_(device()) {
    for (const char* name : {"use_validation", "data_fraction"}) arguments_.erase(name);
    at::set_num_threads(threads());
    // Of every trial: better found out before the first.
    weft::check(weft::Recipe::from_json(arguments_), training_data({}).train.size(), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    const weft::Recipe recipe = recipe_of(candidate, request.fidelity);
    weft::Network network(candidate.architecture, request.rng.derive("weights"));
    network.to(device_);
    adopt_checkpoint(request);
    const weft::TrainingData data = training_data(request.fidelity);
    const weft::TrainingResult training =
        weft::train(network, data, recipe, request.rng.derive("training"),
                    {.folder = request.folder,
                     .report = [&](const weft::Json& report) { return reporter.report(report); },
                     .device = device_});

    weft::Evaluation evaluation{training.state, training.curve.back().to_json()};
    evaluation.metrics["epochs"] = training.curve.size();
    evaluation.metrics["parameters"] = candidate.architecture.cost().parameters;
    for (const char* name : {"epoch", "lr", "seconds"}) evaluation.metrics.erase(name);
    if (final_ && training.state == weft::TrialState::complete) {
      const weft::Score score = weft::evaluate(network, {dataset_.test(), data.normalisation, device_});
      evaluation.metrics["test_accuracy"] = score.accuracy;
      evaluation.metrics["test_loss"] = score.loss;
    }
    if (request.folder) leave_files(*request.folder, network, training);
    return evaluation;
  }

 private:
  weft::Recipe recipe_of(const weft::Candidate& candidate, const weft::Fidelity& fidelity) const {
    for (const auto& [name, asked] : {std::pair("resolution", fidelity.resolution.has_value()),
                                      std::pair("width_scale", fidelity.width_scale.has_value()),
                                      std::pair("depth_scale", fidelity.depth_scale.has_value())}) {
      if (asked)
        throw weft::InvalidInput("fidelity /" + std::string(name) +
                                 " is not known to the evaluator train; epochs and data_fraction are");
    }
    weft::Json merged = arguments_;
    merged.merge_patch(candidate.recipe);
    if (fidelity.epochs) merged["epochs"] = *fidelity.epochs;
    return weft::Recipe::from_json(merged);
  }

  weft::TrainingData training_data(const weft::Fidelity& fidelity) const {
    const weft::Normalisation normalisation{dataset_.mean(), dataset_.standard_deviation()};
    weft::TrainingData data{dataset_.train(), dataset_.validation(), normalisation};
    if (final_ && use_validation_) data = {weft::join(dataset_.train(), dataset_.validation()), {}, normalisation};
    const double fraction = fidelity.data_fraction.value_or(data_fraction_);
    if (!(fraction > 0.0 && fraction <= 1.0)) {
      throw weft::InvalidInput("/data_fraction is " + weft::Json(fraction).dump() + "; must be in (0, 1]");
    }
    const auto count = static_cast<std::int64_t>(fraction * static_cast<double>(data.train.size()));
    if (fraction < 1.0) data.train = weft::first_examples(data.train, std::max<std::int64_t>(count, 1));
    return data;
  }

  // A trial that goes on from another begins with the other's checkpoint, unless it has come further itself.
  static void adopt_checkpoint(const weft::EvaluationRequest& request) {
    if (!request.fidelity.resume_from || !request.folder || fs::exists(weft::checkpoint_file(*request.folder))) return;
    if (!request.parent_folder || !fs::exists(weft::checkpoint_file(*request.parent_folder))) {
      throw weft::Error("trial " + std::to_string(*request.fidelity.resume_from) +
                        " left no checkpoint to resume from");
    }
    fs::copy_file(weft::checkpoint_file(*request.parent_folder), weft::checkpoint_file(*request.folder));
  }

  // The checkpoint stays, too, until whoever asked for the trial has taken note of its end.
  static void leave_files(const fs::path& folder, const weft::Network& network, const weft::TrainingResult& training) {
    write_curve(folder / "metrics.csv", training.curve);
    if (training.state != weft::TrialState::paused) weft::save_weights(network, folder / "weights.pt");
  }

  weft::Json arguments_;  // a training recipe
  bool use_validation_;
  double data_fraction_;
  bool final_;
  weft::SpaceRef space_;
  const weft::Dataset& dataset_;
  c10::Device device_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Train>("train"))
