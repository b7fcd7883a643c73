// The training of an over-parameterised network whose paths are binarised: the weights' steps take a single path each,
// and after so many of them the structure makes one on its own part of the data.
//
// Cai, Zhu, Han 2019, section 3.2 and 3.3.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "gates.hpp"
#include "latency.hpp"
#include "weft/oneshot.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/precision.hpp"
#include "weft/torch/structure.hpp"

namespace proxyless {

struct Options {
  enum class Update { gates, reinforce };
  Update update = Update::gates;
  int weights_epochs = 0;  // at the start, in which the structure makes no step
  int weight_steps = 1;    // for each step of the structure

  int paths = 2;            // of a decision, that take part in a step of the structure
  bool zeros_learn = true;  // whether decisions whose open gate is a zero's take part
  LatencyLoss latency_loss = {};

  int samples = 10;  // of a step of REINFORCE
  double baseline_decay = 0.99;
  double reward_target = 0.0, reward_exponent = 0.0;

  double deviation = 1e-3;
  double lr = 1e-3;
  std::array<double, 2> betas = {0.0, 0.999};
  double weight_decay = 0.0;
};

class Binarized : public weft::Guide {
 public:
  // Space, network and batches are referred to, and must live longer; the latency is by the order of the supernet's
  // choices.
  Binarized(const weft::SpaceRef& space, weft::Network& network, const weft::Batches& structure,
            const weft::Recipe& recipe, Latency latency, const Options& options, const weft::Rng& rng)
      : space_(space),
        network_(network),
        recipe_(recipe),
        latency_(std::move(latency)),
        options_(options),
        structure_(weft::choices_of(network.architecture()), {.deviation = options.deviation}, rng),
        rule_(structure_.logits(), weft::adam(options.lr, options.betas, options.weight_decay)),
        baseline_(at::zeros({2}, at::kDouble)),
        batches_(structure, recipe_.batch_size, recipe_.augmentation) {
    const weft::Architecture& supernet = network.architecture();
    for (const weft::SupernetChoice& choice : structure_.choices()) {
      std::vector<bool>& zeros = zeros_.emplace_back();
      for (const weft::NodeId input : supernet.node(choice.nodes.front()).inputs)
        zeros.push_back(supernet.node(input).operation == "zero");
    }
    // What batch norms keep is of all paths together.
    network_.set_statistics(weft::Statistics::batch);
  }

  void begin_epoch(int epoch, const weft::Rng& rng) override {
    batches_.begin(rng.derive("batches"), recipe_.progress(epoch - 1));
    weight_paths_ = rng.derive("paths");
    structure_paths_ = rng.derive("structure");
    rewards_ = {};
  }

  // The weights' step: a single path.
  std::vector<weft::Pass> passes(const weft::Step&) override {
    return {{.gates = gates_of(draw_path(probabilities(), weight_paths_))}};
  }

  void after_step(const weft::Step& step) override {
    if (step.epoch <= options_.weights_epochs) return;
    const std::size_t steps = static_cast<std::size_t>(step.epoch - 1) * step.count + step.index + 1;
    if (steps % static_cast<std::size_t>(options_.weight_steps) != 0) return;
    const weft::WeightsHeld held(network_);
    rule_.zero_grad();
    options_.update == Options::Update::gates ? descend_through_gates(step.pace.progress) : ascend_reward();
  }

  // Validated is the present architecture, by the statistics of batches.
  void end_epoch(int) override { network_.choose(weft::gates_of(space_.path(architecture()))); }

  weft::Json report() override {
    weft::Json report = {{"entropy", structure_.entropy()},
                         {"latency", latency(architecture())},
                         {"expected_latency", latency_.expected(probabilities())}};
    if (rewards_.count > 0) {
      report["reward"] = rewards_.sum / rewards_.count;
      report["baseline"] = baseline();
    }
    return report;
  }

  weft::NamedTensors state() override {
    weft::NamedTensors state = rule_.state();
    state["baseline"] = baseline_;
    return state;
  }

  // Of each decision the most probable option.
  weft::Genotype architecture() const { return space_.derive(structure_.weights()); }

  double latency(const weft::Genotype& genotype) const {
    const weft::SupernetPath path = space_.path(genotype);
    std::vector<std::vector<int>> by_choice;
    for (const weft::SupernetChoice& choice : structure_.choices()) by_choice.push_back(path.at(choice.decision));
    return latency_.of(by_choice);
  }

