// Trains the candidate from scratch and measures it on held-out examples: the plain answer to "how good is it?".
//
// In a search: trained on the train split, measured on the validation split. In the final phase: trained on both (or on
// train alone, use_validation), measured on the test split, once, at the end.

#include <algorithm>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

class Train final : public weft::Evaluator {
 public:
  explicit Train(const weft::Context& context)
      : arguments_(context.configuration()),
        use_validation_(context.get<bool>("use_validation")),
        data_fraction_(context.get<double>("data_fraction")),
        best_of_last_(context.get<std::size_t>("best_of_last")),
        final_(context.final_phase()),
        space_(context.space()),
        dataset_(weft::dataset(context)),
        device_(weft::claim_device()) {
    for (const char* name : {"use_validation", "data_fraction", "best_of_last"}) arguments_.erase(name);
    // Of every trial: better found out before the first.
    if (final_) dataset_.test();
    weft::check(weft::Recipe::from_json(arguments_), training_data({}).train.size(), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    const weft::Recipe recipe = weft::recipe_of(arguments_, candidate, request.fidelity);
    weft::Network network(candidate.architecture, request.rng.derive("weights"));
    network.to(device_);
    weft::adopt_checkpoint(request);
    const weft::TrainingData data = training_data(request.fidelity);
    const weft::TrainingResult training =
        weft::train(network, data, recipe, request.rng.derive("training"),
                    {.folder = request.folder,
                     .report = [&](const weft::Json& report) { return reporter.report(report); },
                     .device = device_});

    std::vector<weft::Json> curve;
    for (const weft::TrainedEpoch& epoch : training.curve) curve.push_back(epoch.to_json());
    weft::Evaluation evaluation{training.state, weft::metrics_of(curve, candidate.architecture)};
    if (training.state == weft::TrialState::complete) network.condense();
    if (training.curve.back().validation) evaluation.metrics["validation_accuracy"] = best_accuracy(training.curve);
    if (final_ && training.state == weft::TrialState::complete) {
      const weft::Score score =
          weft::evaluate(network, {dataset_.test(), data.normalisation, device_}, recipe.batch_size);
      evaluation.metrics["test_accuracy"] = score.accuracy;
      evaluation.metrics["test_loss"] = score.loss;
    }
    if (request.folder) weft::leave_files(*request.folder, network, curve, training.state);
    return evaluation;
  }

 private:
  weft::TrainingData training_data(const weft::Fidelity& fidelity) const {
    const weft::Normalisation normalisation{dataset_.mean(), dataset_.standard_deviation()};
    weft::TrainingData data{dataset_.train(), dataset_.validation(), normalisation};
    if (final_ && use_validation_) data = {weft::join(dataset_.train(), dataset_.validation()), {}, normalisation};
    data.train = weft::first_examples(data.train, weft::examples_of(data.train.size(), data_fraction_, fidelity));
    return data;
  }

  double best_accuracy(const std::vector<weft::TrainedEpoch>& curve) const {
    double best = 0.0;
    for (std::size_t i = curve.size() - std::min(best_of_last_, curve.size()); i < curve.size(); ++i) {
      best = std::max(best, curve[i].validation->accuracy);
    }
    return best;
  }

  weft::Json arguments_;  // a training recipe
  bool use_validation_;
  double data_fraction_;
  std::size_t best_of_last_;
  bool final_;
  weft::SpaceRef space_;
  const weft::Dataset& dataset_;
  c10::Device device_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Train>("train"))
