// The training loop: a network, data and a recipe in; a learning curve out. Every evaluator that trains uses this one.
//
// Texts are read in order, so that recurrent networks carry their state from batch to batch; the batch size is then the
// number of streams that are read side by side. Losses and accuracies that are reported are means over tokens.
//
// Determinism: all randomness of an epoch (order, augmentation, dropout, drop-path) is derived from the Rng handed in
// and the epoch's number, so a training that is interrupted after any epoch and resumed from its checkpoint ends bit
// for bit as one that was not. Dropout draws from LibTorch's default generator, which is seeded per epoch: one training
// per process at a time.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "weft/evaluator.hpp"
#include "weft/torch/examples.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"
#include "weft/torch/text.hpp"

namespace weft {

// One point of the learning curve.
struct TrainedEpoch {
  int epoch;    // counted from 1
  Score train;  // while training: of augmented examples, label smoothing and auxiliary loss included in the loss
  std::optional<Score> validation;
  double lr;                         // of its first step
  double seconds;                    // training and validation
  std::optional<int> restarts = {};  // as in TrainingOptions
  Json others = Json::object();      // what the guide says of it

  // {"epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr", "seconds", "restarts"},
  // what there is of it, and what the guide says.
  Json to_json() const;
  static TrainedEpoch from_json(const Json& json);
};

struct TrainingOptions {
  // Where a checkpoint is written after every epoch (whole or not at all) and looked for at the start.
  std::optional<std::filesystem::path> folder = {};
  // Called with to_json() after every epoch, before its checkpoint is written: a training that is killed and resumed
  // may report one epoch twice, but loses none.
  std::function<Verdict(const Json& report)> report = {};
  // Whether the checkpoint's last epoch is reported once more, since its answer may have been lost: that of a training
  // that was told to stop or to pause when it was killed.
  bool repeats_last = false;
  c10::Device device = c10::kCPU;  // where the network is
  Guide* guide = nullptr;          // null: every step computes the network as it is
  // Asked once, after the first epoch and before its report, with the validation score, or that of training where there
  // is none, or nothing if the loss was not finite. If the answer is true, the training ends as if it had not begun: no
  // report, no checkpoint, an empty curve.
  std::function<bool(const std::optional<Score>&)> gives_up = {};
  // How often the trial began anew before this training, to be noted in the curve.
  std::optional<int> restarts = {};
};

struct TrainingResult {
  TrialState state = TrialState::complete;  // pruned or paused if a report before the last epoch's was answered so
  std::vector<TrainedEpoch> curve;
};

// The checkpoint in `folder`; whoever has no more use for it removes it.
std::filesystem::path checkpoint_file(const std::filesystem::path& folder);
// The curve so far of the training whose checkpoint that is; empty if there is none.
std::vector<TrainedEpoch> checkpointed_curve(const std::filesystem::path& folder);

// What makes a training impossible whatever the network. Throws InvalidInput if the data is smaller than a batch, Error
// if the device cannot do the recipe's precision.
void check(const Recipe& recipe, std::int64_t examples, c10::Device device);
// Throws InvalidInput if the text is shorter than one sequence for each stream, or would be augmented.
void check(const Recipe& recipe, const TextData& data, c10::Device device);

// Trains to the end of the recipe or until a report says otherwise. Throws InvalidInput if the data is smaller than a
// batch, Error if the loss is no longer finite or memory runs out (naming the epoch, and what helps), batch norm meets
// a single value, a checkpoint is damaged, or the device cannot do the recipe's precision.
TrainingResult train(Network& network, const TrainingData& data, const Recipe& recipe, Rng rng,
                     const TrainingOptions& options = {});
TrainingResult train(Network& network, const TextData& data, const Recipe& recipe, Rng rng,
                     const TrainingOptions& options = {});

// In evaluation mode, without augmentation; the network is left in that mode. At a time go as many examples as need no
// more memory than a training step of `batch_size`, 256 at most, and fewer where memory does not suffice. Throws Error
// where it does not for a single one.
Score evaluate(Network& network, const Batches& batches, std::int64_t batch_size = 64);
Score evaluate(Network& network, const TextBatches& batches);
// Of a split of `data`, read as that says; in no more memory than a training step of `batch_size` streams needs.
Score evaluate(Network& network, const at::Tensor& tokens, const TextData& data, c10::Device device,
               std::int64_t batch_size = 8);

}  // namespace weft
