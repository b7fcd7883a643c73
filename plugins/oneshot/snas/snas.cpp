// SNAS: one relaxed sample of all decisions per step, the closer to a single option the longer the search; structure
// and weights descend the same training loss.
//
// Xie, Zheng, Liu, Lin 2019, "SNAS: Stochastic Neural Architecture Search"; what the paper leaves open is as in the
// authors' code (SNAS-Series): the logits begin around 1; the resource term takes the sample, not its expectation, and
// is, where it is linear, .43 (2 parameters + multiply-adds / 4000 + memory access / 100).
//
// Where it differs: the paper keeps every edge of a cell with its most probable operation, `none` among them. Here the
// space derives the genotype from the probabilities. That is the paper's where a genotype has all edges, as those of
// nas_bench_201; those of darts have two per node, which are chosen by DARTS's rule. The logarithm in the resource term
// is that of the whole supernet's cost. Paths are dropped where the supernet says so: that of darts does not.

#include <ATen/ATen.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "concrete.hpp"
#include "resource.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/structure.hpp"

namespace {

using snas::Resource;
using weft::StructureParameters;

// Of the logits at the start. Softmax does not see it, weight decay does.
constexpr double initial_mean = 1.0;

struct Options {
  double temperature_start, temperature_end;
  int temperature_epochs;
  double deviation;
  double lr;
  std::array<double, 2> betas;
  double weight_decay;
  std::string resource;
  double resource_weight;
  Resource::Weights resource_weights;

  explicit Options(const weft::Context& context)
      : temperature_start(context.get<double>("temperature_start")),
        temperature_end(context.get<double>("temperature_end")),
        temperature_epochs(context.get<int>("temperature_epochs")),
        deviation(context.get<double>("structure_deviation")),
        lr(context.get<double>("structure_lr")),
        betas(context.get<std::array<double, 2>>("structure_betas")),
        weight_decay(context.get<double>("structure_weight_decay")),
        resource(context.get<std::string>("resource")),
        resource_weight(context.get<double>("resource_weight")),
        resource_weights{.parameters = context.get<double>("resource_per_parameter"),
                         .multiply_adds = context.get<double>("resource_per_multiply_add"),
                         .activation_bytes = context.get<double>("resource_per_activation_byte")} {
    if (temperature_end > temperature_start) {
      throw weft::InvalidInput("/temperature_end is " + weft::Json(temperature_end).dump() +
                               "; must not exceed temperature_start, " + weft::Json(temperature_start).dump());
    }
  }
};

class Stochastic final : public weft::Guide {
 public:
  Stochastic(weft::OneShotSearch& search, weft::Network& network, const Options& options, const weft::Rng& rng)
      : search_(search),
        network_(network),
        options_(options),
        annealing_{options.temperature_start, options.temperature_end,
                   options.temperature_epochs > 0 ? options.temperature_epochs : search.recipe().epochs},
        structure_(search.choices(), {.deviation = options.deviation, .device = search.device()}, rng),
        rule_(around_initial_mean(structure_.logits()), weft::adam(options.lr, options.betas, options.weight_decay)) {
    if (options.resource == "none") return;
    resource_.emplace(options.resource == "log" ? Resource::Form::log : Resource::Form::linear,
                      options.resource_weights, snas::option_costs(search.supernet()),
                      structure_.logits().front().options().requires_grad(false));
  }

  void begin_epoch(int epoch, const weft::Rng& rng) override {
    temperature_ = annealing_.at(epoch);
    rng_ = rng;
  }

  // Cells of a type share the sample, as they do the decision. The loss's gradient is added by the step itself.
  std::vector<weft::Pass> passes(const weft::Step&) override {
    rule_.zero_grad();
    const std::vector<at::Tensor> noise = snas::gumbel_noise(structure_.logits(), rng_);
    if (resource_) (options_.resource_weight * (*resource_)(sample(noise))).backward();
    return {{.gates = gates(sample(noise))}};
  }

  void after_step(const weft::Step&) override { rule_.step(options_.lr); }

  // Validated is one more sample: the statistics of batch norms are those of samples at this temperature.
  void end_epoch(int) override {
    const at::NoGradGuard no_grad;
    network_.choose(gates(sample(snas::gumbel_noise(structure_.logits(), rng_))));
  }

  weft::Json report() override {
    weft::Json report = search_.describe(architecture());
    report["entropy"] = structure_.entropy();
    report["temperature"] = temperature_;
    if (resource_) {
      const at::NoGradGuard no_grad;
      report["resource"] = (*resource_)(structure_.probabilities()).item<double>();
    }
    return report;
  }

  weft::NamedTensors state() override { return rule_.state(); }

  weft::Genotype architecture() const { return search_.space().derive(structure_.weights()); }

 private:
  static const std::vector<at::Tensor>& around_initial_mean(const std::vector<at::Tensor>& logits) {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& of_decision : logits) of_decision.add_(initial_mean);
    return logits;
  }

  // By choice, [options].
  std::vector<at::Tensor> sample(const std::vector<at::Tensor>& noise) const {
    std::vector<at::Tensor> sample;
    for (std::size_t i = 0; i < noise.size(); ++i)
      sample.push_back(snas::relaxed(structure_.logits()[i], noise[i], temperature_));
    return sample;
  }

  // Every option, weighted by the sample.
  weft::Gates gates(std::vector<at::Tensor> sample) const {
    weft::Gates gates = structure_.gates();
    for (std::size_t i = 0; i < sample.size(); ++i)
      gates.at(structure_.choices()[i].decision).weights = std::move(sample[i]);
    return gates;
  }

  weft::OneShotSearch& search_;
  weft::Network& network_;
  Options options_;
  snas::Annealing annealing_;
  StructureParameters structure_;
  weft::Updates rule_;  // of the structure
  std::optional<Resource> resource_;
  double temperature_ = 1.0;
  weft::Rng rng_{0};  // the epoch's
};

class Snas final : public weft::OneShot {
 public:
  explicit Snas(const weft::Context& context)
      : options_(context),
        search_(context, {"temperature_start", "temperature_end", "temperature_epochs", "structure_deviation",
                          "structure_lr", "structure_betas", "structure_weight_decay", "resource", "resource_weight",
                          "resource_per_parameter", "resource_per_multiply_add", "resource_per_activation_byte"}) {
    search_.expect_memory(search_.supernet());
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    Stochastic guide(search_, network, options_, request.rng.derive("structure"));
    return search_.train(request, reporter, network, guide,
                         [&] { return std::vector{search_.derived(network, guide.architecture())}; });
  }

 private:
  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Snas>("snas"))
