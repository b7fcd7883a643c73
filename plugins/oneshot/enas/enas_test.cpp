// ENAS: what its controller learns, how it is stored, supernets' paths as networks, and the contract of strategies.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plugins/oneshot/enas/controller.hpp"
#include "tests/torch/one_shot_text.hpp"
#include "weft/torch/network.hpp"

using namespace weft;
using namespace weft::testing;
using enas::Controller;
using enas::Sample;

namespace {

// Two blocks; in each an operation and, in the second, which block or input it reads.
class TwoBlocks final : public Decisions {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const Decision operation{.name = "operation", .group = "operation", .options = {"a", "b", "c"}};
    switch (taken.size()) {
      case 0:
        return operation;
      case 1:
        return Decision{.name = "input",
                        .group = "input",
                        .kind = Decision::Kind::reference,
                        .options = {"in", "0"},
                        .step = 1,
                        .named_steps = {Decision::no_step, 0}};
      case 2: {
        Decision second = operation;
        second.name = "operation 2";
        second.step = 1;
        return second;
      }
      default:
        return {};
    }
  }
};

Controller::Options options() {
  return {
      .policy = {.layers = 1, .units = 8, .initial_range = 0.6, .tanh_constant = 1.1, .tanh_reduction = 2.5, .lr = 0},
      .lr = 0.0035,
      .betas = {0.0, 0.999},
      .eps = 1e-3,
      .entropy_weight = 0.0,
      .baseline_decay = 0.99};
}

// Adam whose epsilon is so large that its first step is the gradient.
Controller::Options plain_ascent() {
  Controller::Options chosen = options();
  chosen.eps = 1e9;
  chosen.lr = 1e9 / std::sqrt(1.0 - 0.999);
  return chosen;
}

at::Tensor parameters(Controller& controller) { return controller.state().at("controller").clone(); }

double reward(const Genotype& genotype) { return 0.1 * genotype.decisions[0] + 0.3 * genotype.decisions[1]; }

std::vector<Sample> draw(Controller& controller, int count, Rng& rng) {
  std::vector<Sample> samples;
  for (int i = 0; i < count; ++i) {
    samples.push_back({controller.sample(rng)});
    samples.back().score = reward(samples.back().episode.genotype());
  }
  return samples;
}

// By central differences, in the parameters that a policy shares with the controller of that seed.
at::Tensor gradient(controllers::Policy& policy, const std::function<double()>& value) {
  std::vector<double> slopes;
  for (double& entry : policy.parameters().values()) {
    const double at = entry, h = 1e-5;
    entry = at + h;
    const double above = value();
    entry = at - h;
    const double below = value();
    entry = at;
    slopes.push_back((above - below) / (2 * h));
  }
  return at::tensor(slopes, at::kDouble);
}

double distance(const at::Tensor& one, const at::Tensor& other) {
  return (one - other).norm().item<double>() / other.norm().item<double>();
}

struct Twins {
  TwoBlocks space;
  Controller controller;
  controllers::Policy policy;

  explicit Twins(const Controller::Options& chosen) : controller(chosen, space, Rng(7)), policy(chosen.policy, Rng(7)) {
    Rng rng(1);
    policy.sample(space, rng);  // which meets all options
  }
};

}  // namespace

TEST_CASE("enas: the controller steps along the mean of (R - b) grad log P, with the entropy in R") {
  Controller::Options chosen = plain_ascent();
  chosen.entropy_weight = 0.05;
  Twins twins(chosen);
  const at::Tensor before = parameters(twins.controller);
  REQUIRE(at::equal(before, at::tensor(twins.policy.parameters().values(), at::kDouble)));
  Rng rng(3);
  const std::vector<Sample> samples = draw(twins.controller, 4, rng);
  std::vector<double> rewards;
  double baseline = 0.0;
  for (const Sample& sample : samples) {
    rewards.push_back(sample.score + 0.05 * twins.policy.evaluate(sample.episode).entropy);
    baseline += rewards.back() / 4;
  }
  const at::Tensor expected = gradient(twins.policy, [&] {
    double sum = 0.0;
    for (std::size_t k = 0; k < samples.size(); ++k)
      sum += (rewards[k] - baseline) * twins.policy.evaluate(samples[k].episode).log_probability() / 4;
    return sum;
  });
  twins.controller.learn(samples);
  CHECK(distance(parameters(twins.controller) - before, expected) < 1e-6);
  CHECK(twins.controller.baseline() == Approx(baseline));
}

