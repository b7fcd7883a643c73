#include "weft/torch/training.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "memory.hpp"
#include "weft/torch/checkpoint.hpp"
#include "weft/torch/precision.hpp"
#include "weft/torch/updates.hpp"

namespace weft {

namespace {

using Clock = std::chrono::steady_clock;

// All tensors a training changes, by name; they share memory with the network and the update rule.
NamedTensors training_state(const Network& network, const Updates& rule, Guide* guide) {
  NamedTensors state;
  if (guide != nullptr) {
    for (const auto& [name, tensor] : guide->state()) state["guide/" + name] = tensor;
  }
  for (const auto& [name, tensor] : rule.state()) state["rule/" + name] = tensor;
  for (const auto& buffer : network.named_buffers()) state["buffer/" + buffer.key()] = buffer.value();
  return state;
}

Json notes_of(const std::vector<TrainedEpoch>& curve) {
  Json epochs = Json::array();
  for (const TrainedEpoch& epoch : curve) epochs.push_back(epoch.to_json());
  return epochs;
}

std::vector<TrainedEpoch> curve_of(const Checkpoint& checkpoint) {
  std::vector<TrainedEpoch> curve;
  for (const Json& epoch : checkpoint.notes) curve.push_back(TrainedEpoch::from_json(epoch));
  return curve;
}

// Fills `state` and returns the curve so far; nothing if there is no checkpoint.
std::vector<TrainedEpoch> restored(const std::filesystem::path& file, const NamedTensors& state,
                                   const std::string& network) {
  const std::optional<Checkpoint> checkpoint = load_checkpoint(file);
  if (!checkpoint || !restore(file, *checkpoint, state, network)) return {};
  return curve_of(*checkpoint);
}

// A loss that is not finite.
class NotFinite : public Error {
 public:
  using Error::Error;
};

class Training {
 public:
  Training(Network& network, std::unique_ptr<Examples> examples, const Recipe& recipe, Rng rng,
           const TrainingOptions& options)
      : network_(network),
        examples_(std::move(examples)),
        recipe_(recipe),
        rng_(rng),
        device_(options.device),
        guide_(options.guide),
        rule_(network.parameters(), recipe, guide_ ? Updates::Parts::some : Updates::Parts::all) {
    if (guide_) guide_->begin(rule_);
  }

  NamedTensors state() const { return training_state(network_, rule_, guide_); }
  const Architecture& architecture() const { return network_.architecture(); }

  TrainedEpoch run(int epoch) {
    const auto start = Clock::now();
    const Score train = within_memory("in epoch " + std::to_string(epoch),
                                      "use a smaller batch_size or network, or fewer slots on this device",
                                      [&] { return pass(epoch); });
    if (guide_) guide_->end_epoch(epoch);
    const std::optional<Score> validation = examples_->validate();
    if (validation && !std::isfinite(validation->loss)) fail_not_finite("validation loss", epoch);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    TrainedEpoch trained{epoch, train, validation, first_rate_, seconds};
    if (guide_) trained.others = guide_->report();
    return trained;
  }

 private:
  Score pass(int epoch) {
    const Rng rng = rng_.derive("epoch", static_cast<std::uint64_t>(epoch));
    at::manual_seed(rng.derive("layers")());
    network_.train();
    network_.set_drop_path(recipe_.drop_path_at(epoch));
    const std::size_t batches = examples_->begin_epoch(rng, recipe_.progress(epoch - 1));
    if (guide_) guide_->begin_epoch(epoch, rng.derive("guide"));
    Totals totals(device_);
    for (std::size_t i = 0; i < batches; ++i) {
      const double length = 1.0 / static_cast<double>(batches);                                  // of a step, in epochs
      const double elapsed = epoch - 1 + static_cast<double>(i) / static_cast<double>(batches);  // epochs
      const double progress = recipe_.progress(elapsed);
      network_.set_progress(progress);
      const Batch batch = examples_->batch(i);
      const Pace pace{recipe_.learning_rate(elapsed, length), progress, recipe_.momentum(elapsed)};
      const Step step{epoch, i, batches, elapsed, pace, batch};
      if (i == 0) first_rate_ = pace.lr;
      if (guide_) {
        guided(step, pace, totals);
      } else {
        rule_.zero_grad();
        descend(batch, 1.0, progress, totals);
        rule_.step(pace);
      }
      // Not every step, as it waits for the device; what is not finite stays so in the sum.
      const bool look = i % 16 == 15 || i + 1 == batches;
      if (look && !totals.finite()) {
        check_finite(batch);
        fail_not_finite("loss", epoch);
      }
    }
    return totals.score();
  }

  // Adds the gradients of the batch's loss; returns that.
  at::Tensor descend(const Batch& batch, double weight, double progress, Totals& totals) {
    Network::Output output;
    at::Tensor loss;
    {
      const Autocast autocast(recipe_.mixed_precision, device_);
      output = network_.forward(batch.images);
      loss = training_loss({network_, batch, output, progress}, recipe_.losses);
    }
    const at::Tensor descended = output.penalty.defined() ? loss + output.penalty : loss;
    (descended * (weight * examples_->weight(batch))).backward();
    totals.add(loss, output.logits.detach(), batch.labels);
    return loss.detach();
  }

