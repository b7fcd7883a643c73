#include "weft/torch/training_trial.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "weft/torch/training.hpp"

namespace weft {

namespace fs = std::filesystem;

namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

int threads() {
  const std::string text = environment("WEFT_THREADS", "1");
  char* end = nullptr;
  const long count = std::strtol(text.c_str(), &end, 10);
  if (*end != '\0' || count < 1 || count > 4096)
    throw Error("WEFT_THREADS is \"" + text + "\"; must be a number of threads, 1 to 4096");
  return static_cast<int>(count);
}

// A worker of slot cuda:<index> sees that card alone, as cuda:0.
c10::Device device() {
  const std::string name = environment("WEFT_DEVICE", "cpu");
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

}  // namespace

c10::Device claim_device() {
  at::set_num_threads(threads());
  at::globalContext().setDeterministicCuDNN(true);  // the same convolutions and the same sums in every run
  return device();
}

Recipe recipe_of(const Json& arguments, const Candidate& candidate, const Fidelity& fidelity) {
  for (const auto& [name, asked] : {std::pair("resolution", fidelity.resolution.has_value()),
                                    std::pair("width_scale", fidelity.width_scale.has_value()),
                                    std::pair("depth_scale", fidelity.depth_scale.has_value())}) {
    if (asked) {
      throw InvalidInput("fidelity /" + std::string(name) +
                         " is not known to this evaluator; epochs and data_fraction are");
    }
  }
  Json merged = arguments;
  merged.merge_patch(candidate.recipe);
  if (fidelity.epochs) merged["epochs"] = *fidelity.epochs;
  return Recipe::from_json(merged);
}

std::int64_t examples_of(std::int64_t examples, double data_fraction, const Fidelity& fidelity) {
  const double fraction = fidelity.data_fraction.value_or(data_fraction);
  if (!(fraction > 0.0 && fraction <= 1.0))
    throw InvalidInput("/data_fraction is " + Json(fraction).dump() + "; must be in (0, 1]");
  return std::max<std::int64_t>(static_cast<std::int64_t>(fraction * static_cast<double>(examples)), 1);
}

void adopt_checkpoint(const EvaluationRequest& request) {
  if (!request.fidelity.resume_from || !request.folder || fs::exists(checkpoint_file(*request.folder))) return;
  if (!request.parent_folder || !fs::exists(checkpoint_file(*request.parent_folder))) {
    throw Error("trial " + std::to_string(*request.fidelity.resume_from) + " left no checkpoint to resume from");
  }
  fs::copy_file(checkpoint_file(*request.parent_folder), checkpoint_file(*request.folder));
}

Json metrics_of(const std::vector<Json>& reports, const Architecture& architecture) {
  Json metrics = reports.back();
  metrics["epochs"] = reports.size();
  metrics["parameters"] = architecture.cost().parameters;
  for (const char* name : {"epoch", "lr", "seconds"}) metrics.erase(name);
  return metrics;
}

void leave_files(const fs::path& folder, const Network& network, const std::vector<Json>& reports, TrialState state) {
  write_curve(folder / "metrics.csv", reports);
  if (state != TrialState::paused) save_weights(network, folder / "weights.pt");
}

}  // namespace weft