TEST_CASE("enas: the mean of REINFORCE is the gradient of the expected reward over all architectures") {
  Twins twins(plain_ascent());
  const at::Tensor before = parameters(twins.controller);
  std::map<std::string, controllers::Episode> all;
  Rng rng(3);
  while (all.size() < 3 * 2 * 3) {
    controllers::Episode episode = twins.controller.sample(rng);
    all.try_emplace(episode.genotype().key(), std::move(episode));
  }
  const at::Tensor expected = gradient(twins.policy, [&] {
    double sum = 0.0;
    for (const auto& [key, episode] : all)
      sum += std::exp(twins.policy.evaluate(episode).log_probability()) * reward(episode.genotype());
    return sum;
  });
  twins.controller.learn(draw(twins.controller, 40000, rng));
  CHECK(distance(parameters(twins.controller) - before, expected) < 0.05);
}

// With beta1 = 0: m = g, v = (1 - beta2) g^2, and a step of lr sqrt(1 - beta2) g / (sqrt(v) + eps).
TEST_CASE("enas: the first step of Adam, and the baseline, worked out by hand") {
  Twins plain(plain_ascent()), paper(options());
  const at::Tensor before = parameters(paper.controller);
  Rng rng(3);
  std::vector<Sample> samples = draw(paper.controller, 2, rng);
  samples[0].score = 0.2;
  samples[1].score = 0.4;
  plain.controller.learn(samples);
  paper.controller.learn(samples);
  const at::Tensor g = parameters(plain.controller) - before;
  const at::Tensor step = 0.0035 * std::sqrt(0.001) * g / ((0.001 * g.square()).sqrt() + 1e-3);
  CHECK(distance(parameters(paper.controller) - before, step) < 1e-5);
  CHECK(paper.controller.baseline() == Approx(0.3));

  samples = draw(paper.controller, 2, rng);
  samples[0].score = 0.5;
  samples[1].score = 0.1;
  paper.controller.learn(samples);
  CHECK(paper.controller.baseline() == Approx(0.302 + 0.01 * (0.1 - 0.302)));
}

TEST_CASE("enas: the controller finds what is rewarded") {
  const TwoBlocks space;
  Controller::Options chosen = options();
  chosen.policy.tanh_constant = 0.0;
  chosen.lr = 0.01;
  Controller controller(chosen, space, Rng(7));
  Rng rng(3);
  for (int step = 0; step < 200; ++step) controller.learn(draw(controller, 10, rng));
  double mean = 0.0;
  for (const Sample& sample : draw(controller, 100, rng)) mean += sample.score / 100;
  CHECK(mean > 0.45);  // 0.5 at most, 0.25 by chance
}

TEST_CASE("enas: a controller goes on from its stored state to the bit") {
  const TwoBlocks space;
  Controller::Options chosen = options();
  chosen.betas = {0.5, 0.9};
  chosen.entropy_weight = 0.01;
  Controller one(chosen, space, Rng(7)), other(chosen, space, Rng(8));
  Rng rng(3);
  for (int step = 0; step < 3; ++step) one.learn(draw(one, 4, rng));
  const NamedTensors stored = one.state();
  CHECK(stored.at("controller_steps").item<std::int64_t>() == 3);
  for (const auto& [name, tensor] : other.state()) {
    REQUIRE(tensor.sizes() == stored.at(name).sizes());
    tensor.copy_(stored.at(name));
  }
  Rng same = rng;
  for (int step = 0; step < 3; ++step) {
    one.learn(draw(one, 4, rng));
    other.learn(draw(other, 4, same));
  }
  const NamedTensors gone_on = other.state();
  for (const auto& [name, tensor] : one.state()) {
    CAPTURE(name);
    CHECK(at::equal(tensor, gone_on.at(name)));
  }
  CHECK(one.sample(rng).genotype() == other.sample(same).genotype());
}

