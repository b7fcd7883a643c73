// Trains the candidate as a language model and measures how well it predicts a held-out text, as perplexity: e to the
// mean cross-entropy of the next token.
//
// The text is read in order, `batch_size` streams of it side by side, by truncated back-propagation through time:
// states go on from sequence to sequence, gradients do not (Mikolov et al. 2010; Zaremba et al. 2014, "Recurrent Neural
// Network Regularization"). Perplexity is that of one stream whose state is carried from its first token to its last,
// as published ones are; evaluation "batched" cuts it into up to 32, which is faster and higher. Dropout and its
// variants are operations of the architecture. In a search the network is trained on the train split and measured on
// the validation split; in the final phase, trained on both (or on train alone, use_validation), it is measured on the
// test split once, at the end.

#include <ATen/ATen.h>

#include <cmath>
#include <string>

#include "weft/plugin.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/text.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

// Beside each loss its perplexity.
weft::Json with_perplexity(weft::Json report) {
  for (const std::string split : {"train", "validation", "test"}) {
    const auto loss = report.find(split + "_loss");
    if (loss != report.end()) report[split + "_perplexity"] = std::exp(loss->get<double>());
  }
  return report;
}

class LanguageModel final : public weft::Evaluator {
 public:
  explicit LanguageModel(const weft::Context& context)
      : arguments_(context.configuration()),
        ingredients_(context.ingredients()),
        use_validation_(context.get<bool>("use_validation")),
        data_fraction_(context.get<double>("data_fraction")),
        sum_over_positions_(context.get<std::string>("position_losses") == "sum"),
        reading_(context.get<std::string>("evaluation") == "stream" ? weft::TextReading::stream
                                                                    : weft::TextReading::batched),
        final_(context.final_phase()),
        space_(context.space()),
        text_(weft::text_dataset(context)),
        device_(weft::claim_device()) {
    for (const char* name : {"use_validation", "data_fraction", "position_losses", "evaluation"})
      arguments_.erase(name);
    // Members of a recipe that are about images.
    arguments_.update({{"crop_padding", 0}, {"flip", false}, {"cutout", 0}, {"augmentation", weft::Json::array()}});
    // Of every trial: better found out before the first.
    if (final_) text_.test();
    weft::check(weft::Recipe::from_json(arguments_, ingredients_), training_data({}), device_);
    weft::check(weft::sampled_recipe(arguments_, space_, ingredients_), training_data({}), device_);
  }

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    const weft::Candidate candidate = space_.decode(request.genotype);
    const weft::TextData data = training_data(request.fidelity);
    weft::TrainingTrial trial{.recipe = weft::recipe_of(arguments_, candidate, request.fidelity, ingredients_),
                              .device = device_,
                              .completed = with_perplexity};
    trial.train = [&](weft::Network& network, const weft::Recipe& recipe, weft::Rng rng,
                      const weft::TrainingOptions& options) {
      return weft::train(network, data, recipe, rng, options);
    };
    if (final_) {
      trial.test = [&](weft::Network& network) {
        return weft::evaluate(network, text_.test(), data, device_, trial.recipe.batch_size);
      };
    }
    return weft::evaluate(request, reporter, candidate, trial);
  }

 private:
  weft::TextData training_data(const weft::Fidelity& fidelity) const {
    weft::TextData data{text_.train(), text_.validation(), text_.task().input.height, sum_over_positions_, reading_};
    if (final_ && use_validation_) {
      data.train = at::cat({text_.train(), text_.validation()});
      data.validation = at::Tensor();
    }
    data.train = data.train.narrow(0, 0, weft::examples_of(data.train.numel(), data_fraction_, fidelity));
    return data;
  }

  weft::Json arguments_;  // a training recipe
  weft::Ingredients ingredients_;
  bool use_validation_;
  double data_fraction_;
  bool sum_over_positions_;
  weft::TextReading reading_;
  bool final_;
  weft::SpaceRef space_;
  const weft::TextDataset& text_;
  c10::Device device_;
};

}  // namespace

WEFT_PLUGIN(weft::component<LanguageModel>("language_model"))
