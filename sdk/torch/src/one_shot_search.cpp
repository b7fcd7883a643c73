#include "weft/torch/one_shot_search.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "weft/torch/splits.hpp"
#include "weft/torch/training_trial.hpp"

namespace weft {
namespace {

SpaceRef with_supernet(const SpaceRef& space) {
  if (!space.has_supernet())
    throw InvalidInput("the space has no supernet (space.supernet), of which a one-shot search trains the weights");
  return space;
}

Json without(Json arguments, std::initializer_list<const char*> own) {
  for (const char* name : own) arguments.erase(name);
  for (const char* name : {"structure_share", "data_fraction", "validation_examples", "calibration_batches"})
    arguments.erase(name);
  return arguments;
}

Split last_examples(const Split& split, std::int64_t count) {
  const std::int64_t first = split.size() - count;
  return {split.images.slice(0, first), split.labels.slice(0, first)};
}

Normalisation normalisation_of(const Dataset& dataset) { return {dataset.mean(), dataset.standard_deviation()}; }

std::int64_t structure_examples(const Context& context, std::int64_t examples) {
  return static_cast<std::int64_t>(
      std::llround(context.get<double>("structure_share") * static_cast<double>(examples)));
}

Split used(const Context& context) {
  const Split& all = dataset(context).train();
  return first_examples(all, examples_of(all.size(), context.get<double>("data_fraction"), {}));
}

TrainingData weights_data(const Context& context) {
  const Dataset& all = dataset(context);
  const Split train = used(context);
  return {first_examples(train, train.size() - structure_examples(context, train.size())), validation_examples(context),
          normalisation_of(all)};
}

Split structure_data(const Context& context) {
  const Split train = used(context);
  const std::int64_t count = structure_examples(context, train.size());
  return count > 0 ? last_examples(train, count) : dataset(context).validation();
}

// ---- of a text ----------------------------------------------------------------------------------------------------

at::Tensor used_tokens(const Context& context) {
  const at::Tensor& all = text_dataset(context).train();
  return all.narrow(0, 0, examples_of(all.numel(), context.get<double>("data_fraction"), {}));
}

TextData weights_text(const Context& context, const Recipe& recipe) {
  const at::Tensor train = used_tokens(context), validation = validation_tokens(context);
  const std::int64_t positions = text_dataset(context).task().input.height;
  return {.train = train.narrow(0, 0, train.numel() - structure_examples(context, train.numel())),
          .validation = validation,
          .positions = positions,
          .reading = TextReading::batched,
          .least_streams = validation_streams(validation, positions, recipe.batch_size)};
}

at::Tensor structure_tokens(const Context& context) {
  const at::Tensor train = used_tokens(context);
  const std::int64_t count = structure_examples(context, train.numel());
  return count > 0 ? train.narrow(0, train.numel() - count, count) : text_dataset(context).validation();
}

void expect_tokens(const at::Tensor& tokens, const Recipe& recipe, std::int64_t positions, const std::string& what,
                   const std::string& remedy) {
  const std::int64_t least = recipe.batch_size * positions + 1;
  if (tokens.numel() >= least) return;
  throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) + "; so many sequences of " +
                     std::to_string(positions) + " positions side by side need " + std::to_string(least) +
                     " tokens, but " + what + " has " + std::to_string(tokens.numel()) + "; " + remedy);
}

// Beside each loss its perplexity.
Json with_perplexity(Json report) {
  for (const std::string split : {"train", "validation", "one_shot"}) {
    const auto loss = report.find(split + "_loss");
    if (loss != report.end()) report[split + "_perplexity"] = perplexity(loss->get<double>());
  }
  return report;
}

Judge whole_judge(const Context& context, c10::Device device) {
  if (const TextDataset* text = find_text_dataset(context)) return {context, text->validation(), device};
  return {context, dataset(context).validation(), device};
}

// -------------------------------------------------------------------------------------------------------------------

void expect_batch(const Split& split, const Recipe& recipe, const std::string& what, const std::string& remedy) {
  if (split.size() >= recipe.batch_size) return;
  throw InvalidInput("/batch_size is " + std::to_string(recipe.batch_size) + ", but " + what + " has " +
                     std::to_string(split.size()) + " examples; " + remedy);
}

// Bytes that can be had; nothing where that is not known.
std::optional<double> memory_of(c10::Device device) {
  if (!device.is_cpu()) return {};  // a card says so itself, and at once
  std::ifstream limit("/sys/fs/cgroup/memory.max"), machine("/proc/meminfo");
  std::optional<double> bytes;
  double most = 0.0;
  if (limit >> most) bytes = most;
  for (std::string name; machine >> name;) {
    if (name != "MemAvailable:") continue;
    double available = 0.0;
    machine >> available;
    bytes = std::min(bytes.value_or(1024.0 * available), 1024.0 * available);
  }
  return bytes;
}