 private:
  struct Rewards {
    double sum = 0.0;
    int count = 0;
  };

  Numbers logits(std::size_t choice) const {
    const at::Tensor numbers = structure_.logits()[choice].detach().to(at::kDouble).contiguous();
    return {numbers.data_ptr<double>(), numbers.data_ptr<double>() + numbers.numel()};
  }

  std::size_t decisions() const { return structure_.choices().size(); }

  std::vector<Numbers> probabilities() const {
    std::vector<Numbers> all;
    for (std::size_t i = 0; i < decisions(); ++i) all.push_back(softmax(logits(i)));
    return all;
  }

  // One option of each decision.
  static std::vector<int> draw_path(const std::vector<Numbers>& probabilities, weft::Rng& rng) {
    std::vector<int> path;
    for (const Numbers& of_decision : probabilities) path.push_back(static_cast<int>(rng.weighted(of_decision)));
    return path;
  }

  weft::Gates gates_of(const std::vector<int>& path) const {
    weft::Gates gates;
    for (std::size_t i = 0; i < decisions(); ++i) gates[structure_.choices()[i].decision] = {.active = {path[i]}};
    return gates;
  }

  // ---- gradients through gates ------------------------------------------------------------------------------------

  void descend_through_gates(double progress) {
    std::vector<BinaryGates> drawn;
    for (std::size_t i = 0; i < decisions(); ++i)
      drawn.push_back(draw_gates(logits(i), options_.paths, structure_paths_));
    const weft::Batch batch = batches_.next();
    const auto [loss, by_gate] = gate_gradients(drawn, batch, progress);
    const LatencyLoss::Slopes slopes = options_.latency_loss.slopes(loss, latency_.expected(probabilities()));
    std::vector<Numbers> before;
    for (std::size_t i = 0; i < decisions(); ++i) {
      before.push_back(logits(i));
      if (!learns(i, drawn[i])) continue;
      // The paths are as if there were no others, for the latency as for the loss.
      const Numbers latencies = at_paths(latency_.options[i], drawn[i].paths);
      Numbers by_path;
      for (std::size_t path = 0; path < latencies.size(); ++path)
        by_path.push_back(slopes.cross_entropy * by_gate[i][path] + slopes.expected * latencies[path]);
      const Numbers gradient = structure_gradient(drawn[i].probabilities, by_path);
      Numbers of_options(before[i].size());
      for (std::size_t path = 0; path < gradient.size(); ++path)
        of_options[static_cast<std::size_t>(drawn[i].paths[path])] = gradient[path];
      set(structure_.logits()[i].mutable_grad(), of_options);
    }
    rule_.step(options_.lr);
    for (std::size_t i = 0; i < decisions(); ++i) rescale(i, before[i], drawn[i]);
  }

  bool learns(std::size_t choice, const BinaryGates& gates) const {
    return options_.zeros_learn || !zeros_[choice][static_cast<std::size_t>(gates.paths[gates.open])];
  }

  struct GateGradients {
    double loss = 0.0;
    std::vector<Numbers> by_gate;  // by choice and path
  };

  // Of the batch's loss, dL/dg = <dL/d output, o(x)>: all paths that were drawn are computed, and those whose gate is 0
  // add nothing.
  GateGradients gate_gradients(const std::vector<BinaryGates>& drawn, const weft::Batch& batch, double progress) {
    const at::TensorOptions options = at::TensorOptions(at::kFloat).device(batch.images.device());
    weft::Gates gates;
    std::vector<at::Tensor> values;
    for (std::size_t i = 0; i < decisions(); ++i) {
      Numbers value(drawn[i].paths.size());
      value[drawn[i].open] = 1.0;
      values.push_back(at::tensor(value, at::kDouble).to(options).set_requires_grad(true));
      gates[structure_.choices()[i].decision] = {drawn[i].paths, values.back()};
    }
    network_.choose(gates);
    GateGradients found;
    at::Tensor loss;
    {
      const weft::Autocast autocast(recipe_.mixed_precision, batch.images.device());
      const weft::Network::Output output = network_.forward(batch.images);
      loss = weft::training_loss({network_, batch, output, progress}, recipe_.losses);
    }
    // Where all that was drawn are zeros there is nothing to learn.
    if (loss.requires_grad()) loss.backward();
    found.loss = loss.item<double>();
    if (!std::isfinite(found.loss))
      throw weft::Error("the loss of a step of the structure is not finite; a smaller lr or structure_lr may help");
    std::vector<at::Tensor> gradients;  // of zeros, and of what is not reached: 0
    for (const at::Tensor& value : values)
      gradients.push_back(value.grad().defined() ? value.grad() : at::zeros_like(value).detach());
    const at::Tensor on_cpu = at::cat(gradients).to(at::kCPU, at::kDouble).contiguous();
    const double* next = on_cpu.data_ptr<double>();
    for (const at::Tensor& gradient : gradients) {
      found.by_gate.emplace_back(next, next + gradient.numel());
      next += gradient.numel();
    }
    return found;
  }

