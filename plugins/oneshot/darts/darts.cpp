// DARTS: every option of a supernet is computed and weighted by a softmax of structure parameters, which descend the
// validation loss in turn with the weights, which descend the training loss.
//
// Liu, Simonyan, Yang 2019, "DARTS: Differentiable Architecture Search", Algorithm 1; what the paper leaves open is as
// in the authors' code (quark0/darts, cnn/architect.py and train_search.py): the structure's step comes first; at
// order 2 the weights' virtual step has their momentum and weight decay, at their present rate. Texts are as in its
// rnn/architect.py and train_search.py: both parts are read in their order, each with a state of its own, and at order
// 2 gradients are clipped as the weights' are; every sequence has the data set's length, where the code halves one in
// twenty.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "unrolled.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/structure.hpp"

namespace {

using weft::StructureParameters;

struct Options {
  int order;
  double epsilon;
  StructureParameters::Softmax softmax;
  double deviation;
  double lr;
  std::array<double, 2> betas;
  double weight_decay;

  explicit Options(const weft::Context& context)
      : order(context.get<int>("order")),
        epsilon(context.get<double>("epsilon")),
        softmax(context.get<std::string>("softmax") == "per_target" ? StructureParameters::Softmax::per_target
                                                                    : StructureParameters::Softmax::per_decision),
        deviation(context.get<double>("structure_deviation")),
        lr(context.get<double>("structure_lr")),
        betas(context.get<std::array<double, 2>>("structure_betas")),
        weight_decay(context.get<double>("structure_weight_decay")) {}
};

class Bilevel final : public weft::Guide {
 public:
  Bilevel(weft::OneShotSearch& search, weft::Network& network, const Options& options, const weft::Rng& rng)
      : search_(search),
        network_(network),
        options_(options),
        structure_(search.choices(),
                   {.deviation = options.deviation, .softmax = options.softmax, .device = search.device()}, rng),
        rule_(structure_.logits(), weft::adam(options.lr, options.betas, options.weight_decay)),
        batches_(search, search.recipe().augmentation) {}

  void begin(const weft::Updates& weights) override { weights_ = &weights; }
  void begin_epoch(int epoch, const weft::Rng& rng) override {
    batches_.begin(rng, search_.recipe().progress(epoch - 1));
  }

  void before_step(const weft::Step& step) override {
    const weft::Batch batch = batches_.next();
    progress_ = step.pace.progress;
    if (options_.order == 1) {
      const weft::WeightsHeld held(network_);
      rule_.zero_grad();
      descend_structure(batch);
    } else {
      descend_unrolled(step, batch);
    }
    rule_.step(options_.lr);
  }

  // The weights' step: the structure is taken as it is.
  std::vector<weft::Pass> passes(const weft::Step&) override {
    const at::NoGradGuard no_grad;
    return {{.gates = structure_.gates()}};
  }

  void end_epoch(int) override {
    const at::NoGradGuard no_grad;
    network_.choose(structure_.gates());
  }

  weft::Json report() override {
    weft::Json report = search_.describe(architecture());
    report["entropy"] = structure_.entropy();
    return report;
  }

  weft::NamedTensors state() override { return rule_.state(); }

  weft::Genotype architecture() const { return search_.space().derive(structure_.weights()); }

 private:
  void descend(const weft::Batch& batch) {
    network_.choose(structure_.gates());
    const weft::Network::Output output = network_.forward(batch.images);
    weft::training_loss({network_, batch, output, progress_}, search_.recipe().losses).backward();
  }

  // A text's state goes on where that of its part ended.
  void descend_structure(const weft::Batch& batch) {
    const weft::MemoryHeld held(network_, batches_);
    descend(batch);
  }

  // The weights' own step is still to come, from the same state.
  void descend_ahead(const weft::Batch& batch) {
    const weft::MemoryHeld held(network_);
    descend(batch);
  }

  void descend_unrolled(const weft::Step& step, const weft::Batch& batch) {
    const weft::Recipe& recipe = search_.recipe();
    darts::Bilevel problem{.weights = weights_->state().at("parameters"),
                           .gradients = weights_->gradients(),
                           .structure = structure_.logits(),
                           .descend_training = [&] { descend_ahead(step.batch); },
                           .descend_validation = [&] { descend_structure(batch); },
                           .descend_training_in_structure =
                               [&] {
                                 const weft::WeightsHeld held(network_);
                                 descend_ahead(step.batch);
                               }};
    darts::WeightStep next{.lr = step.pace.lr, .weight_decay = recipe.weight_decay};
    if (search_.structure_text() != nullptr) next.gradient_clip = recipe.gradient_clip;
    if (recipe.update_rule->momentum() > 0.0) {
      next.momentum = recipe.update_rule->momentum();
      next.velocity = weights_->state().at("momentum");
    }
    const std::vector<at::Tensor> gradients = darts::unrolled_gradient(problem, next, options_.epsilon);
    for (std::size_t i = 0; i < gradients.size(); ++i) structure_.logits()[i].mutable_grad().copy_(gradients[i]);
  }

  weft::OneShotSearch& search_;
  weft::Network& network_;
  Options options_;
  StructureParameters structure_;
  weft::Updates rule_;  // of the structure
  weft::EndlessBatches batches_;
  const weft::Updates* weights_ = nullptr;
  double progress_ = 0.0;  // of the training, at this step
};

class Darts final : public weft::OneShot {
 public:
  explicit Darts(const weft::Context& context)
      : options_(context),
        search_(context, {"order", "epsilon", "softmax", "structure_deviation", "structure_lr", "structure_betas",
                          "structure_weight_decay"}) {
    search_.expect_memory(search_.supernet());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    Bilevel guide(search_, network, options_, request.rng.derive("structure"));
    return search_.train(request, reporter, network, guide,
                         [&] { return std::vector{search_.derived(network, guide.architecture())}; });
  }

 private:
  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Darts>("darts"))
