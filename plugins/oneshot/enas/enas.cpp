// ENAS: shared weights learn from one sampled architecture per batch; then a controller learns which architectures do
// well with them.
//
// Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing", section 2.2; what the
// paper leaves open is as in the authors' published code (melodyguan/enas, src/cifar10), whose constants for the micro
// space are the defaults. The controller is controller.hpp, which says how it differs. Weights that an architecture
// does not have are left as they are, where the code decays them and lets their momentum run on; what is derived is
// ranked on all of the validation split, where the code takes one batch. Of a text the reward is c / perplexity, of a
// batch that is read without dropout and from an empty state (google-research, enas_lm).

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/precision.hpp"

namespace {

using enas::Controller;
using enas::Sample;

struct Options {
  int controller_steps;
  int controller_samples;
  int samples;
  double reward_scale;
  Controller::Options controller;

  explicit Options(const weft::Context& context)
      : controller_steps(context.get<int>("controller_steps")),
        controller_samples(context.get<int>("controller_samples")),
        samples(context.get<int>("samples")),
        reward_scale(context.get<double>("reward_scale")),
        controller{.policy = {.layers = context.get<int>("controller_layers"),
                              .units = context.get<int>("controller_units"),
                              .initial_range = context.get<double>("controller_range"),
                              .temperature = context.get<double>("temperature"),
                              .tanh_constant = context.get<double>("tanh_constant"),
                              .tanh_reduction = context.get<double>("tanh_reduction"),
                              // The code's is of a mean over layers, each a sum over its skips.
                              .skip_weight = context.get<double>("skip_weight") * enas::skips_per_step(context.space()),
                              .skip_rate = context.get<double>("skip_rate"),
                              .distance_weight = context.get<double>("distance_weight"),
                              .lr = 0.0},
                   .lr = context.get<double>("controller_lr"),
                   .betas = context.get<std::array<double, 2>>("controller_betas"),
                   .eps = context.get<double>("controller_eps"),
                   .entropy_weight = context.get<double>("entropy_weight"),
                   .baseline_decay = context.get<double>("baseline_decay")} {}
};

class AlternateTraining final : public weft::Guide {
 public:
  AlternateTraining(weft::OneShotSearch& search, weft::Network& network, const Options& options, const weft::Rng& rng)
      : search_(search),
        network_(network),
        options_(options),
        controller_(options.controller, search.space(), rng),
        batches_(search, as_they_are_) {
    network_.set_statistics(weft::Statistics::batch);
  }

  void begin_epoch(int epoch, const weft::Rng& rng) override {
    paths_ = rng.derive("paths");
    children_ = rng.derive("children");
    batches_.begin(rng.derive("batches"), search_.recipe().progress(epoch - 1));
  }

  // The weights' phase: each batch has an architecture of its own.
  std::vector<weft::Pass> passes(const weft::Step&) override { return {{.gates = gates(controller_.sample(paths_))}}; }

  // The controller's phase.
  void end_epoch(int) override {
    double score = 0.0, entropy = 0.0;
    for (int step = 0; step < options_.controller_steps; ++step) {
      std::vector<Sample> samples;
      for (int i = 0; i < options_.controller_samples; ++i) {
        samples.push_back({controller_.sample(children_)});
        samples.back().score = score_of(samples.back().episode);
        score += samples.back().score;
      }
      entropy += controller_.learn(samples);
      best_ = std::max_element(samples.begin(), samples.end(), [](const Sample& one, const Sample& other) {
                return one.score < other.score;
              })->episode.genotype();
    }
    score /= options_.controller_steps * options_.controller_samples;
    report_ = {{is_text() ? "controller_reward" : "controller_accuracy", is_text() ? score : 100.0 * score},
               {"controller_entropy", entropy / options_.controller_steps},
               {"baseline", controller_.baseline()}};
    network_.choose(weft::gates_of(search_.space().path(best_)));
  }

  // The architecture is the best of the controller's last step, and so is what the epoch is validated with.
  weft::Json report() override {
    weft::Json report = search_.describe(best_);
    report.update(report_);
    return report;
  }

  weft::NamedTensors state() override { return controller_.state(); }

  // Those that the controller now samples, each once, ranked by what the shared weights say of them.
  std::vector<weft::Derived> derive(weft::Rng rng) {
    std::set<std::string> known;
    std::vector<weft::Derived> derived;
    for (int i = 0; i < options_.samples; ++i) {
      const weft::Genotype genotype = controller_.sample(rng).genotype();
      if (known.insert(genotype.key()).second) derived.push_back(search_.derived(network_, genotype));
    }
    const auto better = [&](const weft::Derived& one, const weft::Derived& other) {
      const auto value = [](const weft::Derived& of, const char* name) { return of.metrics.at(name).get<double>(); };
      const double gain = is_text() ? 0.0 : value(one, "one_shot_accuracy") - value(other, "one_shot_accuracy");
      return gain != 0.0 ? gain > 0.0 : value(one, "one_shot_loss") < value(other, "one_shot_loss");
    };
    std::stable_sort(derived.begin(), derived.end(), better);
    return derived;
  }

 private:
  weft::Gates gates(const weft::controllers::Episode& episode) const {
    return weft::gates_of(search_.space().path(episode.genotype()));
  }

  bool is_text() const { return search_.structure_text() != nullptr; }

  // Of the next batch of the structure's part of the data. Images: in training mode as the weights know it, so that
  // batch norms normalise by that batch, and dropout is on.
  double score_of(const weft::controllers::Episode& episode) {
    const at::NoGradGuard no_grad;
    const weft::Autocast autocast(search_.recipe().mixed_precision, search_.device());
    const weft::Batch batch = batches_.next();
    network_.choose(gates(episode));
    if (is_text()) return reward_of_text(batch);
    const at::Tensor answers = network_.forward(batch.images).logits.argmax(-1);
    return answers.eq(batch.labels).to(at::kDouble).mean().item<double>();
  }

  double reward_of_text(const weft::Batch& batch) {
    const weft::MemoryHeld held(network_);
    network_.set_carried({});
    network_.eval();
    const double loss = weft::cross_entropy(network_.forward(batch.images).logits, batch).item<double>();
    network_.train();
    return std::isfinite(loss) ? options_.reward_scale / std::exp(loss) : 0.0;
  }

  weft::OneShotSearch& search_;
  weft::Network& network_;
  Options options_;
  Controller controller_;
  const weft::Augmentations as_they_are_;
  weft::EndlessBatches batches_;
  weft::Rng paths_{0}, children_{0};
  weft::Genotype best_;  // of the controller's last step
  weft::Json report_;
};

class Enas final : public weft::OneShot {
 public:
  explicit Enas(const weft::Context& context)
      : options_(context),
        search_(context, {"controller_steps", "controller_samples", "controller_layers", "controller_units",
                          "controller_range", "controller_lr", "controller_betas", "controller_eps", "temperature",
                          "tanh_constant", "tanh_reduction", "distance_weight", "reward_scale", "entropy_weight",
                          "baseline_decay", "skip_weight", "skip_rate", "samples"}) {
    search_.expect_memory_of_one();
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    AlternateTraining guide(search_, network, options_, request.rng.derive("controller"));
    return search_.train(request, reporter, network, guide,
                         [&] { return guide.derive(request.rng.derive("derived")); });
  }

 private:
  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Enas>("enas"))
