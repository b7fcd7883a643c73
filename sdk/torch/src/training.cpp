#include "weft/torch/training.hpp"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/version.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "memory.hpp"
#include "weft/atomic_file.hpp"
#include "weft/torch/fingerprint.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft {

namespace {

using Clock = std::chrono::steady_clock;

// Logits [n, classes] and labels [n], or [n, positions, classes] and [n, positions].
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(logits.flatten(0, -2), labels.flatten(), {}, at::Reduction::Mean, -100,
                                label_smoothing);
}

// Sums of a pass over the data, kept on the device so that no step waits for it.
class Totals {
 public:
  explicit Totals(c10::Device device) : sums_(at::zeros({2}, at::TensorOptions(at::kDouble).device(device))) {}

  void add(const at::Tensor& mean_loss, const at::Tensor& logits, const at::Tensor& labels) {
    const at::Tensor correct = logits.argmax(-1).eq(labels).sum();
    sums_.add_(at::stack({mean_loss.detach().to(at::kDouble).mul(labels.numel()), correct.to(at::kDouble)}));
    answers_ += labels.numel();
  }
  bool finite() const { return std::isfinite(sums_[0].item<double>()); }
  Score score() const {
    const auto count = static_cast<double>(answers_);
    return {sums_[0].item<double>() / count, 100.0 * sums_[1].item<double>() / count};
  }

 private:
  at::Tensor sums_;  // of losses, of correct answers
  std::int64_t answers_ = 0;
};

// ---- mixed precision ----

bool cpu_has_bf16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool avx512_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 5)) != 0;
  const bool amx_bf16 = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & (1U << 22)) != 0;
  return avx512_bf16 || amx_bf16;
#else
  return false;
#endif
}

void check_precision(const Recipe& recipe, c10::Device device) {
  if (recipe.mixed_precision == Recipe::MixedPrecision::off || device.is_cuda() || cpu_has_bf16()) return;
  throw Error(
      "/mixed_precision is \"bf16\"; needs a CPU with AVX512-BF16 or AMX, or a CUDA device. This CPU has neither and "
      "would be slower for it: set it to \"off\"");
}

// Autocast while it lives. The weights' copies that autocast keeps are dropped at its end: the next step changes the
// weights.
class Autocast {
 public:
  Autocast(Recipe::MixedPrecision precision, c10::Device device)
      : on_(precision == Recipe::MixedPrecision::bf16), device_(device) {
    if (on_) set(true);
  }
  ~Autocast() {
    if (!on_) return;
    set(false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  void set(bool on) const {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    at::autocast::set_autocast_dtype(device_.type(), at::kBFloat16);
    at::autocast::set_autocast_enabled(device_.type(), on);
#else
    if (device_.is_cuda()) {
      at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
      at::autocast::set_enabled(on);
    } else {
      at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
      at::autocast::set_cpu_enabled(on);
    }
#endif
  }
  bool on_;
  c10::Device device_;
};

// ---- checkpoints ----

// All tensors a training changes, by name; they share memory with the network and the update rule.
std::map<std::string, at::Tensor> training_state(const Network& network, const UpdateRule& rule) {
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : rule.state()) state["rule/" + name] = tensor;
  for (const auto& buffer : network.named_buffers()) state["buffer/" + buffer.key()] = buffer.value();
  return state;
}

// Of what each number of a checkpoint means: the operations in their order, what they are and what they read. Not of
// names and groups, which another version may choose otherwise.
std::string identity_of(const Architecture& architecture) {
  std::vector<std::string> nodes;
  for (const Node& node : architecture.nodes())
    nodes.push_back(node.operation + node.attributes.dump() + Json(node.inputs).dump());
  nodes.push_back(std::to_string(architecture.output()));
  if (architecture.auxiliary()) nodes.push_back(std::to_string(*architecture.auxiliary()));
  return fingerprint(nodes, {});
}

// (tensors by name, curve as JSON, identity of the network). Weft 1.0 wrote the first two, and reads them here.
void write_checkpoint(const std::filesystem::path& file, const std::map<std::string, at::Tensor>& state,
                      const std::vector<TrainedEpoch>& curve, const std::string& network) {
  c10::Dict<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : state) tensors.insert(name, tensor.cpu());
  Json epochs = Json::array();
  for (const TrainedEpoch& epoch : curve) epochs.push_back(epoch.to_json());
  const std::vector<char> bytes =
      torch::jit::pickle_save(c10::ivalue::Tuple::create({tensors, epochs.dump(), network}));
  write_atomically(file, {bytes.data(), bytes.size()});
}

