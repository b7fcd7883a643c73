// Density matching: an augmentation policy is good if a network that was trained without it recognises, under it,
// examples that it has not seen. So policies are compared without a training of their own.
//
// Lim, Kim, Kim, Kim, Kim 2019, "Fast AutoAugment", section 3. The training examples are divided five times into a part
// that a network is trained on without a policy and 40 % that are held out. A policy's score on a split is the share of
// held-out examples that are right in any of five draws: each draws a sub-policy and all else anew, standard
// augmentation included.
//
// The paper searches each split by itself, over continuous probabilities and magnitudes. Here a candidate's
// validation_accuracy is the mean over all splits, unless `split` names one; what it is on each is told as a metric,
// from which the evaluator found_policy takes the best of each. Probabilities and magnitudes are those of the space.
//
// Each worker trains the networks at its first candidate, all workers the same ones, and keeps them as long as network
// and recipe stay. Where such a training fails, candidates of the same network and recipe fail as it did, without
// another one.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "held_out.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

using density_matching::Parts;

// What is measured in its place where a candidate brings no policy of its own would be the same for all.
void check_policy(const weft::Candidate& candidate) {
  if (!candidate.recipe.contains("augmentation"))
    throw weft::InvalidInput(
        "the candidate's recipe has no augmentation, which is what this evaluator measures; take a space of policies, "
        "such as autoaugment");
}

// Which examples are right in at least one of `draws` draws of the augmentation: percent.
double share_right(weft::Network& network, const weft::Split& held_out, const weft::Normalisation& normalisation,
                   const weft::Augmentations& augmentation, int draws, c10::Device device, const weft::Rng& rng) {
  const c10::InferenceMode inference;
  network.eval();
  const std::int64_t examples = held_out.size();
  const at::Tensor labels = held_out.labels.to(device);
  // Draws come in orders of their own: their batches have the numbers of their examples for labels.
  const weft::Batches numbered({held_out.images, at::arange(examples, at::kLong)}, normalisation, device);
  std::int64_t batch_size = std::min<std::int64_t>(256, examples);
  while (batch_size > 1 && examples % batch_size == 1) --batch_size;  // a rest of one would be left out
  at::Tensor right = at::zeros({examples}, labels.options().dtype(at::kBool));
  for (int draw = 0; draw < draws; ++draw) {
    const weft::EpochBatches epoch(numbered, batch_size, augmentation,
                                   rng.derive("draw", static_cast<std::uint64_t>(draw)));
    for (std::size_t i = 0; i < epoch.size(); ++i) {
      const weft::Batch batch = epoch.batch(i);
      const at::Tensor correct =
          network.forward(batch.images).logits.argmax(1).eq(labels.index_select(0, batch.labels));
      right.index_copy_(0, batch.labels, right.index_select(0, batch.labels).logical_or_(correct));
    }
  }
  return 100.0 * right.sum().item<double>() / static_cast<double>(examples);
}

class DensityMatching final : public weft::Evaluator {
 public:
  explicit DensityMatching(const weft::Context& context)
      : arguments_(context.configuration()),
        ingredients_(context.ingredients()),
        draws_(context.get<int>("draws")),
        space_(context.space()),
        normalisation_{weft::dataset(context).mean(), weft::dataset(context).standard_deviation()},
        rng_(context.rng()),
        device_(weft::claim_device()),
        log_(context.log()) {
    if (context.final_phase())
      throw weft::InvalidInput(
          "density_matching trains no network under a policy; take another /final/evaluator, such as found_policy");
    divide(context);
    for (const char* name : {"data_fraction", "splits", "held_out", "split", "draws"}) arguments_.erase(name);
    // Of every trial: better found out before the first.
    weft::check(weft::Recipe::from_json(arguments_, ingredients_), splits_.front().parts.train.size(), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter&) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    check_policy(candidate);
    if (request.fidelity.data_fraction)
      throw weft::InvalidInput("fidelity /data_fraction is not known to this evaluator; epochs is");
    const weft::Recipe under_policy = weft::recipe_of(arguments_, candidate, request.fidelity, ingredients_);
    train_without_policy(candidate, request);
    weft::Json metrics;
    double sum = 0.0, plain = 0.0;
    for (Split& split : splits_) {
      const double score =
          share_right(*split.network, split.parts.held_out, normalisation_, under_policy.augmentation, draws_, device_,
                      request.rng.derive("split", static_cast<std::uint64_t>(split.number)));
      metrics["split_" + std::to_string(split.number) + "_accuracy"] = score;
      sum += score;
      plain += split.plain;
    }
    metrics["validation_accuracy"] = sum / static_cast<double>(splits_.size());
    metrics["plain_accuracy"] = plain / static_cast<double>(splits_.size());
    return {.metrics = metrics};
  }