bool hands_on(const std::string& option) {
  return option.find("skip") != std::string::npos || option.find("identity") != std::string::npos;
}

}  // namespace

// ---- batches ------------------------------------------------------------------------------------------------------

EndlessBatches::EndlessBatches(const Batches& batches, std::int64_t batch_size, const Augmentations& augmentation)
    : batches_(&batches), batch_size_(batch_size), augmentation_(augmentation) {}

EndlessBatches::EndlessBatches(const OneShotSearch& search, const Augmentations& augmentation)
    : batches_(search.structure_text() == nullptr ? &search.structure_batches() : nullptr),
      text_(search.structure_text()),
      batch_size_(search.recipe().batch_size),
      augmentation_(augmentation) {}

void EndlessBatches::begin(const Rng& rng, double progress) {
  rng_ = rng;
  progress_ = progress;
  round_ = 0;
  epoch_.reset();
  if (text_ == nullptr) return;
  memory_.clear();
  at_ = rng_.derive("first").below(static_cast<std::size_t>(text_->size()));
}

Batch EndlessBatches::next() {
  if (text_ != nullptr) {
    if (at_ == static_cast<std::size_t>(text_->size())) {
      memory_.clear();
      at_ = 0;
    }
    return text_->batch(static_cast<std::int64_t>(at_++));
  }
  if (!epoch_ || at_ == epoch_->size()) {
    epoch_.emplace(*batches_, batch_size_, augmentation_, rng_.derive("round", round_++), progress_);
    at_ = 0;
  }
  return epoch_->batch(at_++);
}

WeightsHeld::WeightsHeld(Network& network) {
  for (at::Tensor& parameter : network.parameters()) {
    if (!parameter.requires_grad()) continue;
    held_.push_back(parameter);
    parameter.set_requires_grad(false);
  }
}

WeightsHeld::~WeightsHeld() {
  for (at::Tensor& parameter : held_) parameter.set_requires_grad(true);
}

MemoryHeld::MemoryHeld(Network& network) : network_(network), before_(network.carried()) {}

MemoryHeld::MemoryHeld(Network& network, EndlessBatches& batches) : MemoryHeld(network) {
  batches_ = &batches;
  network_.set_carried(batches.memory_);
}

MemoryHeld::~MemoryHeld() {
  if (batches_ != nullptr) batches_->memory_ = network_.carried();
  network_.set_carried(before_);
}

// ---- the search ---------------------------------------------------------------------------------------------------

OneShotSearch::OneShotSearch(const Context& context, std::initializer_list<const char*> own)
    : OneShotSearch(context, own, with_supernet(context.space()).supernet()) {
  if (choices_.empty()) throw InvalidInput("the space's supernet has no choice: there is nothing to search");
}

OneShotSearch::OneShotSearch(const Context& context, std::initializer_list<const char*> own, Architecture network)
    : space_(context.space()),
      supernet_(std::move(network)),
      choices_(choices_of(supernet_)),
      arguments_(without(context.configuration(), own)),
      recipe_(Recipe::from_json(arguments_, context.ingredients())),
      device_(claim_device()),
      judge_(whole_judge(context, device_)),
      log_(context.log()) {
  if (find_text_dataset(context) != nullptr) {
    if (!recipe_.augmentation.others.empty())
      throw InvalidInput("/augmentation: a text is not augmented; leave it empty");
    text_ = weights_text(context, recipe_);
    const at::Tensor structure = structure_tokens(context);
    expect_tokens(text_->train, recipe_, text_->positions, "what structure_share leaves for the weights",
                  "take a smaller batch_size or structure_share, or a larger data_fraction");
    expect_tokens(structure, recipe_, text_->positions, "the part of the text for the structure",
                  "take a smaller batch_size, a larger structure_share or data_fraction");
    structure_text_.emplace(structure, recipe_.batch_size, text_->positions, device_);
    return;
  }
  images_ = weights_data(context);
  structure_.emplace(structure_data(context), images_->normalisation, device_);
  expect_batch(images_->train, recipe_, "what structure_share leaves for the weights",
               "take a smaller batch_size or structure_share, or a larger data_fraction");
  expect_batch(structure_data(context), recipe_, "the part of the data for the structure",
               "take a smaller batch_size, a larger structure_share or data_fraction");
}