struct Checkpoint {
  std::map<std::string, at::Tensor> tensors;
  std::vector<TrainedEpoch> curve;
  std::optional<std::string> network;  // none in those of Weft 1.0
};

// Nothing if there is none, or if it is damaged, as a power failure may leave it: the training begins anew. What cannot
// be read just now is neither: it would be overwritten.
std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream && errno == ENOENT) return {};
  if (!stream) throw Error(file.string() + ": the checkpoint cannot be read: " + std::strerror(errno));
  std::vector<char> bytes;
  try {
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  } catch (const std::ios_base::failure& failure) {
    throw Error(file.string() + ": the checkpoint cannot be read: " + failure.what());
  }
  try {
    const auto content = torch::jit::pickle_load(bytes).toTupleRef().elements().vec();
    Checkpoint checkpoint;
    for (const auto& entry : content.at(0).toGenericDict())
      checkpoint.tensors[entry.key().toStringRef()] = entry.value().toTensor();
    for (const Json& epoch : Json::parse(content.at(1).toStringRef()))
      checkpoint.curve.push_back(TrainedEpoch::from_json(epoch));
    if (content.size() > 2) checkpoint.network = content[2].toStringRef();
    return checkpoint;
  } catch (const std::exception& damage) {
    if (!memory_shortage(damage).empty()) throw;
    const std::string reason = damage.what();
    TORCH_WARN(file.string(), ": damaged checkpoint (", reason.substr(0, reason.find('\n')),
               "); the training begins anew");
    return {};
  }
}

// Fills `state` and returns the curve so far; nothing if there is no checkpoint.
std::vector<TrainedEpoch> read_checkpoint(const std::filesystem::path& file,
                                          const std::map<std::string, at::Tensor>& state, const std::string& network) {
  const std::optional<Checkpoint> checkpoint = load_checkpoint(file);
  if (!checkpoint) return {};
  if (checkpoint->network.value_or(network) != network) {
    throw Error(file.string() +
                ": a checkpoint of another network (its operations, their attributes or what they read differ); remove "
                "the file to train from the start");
  }
  for (const auto& [name, tensor] : state) {
    const auto at = checkpoint->tensors.find(name);
    if (at == checkpoint->tensors.end() && checkpoint->network && name.starts_with("buffer/")) {
      TORCH_WARN(file.string(), ": of another version of Weft, which named the network's nodes otherwise (", name,
                 " is not in it); the training begins anew");
      return {};
    }
    if (at == checkpoint->tensors.end() || at->second.sizes() != tensor.sizes()) {
      throw Error(file.string() + ": a checkpoint of another network or update rule (" + name +
                  " differs); remove the file to train from the start");
    }
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : state) tensor.copy_(checkpoint->tensors.at(name));
  return checkpoint->curve;
}

// ---- what an epoch goes through ----

class Examples {
 public:
  virtual ~Examples() = default;
  // Returns the number of batches.
  virtual std::size_t begin_epoch(const Rng& rng) = 0;
  virtual Batch batch(std::size_t index) = 0;
  // What a step descends, times the mean over the answers of `batch`.
  virtual double weight(const Batch& /*batch*/) const { return 1.0; }
  virtual std::optional<Score> validate() = 0;
};

class Images final : public Examples {
 public:
  Images(Network& network, const TrainingData& data, const Recipe& recipe, c10::Device device)
      : network_(network), recipe_(recipe), train_(data.train, data.normalisation, device) {
    if (data.validation.size() > 0) validation_.emplace(data.validation, data.normalisation, device);
  }

  std::size_t begin_epoch(const Rng& rng) override {
    epoch_.emplace(train_, recipe_.batch_size, recipe_.augmentation, rng);
    return epoch_->size();
  }
  Batch batch(std::size_t index) override { return epoch_->batch(index); }
  std::optional<Score> validate() override {
    if (!validation_) return {};
    return evaluate(network_, *validation_, recipe_.batch_size);
  }

