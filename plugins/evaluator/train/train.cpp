// Trains the candidate from scratch and measures it on held-out examples: the plain answer to "how good is it?".
//
// In a search: trained on the train split, measured on the validation split. In the final phase: trained on both (or on
// train alone, use_validation), measured on the test split, once, at the end.
//
// If asked (restarts), a network that does not learn begins anew with a smaller learning rate: Baker et al. 2017,
// "Designing Neural Network Architectures using Reinforcement Learning"; Zhong et al. 2018, "Practical Block-wise
// Neural Network Architecture Generation".

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

// What a network has learnt nothing for that answers with one class alone: percent of the most frequent one.
double accuracy_of_one_class(const weft::Split& split) {
  const double most = split.labels.bincount().max().item<double>();
  return 100.0 * most / static_cast<double>(split.size());
}

weft::Restarts restarts_of(const weft::Context& context, const weft::Dataset& dataset) {
  weft::Restarts restarts{context.get<int>("restarts"), context.get<double>("restart_lr_factor"), 0.0};
  const weft::Json given = context.configuration().value("restart_accuracy", weft::Json());
  if (restarts.most > 0)
    restarts.accuracy = given.is_null() ? accuracy_of_one_class(dataset.validation()) : given.get<double>();
  return restarts;
}

// Whether the learning rate would be another in a longer training.
bool depends_on_length(const weft::Recipe& recipe) {
  if (recipe.schedule_epochs > 0) return false;
  weft::Recipe longer = recipe;
  longer.schedule_epochs = recipe.epochs + 1;
  for (int epoch = 0; epoch < recipe.epochs; ++epoch) {
    if (longer.learning_rate(epoch) != recipe.learning_rate(epoch)) return true;
  }
  return false;
}

class Train final : public weft::Evaluator {
 public:
  explicit Train(const weft::Context& context)
      : arguments_(context.configuration()),
        ingredients_(context.ingredients()),
        use_validation_(context.get<bool>("use_validation")),
        data_fraction_(context.get<double>("data_fraction")),
        best_of_last_(context.get<std::size_t>("best_of_last")),
        measure_training_(context.get<bool>("measure_training")),
        final_(context.final_phase()),
        space_(context.space()),
        dataset_(weft::dataset(context)),
        restarts_(restarts_of(context, dataset_)),
        device_(weft::claim_device()),
        log_(context.log()) {
    for (const char* name : {"use_validation", "data_fraction", "best_of_last", "measure_training", "restarts",
                             "restart_lr_factor", "restart_accuracy"})
      arguments_.erase(name);
    // Of every trial: better found out before the first.
    if (final_) dataset_.test();
    weft::check(weft::Recipe::from_json(arguments_, ingredients_), training_data({}).train.size(), device_);
    weft::check(weft::sampled_recipe(arguments_, space_, ingredients_), training_data({}).train.size(), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    const weft::TrainingData data = training_data(request.fidelity);
    weft::TrainingTrial trial{.recipe = weft::recipe_of(arguments_, candidate, request.fidelity, ingredients_),
                              .device = device_,
                              .best_of_last = best_of_last_,
                              .restarts = restarts_,
                              .log = log_};
    trial.train = [&](weft::Network& network, const weft::Recipe& recipe, weft::Rng rng,
                      const weft::TrainingOptions& options) {
      return weft::train(network, data, recipe, rng, options);
    };
    trial.examples = [&](std::int64_t most) {
      const weft::Split some = weft::first_examples(data.train, std::min(most, data.train.size()));
      return weft::Batches(some, data.normalisation, device_).plain(0, some.size()).images;
    };
    if (measure_training_) {
      trial.measure_training = [&](weft::Network& network) {
        return weft::evaluate(network, {data.train, data.normalisation, device_}, trial.recipe.batch_size);
      };
    }
    if (final_) {
      trial.test = [&](weft::Network& network) {
        return weft::evaluate(network, {dataset_.test(), data.normalisation, device_}, trial.recipe.batch_size);
      };
    }
    warn_of_schedule(request, trial.recipe);
    return weft::evaluate(request, reporter, candidate, trial);
  }

 private:
  // Of a training in steps each of which has a whole schedule, which is hardly what was meant: once.
  void warn_of_schedule(const weft::EvaluationRequest& request, const weft::Recipe& recipe) {
    if (warned_ || !request.fidelity.resume_from || !depends_on_length(recipe)) return;
    warned_ = true;
    log_.warning("trial " + std::to_string(request.trial) + " goes on from trial " +
                 std::to_string(*request.fidelity.resume_from) + " under a schedule of its own " +
                 std::to_string(recipe.epochs) +
                 " epochs; let /schedule_epochs be those of the longest training, so that all of it has one");
  }

  weft::TrainingData training_data(const weft::Fidelity& fidelity) const {
    const weft::Normalisation normalisation{dataset_.mean(), dataset_.standard_deviation()};
    weft::TrainingData data{dataset_.train(), dataset_.validation(), normalisation};
    if (final_ && use_validation_) data = {weft::join(dataset_.train(), dataset_.validation()), {}, normalisation};
    data.train = weft::first_examples(data.train, weft::examples_of(data.train.size(), data_fraction_, fidelity));
    return data;
  }

  weft::Json arguments_;  // a training recipe
  weft::Ingredients ingredients_;
  bool use_validation_;
  double data_fraction_;
  std::size_t best_of_last_;
  bool measure_training_;
  bool final_;
  weft::SpaceRef space_;
  const weft::Dataset& dataset_;
  weft::Restarts restarts_;
  c10::Device device_;
  weft::Log log_;
  bool warned_ = false;
};

}  // namespace

WEFT_PLUGIN(weft::component<Train>("train"))
