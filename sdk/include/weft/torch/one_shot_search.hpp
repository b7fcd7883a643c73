// What one-shot strategies have in common around the training loop: the supernet, the data in two disjoint parts, the
// memory it takes, reports, and what the shared weights say of one architecture.
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
#include "weft/torch/training.hpp"

namespace weft {

// Batches of a split without end: in a new order whenever all examples were seen.
class EndlessBatches {
 public:
  // All are referred to, and must live longer.
  EndlessBatches(const Batches& batches, std::int64_t batch_size, const Augmentation& augmentation);

  // What is drawn from here on comes of `rng`.
  void begin(const Rng& rng);
  Batch next();

 private:
  const Batches& batches_;
  std::int64_t batch_size_;
  const Augmentation& augmentation_;
  Rng rng_{0};
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

class OneShotSearch {
 public:
  // The context's arguments are a recipe, those that `own` names, and
  //   structure_share       of the training split, for the structure; 0: the validation split is for it
  //   data_fraction         of the training split that is used at all
  //   validation_examples   of the validation split, for the reports; 0: all
  // and what a Judge reads.
  // Throws InvalidInput where the space has no supernet or a part of the data is smaller than a batch.
  OneShotSearch(const Context& context, std::initializer_list<const char*> own);

  const SpaceRef& space() const { return space_; }
  const Architecture& supernet() const { return supernet_; }
  const std::vector<SupernetChoice>& choices() const { return choices_; }
  const Recipe& recipe() const { return recipe_; }
  c10::Device device() const { return device_; }
  const Batches& structure_batches() const { return structure_; }

  // Throws InvalidInput where training `active`, what is computed at once, is estimated to take more memory than the
  // device has, with the batch size that would fit.
  void expect_memory(const Architecture& active) const;
  // The same of one architecture at a time: of some that are drawn, the one that takes the most.
  void expect_memory_of_one() const;

  // Moves the network to the device and trains it under the guide, to the end or until a report says otherwise; what
  // `derive` says then is the result. supernet.pt is left in the request's folder.
  OneShotResult train(const EvaluationRequest& request, const Reporter& reporter, Network& network, Guide& guide,
                      const std::function<std::vector<Derived>()>& derive) const;

  // Of the architecture's part of the network on the validation split; the network is left in evaluation mode.
  Score judge(Network& network, const Genotype& genotype) const { return judge_.score(network, space_.path(genotype)); }
  // With "one_shot_accuracy" and "one_shot_loss" of that.
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
  TrainingData data_;
  Batches structure_;
  Judge judge_;
  Log log_;
  bool warned_ = false;
};

}  // namespace weft