const Batches& OneShotSearch::structure_batches() const {
  if (!structure_) throw Error("the data set is one of text: it has no batches of images");
  return *structure_;
}

void OneShotSearch::expect_memory(const Architecture& active) const {
  const std::optional<double> available = memory_of(device_);
  if (!available) return;
  // Weights, their gradients and what the update rule keeps; and what each layer keeps of a batch, once more on the way
  // back.
  const Cost all = supernet_.cost(), computed = active.cost();
  const double fixed = (2.0 + static_cast<double>(recipe_.update_rule->memory().size())) * sizeof(float) *
                       static_cast<double>(all.parameters);
  const double per_example = static_cast<double>(computed.activation_bytes);
  const double needed = fixed + per_example * static_cast<double>(recipe_.batch_size);
  if (needed <= *available) return;
  const double fits = std::floor((*available - fixed) / per_example);
  const auto gibibytes = [](double bytes) {
    return Json(std::round(bytes / (1 << 20) / 1.024) / 1000.0).dump() + " GiB";
  };
  throw InvalidInput("/batch_size is " + std::to_string(recipe_.batch_size) +
                     "; training the supernet is estimated to take " + gibibytes(needed) + " of " +
                     gibibytes(*available) + " on " + device_.str() + "; " +
                     (fits >= 1.0 ? "a batch_size of " + std::to_string(static_cast<std::int64_t>(fits)) + " would fit"
                                  : "not even one example would fit: make the space's networks smaller"));
}

void OneShotSearch::expect_memory_of_one() const {
  Rng rng(0);
  const auto draw = [&] { return restricted(supernet_, space_.path(space_.sample(rng))); };
  Architecture largest = draw();
  for (int others = 15; others > 0; --others) {
    Architecture one = draw();
    if (one.cost().activation_bytes > largest.cost().activation_bytes) largest = std::move(one);
  }
  expect_memory(largest);
}

OneShotResult OneShotSearch::train(const EvaluationRequest& request, const Reporter& reporter, Network& network,
                                   Guide& guide, const std::function<std::vector<Derived>()>& derive) const {
  if (recipe_.initialisation) initialise(network, *recipe_.initialisation, request.rng.derive("weights"));
  network.to(device_);
  if (text_) network.set_statistics(Statistics::batch);  // as a Judge says
  TrainingOptions options{.folder = request.folder,
                          .report =
                              [&](const Json& report) {
                                Json told = report;
                                told["epochs"] = recipe_.epochs;
                                return reporter.report(text_ ? with_perplexity(told) : told);
                              },
                          .repeats_last = request.folder && !checkpointed_curve(*request.folder).empty(),
                          .device = device_,
                          .guide = &guide};
  const Rng rng = request.rng.derive("training");
  const TrainingResult training = text_ ? weft::train(network, *text_, recipe_, rng, options)
                                        : weft::train(network, *images_, recipe_, rng, options);
  OneShotResult result;
  result.state = training.state;
  if (training.state == TrialState::paused) return result;
  if (request.folder) save_weights(network, *request.folder / "supernet.pt");
  const TrainedEpoch& last = training.curve.back();
  result.metrics = {{"epochs", last.epoch},
                    {"train_loss", last.train.loss},
                    {"train_accuracy", last.train.accuracy},
                    {"supernet_parameters", supernet_.cost().parameters}};
  if (text_) result.metrics = with_perplexity(result.metrics);
  result.derived = derive();
  return result;
}

Derived OneShotSearch::derived(Network& network, const Genotype& genotype) const {
  const Score score = judge(network, genotype);
  const Json metrics = {{"one_shot_accuracy", score.accuracy}, {"one_shot_loss", score.loss}};
  return {genotype, text_ ? with_perplexity(metrics) : metrics};
}

Json OneShotSearch::describe(const Genotype& genotype) {
  std::size_t skips = 0, operations = 0;
  const SupernetPath path = space_.path(genotype);
  for (const SupernetChoice& choice : choices_) {
    for (const int option : path.at(choice.decision)) {
      const std::string& name = choice.options[static_cast<std::size_t>(option)];
      if (name == "none") continue;
      ++operations;
      if (hands_on(name)) ++skips;
    }
  }
  if (2 * skips > operations && !warned_) {
    warned_ = true;
    log_.warning(
        std::to_string(skips) + " of " + std::to_string(operations) +
        " operations of the present architecture are skip connections: the search collapses, as is known of it; "
        "fewer epochs, or a smaller rate for the structure, may help");
  }
  return {{"architecture", space_.notation(genotype)}, {"skips", skips}};
}

}  // namespace weft