TEST_CASE("enas: skips are counted by the layers that make them") {
  const SmallStudy macro("enas_macro", {{"layers", 5}, {"filters", 2}});
  CHECK(enas::skips_per_step(macro.space()) == Approx((1 + 2 + 3 + 4) / 4.0));
  CHECK(enas::skips_per_step(TwoBlocks()) == 1.0);
}

namespace {

// The weights of the path's part of the supernet as those of the network that the genotype decodes to. They are the
// same nodes in the same order, but for 1x1 convolutions behind a micro cell, which are one of all states that it
// reads.
void take_weights(Network& network, const Architecture& part, const Network& supernet) {
  const at::NoGradGuard no_grad;
  const auto theirs = supernet.state();
  const auto own = network.state();
  const auto of_output = [](const Node& node) { return node.name.find("/output of ") != std::string::npos; };
  const auto nodes = part.nodes();
  std::size_t at = 0;
  const auto next = [&]() -> const Node& {
    while (!theirs.contains(nodes[at].name + ".weight")) ++at;
    return nodes[at++];
  };
  for (const Node& node : network.architecture().nodes()) {
    if (!own.contains(node.name + ".weight")) continue;
    const Node& source = next();
    REQUIRE(source.operation == node.operation);
    std::vector<at::Tensor> weights = {theirs.at(source.name + ".weight")};
    while (of_output(source) &&
           weights[0].size(1) * static_cast<std::int64_t>(weights.size()) < own.at(node.name + ".weight").size(1))
      weights.push_back(theirs.at(next().name + ".weight"));
    own.at(node.name + ".weight").copy_(at::cat(weights, weights[0].dim() > 1 ? 1 : 0));
    if (own.contains(node.name + ".bias")) own.at(node.name + ".bias").copy_(theirs.at(source.name + ".bias"));
  }
}

void check_paths(const SpaceRef& space) {
  const Architecture whole = space.supernet();
  Network supernet(whole, Rng(5));
  {
    const at::NoGradGuard no_grad;  // whose batch norms all scale and shift alike at first
    at::manual_seed(3);
    for (const auto& [name, tensor] : supernet.state()) {
      if (name.ends_with(".weight") && tensor.dim() == 1) tensor.uniform_(0.5, 2.0);
      if (name.ends_with(".bias")) tensor.normal_();
    }
  }
  supernet.eval();
  supernet.set_statistics(Statistics::batch);
  const at::Tensor images = at::randn({5, 1, 8, 8});
  Rng rng(9);
  for (int i = 0; i < 8; ++i) {
    const Genotype genotype = space.sample(rng);
    CAPTURE(space.notation(genotype));
    const SupernetPath path = space.path(genotype);
    Network network(space.decode(genotype).architecture, Rng(6));
    take_weights(network, restricted(whole, path), supernet);
    network.eval();
    network.set_statistics(Statistics::batch);
    supernet.choose(gates_of(path));
    const at::NoGradGuard no_grad;
    const at::Tensor expected = network.forward(images).logits;
    CHECK(at::allclose(supernet.forward(images).logits, expected, 1e-3, 1e-4));
    CHECK(expected.std().item<double>() > 1e-2);
  }
}

}  // namespace

TEST_CASE("enas: a path of either supernet computes what the architecture's network does, with the same weights") {
  check_paths(SmallStudy("enas_micro", {{"layers", 1}, {"filters", 4}, {"blocks", 3}, {"dropout", 0}}).space());
  check_paths(SmallStudy("enas_macro", {{"layers", 4}, {"filters", 4}, {"dropout", 0}}).space());
}