 private:
  Network& network_;
  const Recipe& recipe_;
  Batches train_;
  std::optional<Batches> validation_;
  std::optional<EpochBatches> epoch_;
};

class Text final : public Examples {
 public:
  Text(Network& network, const TextData& data, const Recipe& recipe, c10::Device device)
      : network_(network),
        data_(data),
        recipe_(recipe),
        device_(device),
        train_(data.train, recipe.batch_size, data.positions, device) {}

  std::size_t begin_epoch(const Rng&) override {
    network_.carry_state(true);
    return static_cast<std::size_t>(train_.size());
  }
  Batch batch(std::size_t index) override { return train_.batch(static_cast<std::int64_t>(index)); }
  double weight(const Batch& batch) const override {
    return data_.sum_over_positions ? static_cast<double>(batch.labels.size(1)) : 1.0;
  }
  std::optional<Score> validate() override {
    if (!data_.validation.defined() || data_.validation.numel() == 0) return {};
    return evaluate(network_, data_.validation, data_, device_, recipe_.batch_size);
  }

 private:
  Network& network_;
  const TextData& data_;
  const Recipe& recipe_;
  c10::Device device_;
  TextBatches train_;
};

// ---- the loop ----

// A loss that is not finite.
class NotFinite : public Error {
 public:
  using Error::Error;
};

class Training {
 public:
  Training(Network& network, std::unique_ptr<Examples> examples, const Recipe& recipe, Rng rng, c10::Device device)
      : network_(network),
        examples_(std::move(examples)),
        recipe_(recipe),
        rng_(rng),
        device_(device),
        rule_(network.parameters(), recipe) {}

  std::map<std::string, at::Tensor> state() const { return training_state(network_, rule_); }
  const Architecture& architecture() const { return network_.architecture(); }

  TrainedEpoch run(int epoch) {
    const auto start = Clock::now();
    const Score train = within_memory("in epoch " + std::to_string(epoch),
                                      "use a smaller batch_size or network, or fewer slots on this device",
                                      [&] { return pass(epoch); });
    const std::optional<Score> validation = examples_->validate();
    if (validation && !std::isfinite(validation->loss)) fail_not_finite("validation loss", epoch);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return {epoch, train, validation, recipe_.learning_rate(epoch - 1), seconds};
  }

 private:
  Score pass(int epoch) {
    const Rng rng = rng_.derive("epoch", static_cast<std::uint64_t>(epoch));
    at::manual_seed(rng.derive("layers")());
    network_.train();
    network_.set_drop_path(recipe_.drop_path_at(epoch));
    const std::size_t batches = examples_->begin_epoch(rng);
    Totals totals(device_);
    for (std::size_t i = 0; i < batches; ++i) {
      const double elapsed = epoch - 1 + static_cast<double>(i) / static_cast<double>(batches);  // epochs
      network_.set_progress(recipe_.progress(elapsed));
      const Batch batch = examples_->batch(i);
      rule_.zero_grad();
      Network::Output output;
      at::Tensor loss;
      {
        const Autocast autocast(recipe_.mixed_precision, device_);
        output = network_.forward(batch.images);
        loss = cross_entropy(output.logits, batch.labels, recipe_.label_smoothing);
        if (output.auxiliary.defined()) {
          loss =
              loss + recipe_.auxiliary_weight * cross_entropy(output.auxiliary, batch.labels, recipe_.label_smoothing);
        }
      }
      (loss * examples_->weight(batch)).backward();
      rule_.step(recipe_.learning_rate(elapsed));
      totals.add(loss, output.logits.detach(), batch.labels);
      // Not every step, as it waits for the device; what is not finite stays so in the sum.
      const bool look = i % 16 == 15 || i + 1 == batches;
      if (look && !totals.finite()) {
        check_finite(batch);
        fail_not_finite("loss", epoch);
      }
    }
    return totals.score();
  }

  [[noreturn]] void fail_not_finite(const std::string& what, int epoch) const {
    throw NotFinite(what + " is not finite in epoch " + std::to_string(epoch) +
                    (recipe_.lr > 0.0 ? "; a smaller lr or gradient_clip, or more warmup_epochs, may help"
                                      : " although lr is 0: the network computes it from its first weights"));
  }
  static void check_finite(const Batch& batch) {
    if (batch.images.is_floating_point() && !batch.images.isfinite().all().item<bool>())
      throw Error(
          "the normalised examples are not finite; the data set's mean must be, and its standard deviation above "
          "0");
  }