  void guided(const Step& step, const Pace& pace, Totals& totals) {
    guide_->before_step(step);
    rule_.zero_grad();
    std::vector<bool> took_part(network_.parameters().size());
    for (const Pass& pass : guide_->passes(step)) {
      network_.choose(pass.gates);
      const std::vector<bool>& taking_part = network_.taking_part();
      for (std::size_t i = 0; i < took_part.size(); ++i) took_part[i] = took_part[i] || taking_part[i];
      guide_->after_pass(step, pass, descend(part_of(step.batch, pass), pass.weight, pace.progress, totals));
    }
    rule_.step(pace, guide_->moves(std::move(took_part)));
    guide_->after_step(step);
  }

  static Batch part_of(const Batch& batch, const Pass& pass) {
    const std::int64_t all = batch.labels.size(0);
    const std::int64_t count = pass.count < 0 ? all - pass.first : pass.count;
    if (count == all) return batch;
    const auto part = [&](const at::Tensor& whole) {
      return whole.defined() ? whole.narrow(0, pass.first, count) : whole;
    };
    return {part(batch.images), part(batch.labels), part(batch.mixed_labels), part(batch.share)};
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
  Guide* guide_;             // may be null
  double first_rate_ = 0.0;  // of the epoch's first step
  Updates rule_;
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
  json.update(others);
  return json;
}

TrainedEpoch TrainedEpoch::from_json(const Json& json) {
  TrainedEpoch trained{
      json.at("epoch"), {json.at("train_loss"), json.at("train_accuracy")}, {}, json.at("lr"), json.at("seconds")};
  if (json.contains("validation_loss"))
    trained.validation = Score{json.at("validation_loss"), json.at("validation_accuracy")};
  if (json.contains("restarts")) trained.restarts = json.at("restarts").get<int>();
  const Json known = trained.to_json();
  trained.others = json;
  for (const auto& [name, value] : known.items()) trained.others.erase(name);
  return trained;
}

std::filesystem::path checkpoint_file(const std::filesystem::path& folder) { return folder / "checkpoint.pt"; }

std::vector<TrainedEpoch> checkpointed_curve(const std::filesystem::path& folder) {
  const std::optional<Checkpoint> checkpoint = load_checkpoint(checkpoint_file(folder));
  return checkpoint ? curve_of(*checkpoint) : std::vector<TrainedEpoch>{};
}

void check(const Recipe& recipe, std::int64_t examples, c10::Device device) {
  if (recipe.batch_size > examples) {
    throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) +
                       "; must not exceed the number of training examples, " + std::to_string(examples));
  }
  check_precision(recipe.mixed_precision, device);
}

void check(const Recipe& recipe, const TextData& data, c10::Device device) {
  if (!recipe.augmentation.others.empty()) throw InvalidInput("/augmentation: a text is not augmented; leave it empty");
  const std::int64_t least = recipe.batch_size * data.positions + 1;
  if (data.train.numel() < least) {
    throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) + "; so many sequences of " +
                       std::to_string(data.positions) + " positions side by side need a training text of " +
                       std::to_string(least) + " tokens, but there are " + std::to_string(data.train.numel()));
  }
  check_precision(recipe.mixed_precision, device);
}

namespace {

template <typename Data>
Training prepared(Network& network, const Data& data, const Recipe& recipe, Rng rng, const TrainingOptions& options) {
  return within_memory(
      "before the first epoch",
      "use a smaller network, a smaller data_fraction or resolution, or fewer slots on this device",
      [&] { return Training(network, examples(network, data, recipe, options.device), recipe, rng, options); });
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
  if (options.folder) result.curve = restored(checkpoint_file(*options.folder), training.state(), network);
  if (options.repeats_last && !result.curve.empty() && static_cast<int>(result.curve.size()) < recipe.epochs) {
    const Verdict verdict = options.report ? options.report(result.curve.back().to_json()) : Verdict::go_on;
    if (verdict != Verdict::go_on) {
      result.state = verdict == Verdict::stop ? TrialState::pruned : TrialState::paused;
      return result;
    }
  }
  for (int epoch = static_cast<int>(result.curve.size()) + 1; epoch <= recipe.epochs; ++epoch) {
    std::optional<TrainedEpoch> trained =
        epoch == 1 ? first_epoch(training, options) : in_epoch(epoch, [&] { return training.run(epoch); });
    if (!trained) break;
    trained->restarts = options.restarts;
    result.curve.push_back(*std::move(trained));
    const Verdict verdict = options.report ? options.report(result.curve.back().to_json()) : Verdict::go_on;
    // After the report, so that none is lost: whoever is killed between the two repeats the epoch, and its report. What
    // is stopped leaves its checkpoint, too: a search that takes its predicted value may have it go on.
    if (options.folder)
      write_checkpoint(checkpoint_file(*options.folder), training.state(), notes_of(result.curve), network);
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
  return run(prepared(network, data, recipe, rng, options), recipe, options);
}

TrainingResult train(Network& network, const TextData& data, const Recipe& recipe, Rng rng,
                     const TrainingOptions& options) {
  check(recipe, data, options.device);
  return run(prepared(network, data, recipe, rng, options), recipe, options);
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
  const std::int64_t fit = std::clamp<std::int64_t>(tokens.numel() / (16 * data.positions), 1, most);
  const std::int64_t streams = one ? 1 : std::max(fit, data.least_streams);
  const std::int64_t positions = one ? most * data.positions : data.positions;
  const std::int64_t smallest = one ? most : streams;
  const std::string fewer = smallest > 4 ? "a batch_size below " + std::to_string((smallest + 3) / 4) + ", " : "";
  return within_memory("in evaluation, of " + std::to_string(streams * positions) + " positions at a time",
                       "use " + fewer + "shorter sequences, a smaller network, or fewer slots on this device",
                       [&] { return evaluate(network, TextBatches(tokens, streams, positions, device)); });
}

}  // namespace weft
