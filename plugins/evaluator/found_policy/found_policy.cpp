// A final training under the augmentation policy that a whole search has found, rather than under its best candidate's.
//
// union: of the sub-policies of the best candidates. Cubuk et al. 2019, "AutoAugment", section 3: those of the best
// five policies, 25. Lim et al. 2019, "Fast AutoAugment", Algorithm 1: those of the best ten by each split, without
// those whose operations an earlier one of their policy has, as in the authors' code.
//
// schedule: what the best candidate was trained under, epoch by epoch, where it has gone on from others' checkpoints.
// Ho et al. 2019, "Population Based Augmentation", section 3.3: it is stretched over the epochs of this training.
//
// The other trials are read from the study's folder, beside that of the final training (docs/study-folder.md). What
// they were made into is left there as policy.json, a recipe's member `augmentation`.

#include <filesystem>
#include <string>
#include <vector>

#include "policies.hpp"
#include "study_trials.hpp"
#include "weft/atomic_file.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

using found_policy::Duplicates;
using found_policy::StudyTrial;
using weft::Json;

Duplicates duplicates(const std::string& name) {
  return name == "equal" ? Duplicates::equal : name == "operations" ? Duplicates::operations : Duplicates::all;
}

class FoundPolicy final : public weft::Evaluator {
 public:
  explicit FoundPolicy(const weft::Context& context)
      : arguments_(context.configuration()),
        ingredients_(context.ingredients()),
        schedule_(context.get<std::string>("found") == "schedule"),
        metrics_(context.get<std::vector<std::string>>("metrics")),
        best_(context.get<std::size_t>("best")),
        duplicates_(duplicates(context.get<std::string>("drop"))),
        use_validation_(context.get<bool>("use_validation")),
        data_fraction_(context.get<double>("data_fraction")),
        space_(context.space()),
        dataset_(weft::dataset(context)),
        device_(weft::claim_device()),
        log_(context.log()) {
    if (!context.final_phase())
      throw weft::InvalidInput(
          "found_policy trains what a search has found; it is a /final/evaluator, and another one is to measure the "
          "search's candidates");
    for (const char* name : {"found", "metrics", "best", "drop", "use_validation", "data_fraction"})
      arguments_.erase(name);
    // Better found out before the search.
    dataset_.test();
    weft::check(weft::Recipe::from_json(arguments_, ingredients_), training_data().train.size(), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Candidate candidate = space_.decode(request.genotype);
    const std::vector<StudyTrial> trials = found_policy::study_trials(request.folder);
    const Json policy = schedule_ ? schedule(request.trial, trials) : united(trials);
    log_.info("found_policy: " + std::to_string(policy.size()) +
              (schedule_ ? " policies, one after the other" : " sub-policies"));
    Json& augmentation = candidate.recipe["augmentation"];
    found_policy::policy_of(augmentation) = policy;
    weft::write_atomically(*request.folder / "policy.json", augmentation.dump(1) + "\n");
    return train(candidate, request, reporter);
  }

 private:
  Json policy_of(const StudyTrial& trial) const {
    const Json recipe = space_.decode(trial.proposal.genotype).recipe;
    const Json augmentation = recipe.value("augmentation", Json::array());
    return found_policy::policy_of(augmentation);
  }

  Json united(const std::vector<StudyTrial>& trials) const {
    std::vector<Json> policies;
    for (const std::string& metric : metrics_) {
      for (const StudyTrial& trial : found_policy::best_by(metric, best_, trials)) policies.push_back(policy_of(trial));
    }
    return found_policy::united(policies, duplicates_);
  }

  Json schedule(weft::TrialId number, const std::vector<StudyTrial>& trials) const {
    std::vector<std::pair<int, Json>> policies;
    for (const StudyTrial& trial : found_policy::line_of(number, trials)) {
      if (!trial.proposal.fidelity.epochs)
        throw weft::Error("/found is \"schedule\", but trial " + std::to_string(trial.number) +
                          " was asked for no number of epochs, as population_based_training does; use \"union\"");
      policies.emplace_back(*trial.proposal.fidelity.epochs, policy_of(trial));
    }
    return found_policy::scheduled(policies);
  }

  weft::Evaluation train(const weft::Candidate& candidate, const weft::EvaluationRequest& request,
                         const weft::Reporter& reporter) const {
    const weft::TrainingData data = training_data();
    weft::TrainingTrial trial{.recipe = weft::recipe_of(arguments_, candidate, request.fidelity, ingredients_),
                              .device = device_,
                              .log = log_};
    trial.train = [&](weft::Network& network, const weft::Recipe& recipe, weft::Rng rng,
                      const weft::TrainingOptions& options) {
      return weft::train(network, data, recipe, rng, options);
    };
    trial.test = [&](weft::Network& network) {
      return weft::evaluate(network, {dataset_.test(), data.normalisation, device_}, trial.recipe.batch_size);
    };
    return weft::evaluate(request, reporter, candidate, trial);
  }

  weft::TrainingData training_data() const {
    weft::TrainingData data{dataset_.train(), dataset_.validation(), {dataset_.mean(), dataset_.standard_deviation()}};
    if (use_validation_) {
      data.train = weft::join(data.train, data.validation);
      data.validation = {};
    }
    data.train =
        weft::first_examples(data.train, weft::examples_of(data.train.size(), data_fraction_, weft::Fidelity{}));
    return data;
  }

  Json arguments_;  // a training recipe
  weft::Ingredients ingredients_;
  bool schedule_;
  std::vector<std::string> metrics_;
  std::size_t best_;
  Duplicates duplicates_;
  bool use_validation_;
  double data_fraction_;
  weft::SpaceRef space_;
  const weft::Dataset& dataset_;
  c10::Device device_;
  weft::Log log_;
};

}  // namespace

WEFT_PLUGIN(weft::component<FoundPolicy>("found_policy"))