  Network& network_;
  std::unique_ptr<Examples> examples_;
  const Recipe& recipe_;
  Rng rng_;
  c10::Device device_;
  UpdateRule rule_;
};

// `body`, with LibTorch's errors told with their epoch.
template <typename Body>
auto in_epoch(int epoch, Body&& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    throw Error("in epoch " + std::to_string(epoch) + ": " + error.what_without_backtrace());
  }
}

}  // namespace

Json TrainedEpoch::to_json() const {
  Json json = {{"epoch", epoch},
               {"train_loss", train.loss},
               {"train_accuracy", train.accuracy},
               {"lr", lr},
               {"seconds", seconds}};
  if (restarts) json["restarts"] = *restarts;
  if (validation) {
    json["validation_loss"] = validation->loss;
    json["validation_accuracy"] = validation->accuracy;
  }
  return json;
}

TrainedEpoch TrainedEpoch::from_json(const Json& json) {
  std::optional<Score> validation;
  if (json.contains("validation_loss")) validation = Score{json.at("validation_loss"), json.at("validation_accuracy")};
  return {json.at("epoch"),   {json.at("train_loss"), json.at("train_accuracy")},
          validation,         json.at("lr"),
          json.at("seconds"), json.contains("restarts") ? std::optional<int>(json.at("restarts")) : std::nullopt};
}

std::filesystem::path checkpoint_file(const std::filesystem::path& folder) { return folder / "checkpoint.pt"; }

std::vector<TrainedEpoch> checkpointed_curve(const std::filesystem::path& folder) {
  std::optional<Checkpoint> checkpoint = load_checkpoint(checkpoint_file(folder));
  return checkpoint ? std::move(checkpoint->curve) : std::vector<TrainedEpoch>{};
}

void check(const Recipe& recipe, std::int64_t examples, c10::Device device) {
  if (recipe.batch_size > examples) {
    throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) +
                       "; must not exceed the number of training examples, " + std::to_string(examples));
  }
  check_precision(recipe, device);
}

void check(const Recipe& recipe, const TextData& data, c10::Device device) {
  const std::int64_t least = recipe.batch_size * data.positions + 1;
  if (data.train.numel() < least) {
    throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) + "; so many sequences of " +
                       std::to_string(data.positions) + " positions side by side need a training text of " +
                       std::to_string(least) + " tokens, but there are " + std::to_string(data.train.numel()));
  }
  check_precision(recipe, device);
}

namespace {

// `ExamplesOf` is Images or Text.
template <typename ExamplesOf, typename Data>
Training prepared(Network& network, const Data& data, const Recipe& recipe, Rng rng, c10::Device device) {
  return within_memory(
      "before the first epoch",
      "use a smaller network, a smaller data_fraction or resolution, or fewer slots on this device", [&] {
        return Training(network, std::make_unique<ExamplesOf>(network, data, recipe, device), recipe, rng, device);
      });
}

// The first epoch, or nothing if it was bad enough to give up.
std::optional<TrainedEpoch> first_epoch(Training& training, const TrainingOptions& options) {
  std::optional<TrainedEpoch> epoch;
  try {
    epoch = in_epoch(1, [&] { return training.run(1); });
  } catch (const NotFinite&) {
    if (options.gives_up && options.gives_up({})) return {};
    throw;
  }
  if (options.gives_up && options.gives_up(epoch->validation.value_or(epoch->train))) return {};
  return epoch;
}

TrainingResult run(Training training, const Recipe& recipe, const TrainingOptions& options) {
  TrainingResult result;
  const std::string network = identity_of(training.architecture());
  if (options.folder) result.curve = read_checkpoint(checkpoint_file(*options.folder), training.state(), network);
  for (int epoch = static_cast<int>(result.curve.size()) + 1; epoch <= recipe.epochs; ++epoch) {
    std::optional<TrainedEpoch> trained =
        epoch == 1 ? first_epoch(training, options) : in_epoch(epoch, [&] { return training.run(epoch); });
    if (!trained) break;
    trained->restarts = options.restarts;
    result.curve.push_back(*std::move(trained));
    const Verdict verdict = options.report ? options.report(result.curve.back().to_json()) : Verdict::go_on;
    // After the report, so that none is lost: whoever is killed between the two repeats the epoch, and its report. Nothing
    // goes on from what is stopped.
    if (options.folder && verdict != Verdict::stop) write_checkpoint(checkpoint_file(*options.folder), training.state(), result.curve, network);
    if (verdict == Verdict::go_on || epoch == recipe.epochs) continue;
    result.state = verdict == Verdict::stop ? TrialState::pruned : TrialState::paused;
    break;
  }
  return result;
}

}  // namespace