  // After a step: the probability of the paths together, and that of each of the others, is what it was.
  void rescale(std::size_t choice, const Numbers& before, const BinaryGates& gates) {
    Numbers after = before;
    if (learns(choice, gates)) {
      const Numbers moved = with_equal_sum(at_paths(before, gates.paths), at_paths(logits(choice), gates.paths));
      for (std::size_t path = 0; path < moved.size(); ++path)
        after[static_cast<std::size_t>(gates.paths[path])] = moved[path];
    }
    const at::NoGradGuard no_grad;
    set(structure_.logits()[choice], after);
  }

  // ---- REINFORCE --------------------------------------------------------------------------------------------------

  // Up the expected reward, which several paths on one batch estimate.
  void ascend_reward() {
    const weft::Batch batch = batches_.next();
    const std::vector<Numbers> all = probabilities();
    std::vector<std::vector<int>> paths;
    std::vector<double> rewards;
    for (int i = 0; i < options_.samples; ++i) {
      paths.push_back(draw_path(all, structure_paths_));
      rewards.push_back(reward(paths.back(), batch));
      rewards_.sum += rewards.back();
      ++rewards_.count;
    }
    const double mean = std::accumulate(rewards.begin(), rewards.end(), 0.0) / options_.samples;
    const double against = known_baseline() ? baseline() : mean;
    for (std::size_t choice = 0; choice < decisions(); ++choice) {
      Numbers down(all[choice].size());
      for (std::size_t i = 0; i < paths.size(); ++i) {
        const Numbers up = reinforce_gradient(all[choice], paths[i][choice], rewards[i] - against);
        for (std::size_t option = 0; option < down.size(); ++option) down[option] -= up[option] / options_.samples;
      }
      set(structure_.logits()[choice].mutable_grad(), down);
    }
    rule_.step(options_.lr);
    const double decay = known_baseline() ? options_.baseline_decay : 0.0;
    set(baseline_, {decay * baseline() + (1.0 - decay) * mean, 1.0});
  }

  // Of the accuracy on the batch, in training mode as the weights know it.
  double reward(const std::vector<int>& path, const weft::Batch& batch) {
    const at::NoGradGuard no_grad;
    const weft::Autocast autocast(recipe_.mixed_precision, batch.images.device());
    network_.choose(gates_of(path));
    const at::Tensor answers = network_.forward(batch.images).logits.argmax(-1);
    const double accuracy = answers.eq(batch.labels).to(at::kDouble).mean().item<double>();
    std::vector<std::vector<int>> of_path;
    for (const int option : path) of_path.push_back({option});
    return latency_reward(accuracy, latency_.of(of_path), options_.reward_target, options_.reward_exponent);
  }

  double baseline() const { return baseline_[0].item<double>(); }
  bool known_baseline() const { return baseline_[1].item<double>() > 0.0; }

  static void set(const at::Tensor& tensor, const Numbers& numbers) { tensor.copy_(at::tensor(numbers, at::kDouble)); }

  weft::SpaceRef space_;
  weft::Network& network_;
  weft::Recipe recipe_;
  Latency latency_;
  Options options_;
  weft::StructureParameters structure_;   // on the CPU, where what is drawn is drawn
  weft::Updates rule_;                    // of the structure
  at::Tensor baseline_;                   // double, [2]: its value, and whether there is one
  weft::EndlessBatches batches_;          // refers to recipe_
  std::vector<std::vector<bool>> zeros_;  // by choice and option
  weft::Rng weight_paths_{0}, structure_paths_{0};
  Rewards rewards_;  // of the epoch
};

}  // namespace proxyless
