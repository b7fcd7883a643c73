// PARSEC: architectures are drawn from independent categoricals, and each is weighed by how likely it makes the labels;
// weights and categoricals follow the gradient of the evidence that these samples estimate.
//
// Casale, Gordon, Fusi 2019, "Probabilistic Neural Architecture Search": empirical Bayes by Monte Carlo. The weights
// learn from one part of the training data, the categoricals from the other, in turn. Samples are computed one after
// the other, so that it takes the memory of one architecture: first without gradients, for their weights.
//
// Where it differs: the paper draws for every node its inputs and their operations. Here the supernet's decisions are
// drawn, and the space derives the genotype from their probabilities: in that of darts every edge has an operation or
// `none`, and of each node the two most probable edges are kept. By default the likelihood is the mean over a batch's
// examples: by their product, the paper's, a single sample takes nearly all the weight.

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "evidence.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/precision.hpp"
#include "weft/torch/structure.hpp"

namespace {

using parsec::Sample;
using weft::StructureParameters;

struct Options {
  int samples;
  bool of_all;  // the likelihood is that of all examples of a batch together
  double temperature;
  double deviation;
  double lr;
  std::array<double, 2> betas;
  double weight_decay;

  explicit Options(const weft::Context& context)
      : samples(context.get<int>("samples")),
        of_all(context.get<std::string>("likelihood") == "sum"),
        temperature(context.get<double>("temperature")),
        deviation(context.get<double>("structure_deviation")),
        lr(context.get<double>("structure_lr")),
        betas(context.get<std::array<double, 2>>("structure_betas")),
        weight_decay(context.get<double>("structure_weight_decay")) {}
};

class EmpiricalBayes final : public weft::Guide {
 public:
  EmpiricalBayes(weft::OneShotSearch& search, weft::Network& network, const Options& options, const weft::Rng& rng)
      : search_(search),
        network_(network),
        options_(options),
        structure_(search.choices(), {.deviation = options.deviation, .device = search.device()}, rng),
        rule_(structure_.logits(), weft::adam(options.lr, options.betas, options.weight_decay)),
        batches_(search.structure_batches(), search.recipe().batch_size, search.recipe().augmentation) {
    // In reports: what batch norms keep is of all paths together.
    network_.set_statistics(weft::Statistics::batch);
  }

  void begin_epoch(int epoch, const weft::Rng& rng) override {
    batches_.begin(rng.derive("batches"), search_.recipe().progress(epoch - 1));
    rng_ = rng.derive("paths");
    effective_ = 0.0;
    steps_ = 0;
  }

  // The structure's step, up the log evidence.
  void before_step(const weft::Step&) override {
    const weft::OptionWeights prior = structure_.weights();
    const std::vector<Sample> samples = parsec::draw(prior, options_.samples, rng_);
    const std::vector<double> weights = posterior(samples, batches_.next());
    const weft::OptionWeights up = parsec::gradient(prior, samples, weights);
    for (std::size_t i = 0; i < structure_.choices().size(); ++i) {
      const at::Tensor& logits = structure_.logits()[i];
      logits.mutable_grad().copy_(-at::tensor(up.at(structure_.choices()[i].decision), at::kDouble));
    }
    rule_.step(options_.lr);
    effective_ += parsec::effective(samples, weights, options_.samples);
    ++steps_;
  }

  std::vector<weft::Pass> passes(const weft::Step& step) override {
    const std::vector<Sample> samples = parsec::draw(structure_.weights(), options_.samples, rng_);
    const std::vector<double> weights = posterior(samples, step.batch);
    std::vector<weft::Pass> passes;
    for (std::size_t k = 0; k < samples.size(); ++k)
      passes.push_back({.gates = weft::gates_of(samples[k].path), .weight = weights[k]});
    return passes;
  }

  void end_epoch(int) override { network_.choose(weft::gates_of(search_.space().path(architecture()))); }

  weft::Json report() override {
    weft::Json report = search_.describe(architecture());
    report["entropy"] = structure_.entropy();
    report["effective_samples"] = effective_ / steps_;
    return report;
  }

  weft::NamedTensors state() override { return rule_.state(); }

  weft::Genotype architecture() const { return search_.space().derive(structure_.weights()); }

 private:
  // Of the batch, with the network as it trains.
  std::vector<double> posterior(const std::vector<Sample>& samples, const weft::Batch& batch) {
    if (samples.size() == 1) return {1.0};
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> losses;
    for (const Sample& sample : samples) {
      const weft::Autocast autocast(search_.recipe().mixed_precision, search_.device());
      network_.choose(weft::gates_of(sample.path));
      losses.push_back(weft::cross_entropy(network_.forward(batch.images).logits, batch));
    }
    const auto examples = options_.of_all ? static_cast<double>(batch.labels.numel()) : 1.0;
    const at::Tensor on_cpu =
        at::stack(losses).to(at::kCPU, at::kDouble).mul_(-examples / options_.temperature).contiguous();
    return parsec::posterior(samples, {on_cpu.data_ptr<double>(), on_cpu.data_ptr<double>() + on_cpu.numel()});
  }

  weft::OneShotSearch& search_;
  weft::Network& network_;
  Options options_;
  StructureParameters structure_;
  weft::Updates rule_;  // of the structure
  weft::EndlessBatches batches_;
  weft::Rng rng_{0};        // the epoch's, of paths
  double effective_ = 0.0;  // samples, summed over the epoch's steps of the structure
  int steps_ = 0;           // of these
};

// The path whose options write the most, as far as the decisions before each: training takes no more memory than it.
weft::SupernetPath largest_path(const weft::Architecture& supernet) {
  const auto bytes_before = [&](weft::NodeId input) {
    std::set<weft::NodeId> met = {input};
    std::vector<weft::NodeId> left = {input};
    std::int64_t bytes = 0;
    while (!left.empty()) {
      const weft::Node& node = supernet.node(left.back());
      left.pop_back();
      if (node.operation == "choice") continue;
      bytes += node.cost.activation_bytes;
      for (const weft::NodeId id : node.inputs) {
        if (met.insert(id).second) left.push_back(id);
      }
    }
    return bytes;
  };
  weft::SupernetPath path;
  for (const weft::SupernetChoice& choice : weft::choices_of(supernet)) {
    const std::vector<weft::NodeId>& inputs = supernet.node(choice.nodes.front()).inputs;
    path[choice.decision] = {static_cast<int>(std::ranges::max_element(inputs, {}, bytes_before) - inputs.begin())};
  }
  return path;
}

class Parsec final : public weft::OneShot {
 public:
  explicit Parsec(const weft::Context& context)
      : options_(context),
        search_(context, {"samples", "likelihood", "temperature", "structure_deviation", "structure_lr",
                          "structure_betas", "structure_weight_decay"}) {
    search_.expect_memory(weft::restricted(search_.supernet(), largest_path(search_.supernet())));
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    EmpiricalBayes guide(search_, network, options_, request.rng.derive("structure"));
    return search_.train(request, reporter, network, guide,
                         [&] { return std::vector{search_.derived(network, guide.architecture())}; });
  }

 private:
  Options options_;
  weft::OneShotSearch search_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Parsec>("parsec"))