TrainingResult train(Network& network, const TrainingData& data, const Recipe& recipe, Rng rng,
                     const TrainingOptions& options) {
  check(recipe, data.train.size(), options.device);
  return run(prepared<Images>(network, data, recipe, rng, options.device), recipe, options);
}

TrainingResult train(Network& network, const TextData& data, const Recipe& recipe, Rng rng,
                     const TrainingOptions& options) {
  check(recipe, data, options.device);
  return run(prepared<Text>(network, data, recipe, rng, options.device), recipe, options);
}

namespace {

// Of `count` batches, in evaluation mode.
template <typename BatchAt>
Score score_of(Network& network, std::int64_t count, const BatchAt& batch_at) {
  const c10::InferenceMode inference;
  network.eval();
  std::optional<Totals> totals;
  for (std::int64_t index = 0; index < count; ++index) {
    const Batch batch = batch_at(index);
    if (!totals) totals.emplace(batch.images.device());
    const at::Tensor logits = network.forward(batch.images).logits;
    totals->add(cross_entropy(logits, batch.labels, 0.0), logits, batch.labels);
  }
  if (!totals) throw InvalidInput("there is no example to evaluate on");
  return totals->score();
}

// A training step holds what every layer computed until the gradients are through, evaluation only what is still to be
// read: four times as many examples need no more memory.
std::int64_t at_a_time(std::int64_t batch_size, std::int64_t most) { return 4 * std::min(batch_size, most / 4); }

}  // namespace

Score evaluate(Network& network, const Batches& batches, std::int64_t batch_size) {
  const std::int64_t examples = batches.examples();
  // 256: large enough that the cost of a batch does not count, small enough that activations stay near the cache.
  for (std::int64_t size = at_a_time(batch_size, 256);; size /= 2) {
    try {
      return score_of(network, (examples + size - 1) / size, [&](std::int64_t index) {
        const std::int64_t first = index * size;
        return batches.plain(first, std::min(size, examples - first));
      });
    } catch (const std::exception& error) {
      const std::string shortage = memory_shortage(error);
      if (shortage.empty()) throw;
      if (size == 1) {
        throw Error(
            "out of memory in evaluation, even of one example at a time; use a smaller network or resolution, or fewer "
            "slots on this device (" +
            shortage + ")");
      }
    }
  }
}

Score evaluate(Network& network, const TextBatches& batches) {
  network.carry_state(true);
  const Score score = score_of(network, batches.size(), [&](std::int64_t index) { return batches.batch(index); });
  network.carry_state(false);
  return score;
}

Score evaluate(Network& network, const at::Tensor& tokens, const TextData& data, c10::Device device,
               std::int64_t batch_size) {
  const std::int64_t most = at_a_time(batch_size, 32);
  // One stream may be read in sequences of any length, as its state is carried: the loss is the same.
  const bool one = data.reading == TextReading::stream;
  const std::int64_t streams = one ? 1 : std::clamp<std::int64_t>(tokens.numel() / (16 * data.positions), 1, most);
  const std::int64_t positions = one ? most * data.positions : data.positions;
  const std::int64_t smallest = one ? most : streams;
  const std::string fewer = smallest > 4 ? "a batch_size below " + std::to_string((smallest + 3) / 4) + ", " : "";
  return within_memory("in evaluation, of " + std::to_string(streams * positions) + " positions at a time",
                       "use " + fewer + "shorter sequences, a smaller network, or fewer slots on this device",
                       [&] { return evaluate(network, TextBatches(tokens, streams, positions, device)); });
}

}  // namespace weft