 private:
  struct Split {
    std::int64_t number;  // counted from 1
    Parts parts;
    std::unique_ptr<weft::Network> network = {};  // trained on the one part without a policy
    double plain = 0.0;                           // its accuracy on the other as it is, percent
  };

  void divide(const weft::Context& context) {
    const auto count = context.get<std::int64_t>("splits");
    const weft::Json only = context.configuration().value("split", weft::Json());
    if (!only.is_null() && only.get<std::int64_t>() > count)
      throw weft::InvalidInput("/split is " + only.dump() + "; must not exceed /splits, " + std::to_string(count));
    const weft::Dataset& dataset = weft::dataset(context);
    const std::int64_t examples =
        weft::examples_of(dataset.train().size(), context.get<double>("data_fraction"), weft::Fidelity{});
    const weft::Split all = weft::first_examples(dataset.train(), examples);
    for (std::int64_t number = 1; number <= count; ++number) {
      if (!only.is_null() && only != number) continue;
      splits_.push_back({number, density_matching::parted(all, dataset.task().classes, context.get<double>("held_out"),
                                                          stream(number).derive("parts"))});
    }
    if (splits_.front().parts.held_out.size() > 0) return;
    throw weft::InvalidInput("/held_out is " + context.configuration().at("held_out").dump() +
                             ", which holds out none of " + std::to_string(examples) +
                             " examples; must leave some of each class");
  }

  static std::filesystem::path folder_of(const Split& split, const std::filesystem::path& folder) {
    return folder / ("split_" + std::to_string(split.number));
  }

  weft::Rng stream(std::int64_t split) const { return rng_.derive("split", static_cast<std::uint64_t>(split)); }

  // The networks as they are without the candidate's policy, unless they are that already.
  void train_without_policy(weft::Candidate candidate, const weft::EvaluationRequest& request) {
    candidate.recipe.erase("augmentation");
    const weft::Recipe recipe = weft::recipe_of(arguments_, candidate, request.fidelity, ingredients_);
    const std::uint64_t key = weft::hash_text(request.fidelity.to_json().dump(), candidate.hash());
    if (trained_ == key) return;
    if (const auto failed = failed_.find(key); failed != failed_.end())
      throw weft::Error(failed->second + " (so it was in an earlier trial, and is not tried again)");
    trained_.reset();
    for (Split& split : splits_) {
      try {
        train(split, candidate.architecture, recipe, request.folder);
      } catch (const weft::Error& error) {
        failed_[key] = "split " + std::to_string(split.number) + ", without a policy: " + error.what();
        throw;
      }
    }
    for (const Split& split : splits_) {
      if (request.folder) std::filesystem::remove_all(folder_of(split, *request.folder));
    }
    trained_ = key;
  }

  // A training that was interrupted goes on from its checkpoint in the trial's folder.
  void train(Split& split, const weft::Architecture& architecture, const weft::Recipe& recipe,
             const std::optional<std::filesystem::path>& folder) const {
    const weft::Rng rng = stream(split.number);
    split.network = std::make_unique<weft::Network>(architecture, rng.derive("weights"));
    if (recipe.initialisation) weft::initialise(*split.network, *recipe.initialisation, rng.derive("weights"));
    split.network->to(device_);
    weft::TrainingOptions options{.device = device_};
    if (folder) {
      options.folder = folder_of(split, *folder);
      std::filesystem::create_directories(*options.folder);
    }
    const weft::TrainingData data{split.parts.train, {}, normalisation_};
    weft::train(*split.network, data, recipe, rng.derive("training"), options);
    split.network->condense();
    const weft::Batches held_out(split.parts.held_out, normalisation_, device_);
    split.plain = weft::evaluate(*split.network, held_out, recipe.batch_size).accuracy;
    log_.info("density_matching, split " + std::to_string(split.number) + ": trained on " +
              std::to_string(split.parts.train.size()) + " examples without a policy; of " +
              std::to_string(split.parts.held_out.size()) + " held out " + weft::Json(split.plain).dump() +
              " % are right as they are");
  }

  weft::Json arguments_;  // a training recipe
  weft::Ingredients ingredients_;
  int draws_;
  weft::SpaceRef space_;
  weft::Normalisation normalisation_;
  weft::Rng rng_;
  c10::Device device_;
  weft::Log log_;
  std::vector<Split> splits_;
  std::optional<std::uint64_t> trained_ = {};         // of which network and recipe the networks are
  std::map<std::uint64_t, std::string> failed_ = {};  // of which there are none, and why
};

}  // namespace

WEFT_PLUGIN(weft::component<DensityMatching>("density_matching"))
