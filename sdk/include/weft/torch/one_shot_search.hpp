// What one-shot strategies have in common around the training loop: the supernet, the data in two disjoint parts, the
// memory it takes, reports, and what the shared weights say of one architecture.
//
// The data set is one of images or of text. A text's parts are its beginning and its end; batch_size is then the number
// of streams that are read side by side, and recurrent nodes carry their state from batch to batch, which a strategy
// that runs the network on batches of its own keeps apart by MemoryHeld.
//
// A strategy is a plugin of kind oneshot (weft/oneshot.hpp) that makes one OneShotSearch, builds a Network of its
// supernet, and has it trained under a guide of its own (weft/torch/guide.hpp).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <vector>

#include "weft/context.hpp"
#include "weft/oneshot.hpp"
#include "weft/space.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/judge.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/text.hpp"
#include "weft/torch/training.hpp"

namespace weft {

class OneShotSearch;

// Batches of a split without end: in a new order whenever all examples were seen. Of a text: in its order, from
// anywhere on, and from its beginning whenever it was read.
class EndlessBatches {
 public:
  // All are referred to, and must live longer.
  EndlessBatches(const Batches& batches, std::int64_t batch_size, const Augmentations& augmentation);
  // Of the search's part for the structure, of its batch size; augmented where that is one of images.
  EndlessBatches(const OneShotSearch& search, const Augmentations& augmentation);

  // What is drawn from here on comes of `rng`, and is augmented as an epoch that begins so far into the training.
  void begin(const Rng& rng, double progress);
  Batch next();

 private:
  friend class MemoryHeld;

  const Batches* batches_ = nullptr;   // of images
  const TextBatches* text_ = nullptr;  // of either one
  Network::Carried memory_;            // of the text, after the last batch
  std::int64_t batch_size_;
  const Augmentations& augmentation_;
  Rng rng_{0};
  double progress_ = 0.0;
  std::uint64_t round_ = 0;
  std::size_t at_ = 0;
  std::optional<EpochBatches> epoch_;
};

// Weights take no gradients while it lives: structure steps need none.
class WeightsHeld {
 public:
  explicit WeightsHeld(Network& network);
  ~WeightsHeld();
  WeightsHeld(const WeightsHeld&) = delete;
  WeightsHeld& operator=(const WeightsHeld&) = delete;

 private:
  std::vector<at::Tensor> held_;
};

// What the network's recurrent nodes carry from batch to batch is afterwards what it was before.
class MemoryHeld {
 public:
  explicit MemoryHeld(Network& network);
  // Meanwhile they go on where the batches' last one ended, and the batches keep where they end.
  MemoryHeld(Network& network, EndlessBatches& batches);
  ~MemoryHeld();
  MemoryHeld(const MemoryHeld&) = delete;
  MemoryHeld& operator=(const MemoryHeld&) = delete;

 private:
  Network& network_;
  EndlessBatches* batches_ = nullptr;
  Network::Carried before_;
};

class OneShotSearch {
 public:
  // The context's arguments are a recipe, those that `own` names, and
  //   structure_share       of the training split, for the structure; 0: the validation split is for it
  //   data_fraction         of the training split that is used at all
  //   validation_examples   of the validation split, for the reports; 0: all. Of a text, tokens
  // and what a Judge reads.
  // Throws InvalidInput where the space has no supernet or a part of the data is smaller than a batch.
  OneShotSearch(const Context& context, std::initializer_list<const char*> own);
  // The same of a network that the strategy makes up itself, where the space has no supernet: without choices, and with
  // whatever of an architecture's weights does not depend on it.
  OneShotSearch(const Context& context, std::initializer_list<const char*> own, Architecture network);

  const SpaceRef& space() const { return space_; }
  const Architecture& supernet() const { return supernet_; }
  const std::vector<SupernetChoice>& choices() const { return choices_; }
  const Recipe& recipe() const { return recipe_; }
  c10::Device device() const { return device_; }
  // Throws Error where the data set is one of text.
  const Batches& structure_batches() const;
  const TextBatches* structure_text() const {
    return structure_text_ ? &*structure_text_ : nullptr;
  }  // null: of images

  // Throws InvalidInput where training `active`, what is computed at once, is estimated to take more memory than the
  // device has, with the batch size that would fit.
  void expect_memory(const Architecture& active) const;
  // The same of one architecture at a time: of some that are drawn, the one that takes the most.
  void expect_memory_of_one() const;

  // Moves the network to the device and trains it, from the recipe's initialisation on, under the guide, to the end or
  // until a report says otherwise; what `derive` says then is the result. supernet.pt is left in the request's folder.
  OneShotResult train(const EvaluationRequest& request, const Reporter& reporter, Network& network, Guide& guide,
                      const std::function<std::vector<Derived>()>& derive) const;

  // Of the architecture's part of the network on the validation split; the network is left in evaluation mode.
  Score judge(Network& network, const Genotype& genotype) const { return judge_.score(network, space_.path(genotype)); }
  // Of a network without choices.
  Score judge(Network& network) const { return judge_.score(network, {}); }
  // With "one_shot_accuracy" and "one_shot_loss" of that; of a text also "one_shot_perplexity".
  Derived derived(Network& network, const Genotype& genotype) const;

  // What a report says of the architecture that the search holds at present: {"architecture": its notation, "skips":
  // how many of its operations only hand on their input}. Warns once when those are more than half.
  Json describe(const Genotype& genotype);

 private:
  SpaceRef space_;
  Architecture supernet_;
  std::vector<SupernetChoice> choices_;
  Json arguments_;
  Recipe recipe_;
  c10::Device device_;
  std::optional<TrainingData> images_;
  std::optional<TextData> text_;  // of either one
  std::optional<Batches> structure_;
  std::optional<TextBatches> structure_text_;
  Judge judge_;
  Log log_;
  bool warned_ = false;
};

}  // namespace weft