TEST_CASE("enas: only what the chosen path needs is computed and learns") {
  const SmallStudy study("enas_micro", {{"layers", 1}, {"filters", 4}, {"blocks", 2}});
  const SpaceRef space = study.space();
  const Architecture whole = space.supernet();
  Network network(whole, Rng(5));
  Rng rng(9);
  for (int i = 0; i < 5; ++i) {
    const SupernetPath path = space.path(space.sample(rng));
    network.choose(gates_of(path));
    std::int64_t learning = 0;
    const std::vector<bool> takes_part = network.taking_part();
    for (std::size_t at = 0; const at::Tensor& parameter : network.parameters()) {
      if (takes_part[at++]) learning += parameter.numel();
    }
    CHECK(learning == restricted(whole, path).cost().parameters);
  }
}

namespace {

Json short_enas(const Json& more = Json::object()) {
  Json args =
      short_search({{"controller_steps", 2}, {"controller_samples", 3}, {"controller_units", 8}, {"samples", 4}});
  args.update(more);
  return args;
}

}  // namespace

TEST_CASE("enas keeps the contract of one-shot strategies") {
  const SmallStudy micro("enas_micro", {{"layers", 1}, {"filters", 2}, {"blocks", 2}, {"auxiliary", true}});
  check_oneshot(Plugin::open("oneshot", "enas"), short_enas({{"calibration_batches", 0}}), micro.surroundings());
  const SmallStudy macro("enas_macro", {{"layers", 4}, {"filters", 2}});
  check_oneshot(Plugin::open("oneshot", "enas"),
                short_enas({{"skip_weight", 0.8}, {"structure_share", 0.3}, {"controller_betas", {0.5, 0.999}}}),
                macro.surroundings());
}

TEST_CASE("enas on a text: the contract, reports, and the best perplexity first") {
  const SmallTextStudy study("enas_rnn", small_cell({{"dropout", 0.3}, {"state_dropout", 0.2}, {"slowness", 0.1}}));
  const Json args = short_enas({{"batch_size", 4}, {"calibration_batches", 0}, {"distance_weight", 0.17}});
  check_oneshot(Plugin::open("oneshot", "enas"), args, study.surroundings());

  const Instance instance(Plugin::open("oneshot", "enas"), args, study.surroundings());
  evaluator_contract::Listener listener;
  const OneShotResult result = OneShotRef(instance.handle()).search({.trial = -1, .rng = Rng(5)}, listener.reporter());
  for (const Json& report : listener.reports) {
    CHECK(report.at("controller_reward").get<double>() > 80.0 / 6.0);  // a perplexity of 6, where guessing has 3
    CHECK(report.at("controller_reward").get<double>() < 80.0);
  }
  for (std::size_t i = 1; i < result.derived.size(); ++i) {
    CHECK(result.derived[i - 1].metrics.at("one_shot_perplexity").get<double>() <=
          result.derived[i].metrics.at("one_shot_perplexity").get<double>());
  }
}

TEST_CASE("enas: reports, and what is derived") {
  const SmallStudy study("enas_macro", {{"layers", 3}, {"filters", 4}});
  const Instance instance(Plugin::open("oneshot", "enas"), short_enas({{"samples", 10}}), study.surroundings());
  const evaluator_contract::Folder folder;
  evaluator_contract::Listener listener;
  const OneShotResult result =
      OneShotRef(instance.handle()).search({.trial = -1, .folder = folder.path(), .rng = Rng(5)}, listener.reporter());
  REQUIRE(listener.reports.size() == 3);
  for (const Json& report : listener.reports) {
    study.space().parse(report.at("architecture").get<std::string>());
    CHECK(report.at("controller_accuracy").get<double>() >= 0.0);
    CHECK(report.at("controller_accuracy").get<double>() <= 100.0);
    CHECK(report.at("controller_entropy").get<double>() > 0.0);
    CHECK(report.at("controller_entropy").get<double>() <= 3 * std::log(6.0) + 3 * std::log(2.0) + 1e-9);
  }
  CHECK(result.derived.size() <= 10);
  CHECK(result.derived.size() > 5);
  for (std::size_t i = 1; i < result.derived.size(); ++i) {
    CHECK(result.derived[i - 1].metrics.at("one_shot_accuracy").get<double>() >=
          result.derived[i].metrics.at("one_shot_accuracy").get<double>());
    CHECK(result.derived[i].genotype != result.derived[0].genotype);
  }
}
