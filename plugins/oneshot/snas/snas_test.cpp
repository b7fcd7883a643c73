// SNAS: the concrete distribution and the cost of options by hand, their gradients, and the contract of strategies.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/oneshot/snas/concrete.hpp"
#include "plugins/oneshot/snas/resource.hpp"
#include "tests/torch/one_shot.hpp"
#include "tests/torch/slope.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/structure.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// Central differences of `value` against the gradients that the leaves hold.
void check_gradients(const std::vector<at::Tensor>& leaves, const std::function<double()>& value) {
  for (const at::Tensor& leaf : leaves) {
    for (std::int64_t i = 0; i < leaf.numel(); ++i)
      CHECK(slope(leaf, i, value) == Approx(leaf.grad()[i].item<double>()).margin(1e-7).epsilon(1e-5));
  }
}

std::vector<at::Tensor> relaxed(const std::vector<at::Tensor>& logits, const std::vector<at::Tensor>& noise,
                                double temperature) {
  std::vector<at::Tensor> sample;
  for (std::size_t i = 0; i < logits.size(); ++i) sample.push_back(snas::relaxed(logits[i], noise[i], temperature));
  return sample;
}

// 2 channels of 4 x 4, of which two places choose alike; a third choice follows, two of whose options share a
// convolution.
Architecture small_supernet() {
  ArchitectureBuilder graph;
  NodeId x = graph.input(Shape::image(2, 4, 4));
  for (const char* place : {"first", "second"}) {
    const auto group = graph.group(place);
    const NodeId wide = graph.add("conv2d", {{"channels", 2}, {"kernel", 3}, {"padding", 1}},
                                  {graph.add("activation", {}, {x})}, std::string(place) + " conv");
    x = graph.add("choice", {{"decision", "layer"}, {"options", {"none", "skip", "conv"}}},
                  {graph.add("zero", {}, {x}), x, wide});
  }
  const NodeId shared = graph.add("conv2d", {{"channels", 4}, {"kernel", 1}}, {x});
  const NodeId pooled = graph.add("avg_pool", {{"kernel", 3}, {"padding", 1}}, {shared});
  const NodeId deep = graph.add("conv2d", {{"channels", 4}, {"kernel", 1}},
                                {graph.add("conv2d", {{"channels", 1}, {"kernel", 1}, {"bias", true}}, {x})});
  x = graph.add("choice", {{"decision", "end"}, {"options", {"shared", "pooled", "deep"}}}, {shared, pooled, deep});
  return std::move(graph).build(graph.add("linear", {{"features", 3}}, {graph.add("global_avg_pool", {}, {x})}));
}

// The study's data set with more images and less noise, of which a supernet learns something within epochs.
class LearnableImages {
 public:
  explicit LearnableImages(Surroundings of_study)
      : surroundings_(std::move(of_study)),
        dataset_(
            Plugin::open("dataset", "synthetic"),
            {{"channels", 1}, {"resolution", 8}, {"train", 1000}, {"validation", 200}, {"test", 20}, {"noise", 0.1}},
            {.study = surroundings_.study}) {
    surroundings_.collaborators["dataset"] = dataset_.handle();
  }
  const Surroundings& surroundings() const { return surroundings_; }

 private:
  Surroundings surroundings_;
  Instance dataset_;
};

}  // namespace

TEST_CASE("snas: the temperature falls linearly, epoch by epoch, and stays where it ends") {
  const snas::Annealing annealing{1.0, 0.04, 4};
  CHECK(annealing.at(1) == 1.0);
  CHECK(annealing.at(2) == Approx(0.68));
  CHECK(annealing.at(4) == Approx(0.04));
  CHECK(annealing.at(9) == Approx(0.04));
  CHECK(snas::Annealing{1.0, 0.04, 1}.at(1) == 1.0);
  CHECK(snas::Annealing{1.0, 0.04, 1}.at(2) == 0.04);
}

// Maddison, Mnih, Teh 2017, Proposition 1: the largest of a sample is option k with probability alpha_k / sum alpha, at
// any temperature; as that falls to 0 it is the only one.
TEST_CASE("snas: relaxed samples are rounded to the options' probabilities") {
  const std::vector<at::Tensor> logits = {at::tensor({0.5, -0.4, 1.1, 0.0}, at::kDouble)};
  const at::Tensor probabilities = at::softmax(logits[0], 0);
  Rng rng(8);
  constexpr int draws = 5000;
  for (const double temperature : {1.0, 0.03}) {
    at::Tensor largest = at::zeros({4}, at::kDouble);
    double of_the_largest = 0.0;
    for (int i = 0; i < draws; ++i) {
      const at::Tensor sample = snas::relaxed(logits[0], snas::gumbel_noise(logits, rng)[0], temperature);
      largest[sample.argmax()] += 1.0 / draws;
      of_the_largest += sample.max().item<double>() / draws;
    }
    const at::Tensor deviation = (probabilities * (1.0 - probabilities) / draws).sqrt();
    INFO("frequencies " << largest << " of " << probabilities);
    CHECK(((largest - probabilities).abs() / deviation).max().item<double>() < 3.5);
    CHECK((of_the_largest > 0.97) == (temperature < 0.1));
  }
}

TEST_CASE("snas: the gradient through a sample, by finite differences under the same noise") {
  std::vector<at::Tensor> logits = {at::tensor({0.5, -0.4, 1.1}, at::kDouble).set_requires_grad(true),
                                    at::tensor({0.1, 0.2}, at::kDouble).set_requires_grad(true)};
  Rng rng(3);
  const std::vector<at::Tensor> noise = snas::gumbel_noise(logits, rng);
  const at::Tensor price = at::tensor({1.0, -2.0, 0.5}, at::kDouble);
  for (const double temperature : {1.0, 0.3}) {
    const auto loss = [&] {
      const std::vector<at::Tensor> sample = relaxed(logits, noise, temperature);
      return (sample[0] * price).sum() * sample[1][0] + sample[1].square().sum();
    };
    for (const at::Tensor& leaf : logits) leaf.mutable_grad() = at::Tensor();
    loss().backward();
    check_gradients(logits, [&] { return loss().item<double>(); });
  }
}

TEST_CASE("snas: what options cost, by hand") {
  const Architecture supernet = small_supernet();
  const std::vector<SupernetChoice> choices = choices_of(supernet);
  REQUIRE(choices.size() == 2);
  REQUIRE(choices[0].nodes.size() == 2);
  const auto costs = snas::option_costs(supernet);
  // Neither zeros nor what everybody reads; a ReLU and a convolution of 2 x 2 x 9 weights, at 16 places, in two places
  // of the network. Each writes 2 x 16 floats.
  CHECK(costs[0][0] == Cost{});
  CHECK(costs[0][1] == Cost{});
  CHECK(costs[0][2] == Cost{2 * 36, 2 * 36 * 16, 2 * (128 + 128)});
  // The convolution that two options read is neither's alone.
  CHECK(costs[1][0] == Cost{});
  CHECK(costs[1][1] == Cost{0, 0, 256});
  CHECK(costs[1][2] == Cost{2 + 1 + 4, (2 + 4) * 16, 64 + 256});
}

TEST_CASE("snas: the resource term of a sample, by hand") {
  const Architecture supernet = small_supernet();
  const auto costs = snas::option_costs(supernet);
  const std::vector<at::Tensor> sample = {at::tensor({0.2, 0.3, 0.5}, at::kDouble),
                                          at::tensor({0.0, 0.75, 0.25}, at::kDouble)};
  const double parameters = 0.5 * 72 + 0.25 * 7, multiply_adds = 0.5 * 1152 + 0.25 * 96,
               bytes = 0.5 * 512 + 0.75 * 256 + 0.25 * 320;
  using snas::Resource;
  const Resource linear(Resource::Form::linear, {0.86, 0.43 / 4000, 0.0043}, costs, at::kDouble);
  CHECK(linear(sample).item<double>() == Approx(0.43 * (2 * parameters + multiply_adds / 4000 + bytes / 100)));
  const Resource log(Resource::Form::log, {}, costs, at::kDouble);
  CHECK(log(sample).item<double>() ==
        Approx((std::log1p(parameters) + std::log1p(multiply_adds) + std::log1p(bytes)) / 3));
  const std::vector<at::Tensor> nothing = {at::tensor({1.0, 0.0, 0.0}, at::kDouble),
                                           at::tensor({1.0, 0.0, 0.0}, at::kDouble)};
  CHECK(log(nothing).item<double>() == 0.0);
}

TEST_CASE("snas: the structure's gradient in a supernet, its resource term included, by finite differences") {
  const Architecture supernet = small_supernet();
  const std::vector<SupernetChoice> choices = choices_of(supernet);
  Network network(supernet, Rng(3));
  network.to(at::kDouble);
  StructureParameters structure(choices, {.deviation = 0.5, .type = at::kDouble}, Rng(4));
  const snas::Resource resource(snas::Resource::Form::log, {}, snas::option_costs(supernet), at::kDouble);
  at::manual_seed(5);
  const at::Tensor images = at::randn({6, 2, 4, 4}, at::kDouble), target = at::randn({6, 3}, at::kDouble);
  Rng rng(6);
  const std::vector<at::Tensor> noise = snas::gumbel_noise(structure.logits(), rng);
  const auto loss = [&] {
    const std::vector<at::Tensor> sample = relaxed(structure.logits(), noise, 0.5);
    Gates gates = structure.gates();
    for (std::size_t i = 0; i < sample.size(); ++i) gates.at(choices[i].decision).weights = sample[i];
    network.choose(gates);
    return (network.forward(images).logits - target).square().mean() + 0.1 * resource(sample);
  };
  loss().backward();
  check_gradients(structure.logits(), [&] { return loss().item<double>(); });
}

TEST_CASE("snas: the structure follows the training loss") {
  const SmallStudy study;
  const LearnableImages images(study.surroundings());
  oneshot_contract::Listener listener;
  const OneShotResult result = oneshot_contract::search(
      Plugin::open("oneshot", "snas"),
      short_search(
          {{"epochs", 12}, {"update_rule", "adam"}, {"lr", 0.02}, {"structure_lr", 0.1}, {"resource", "none"}}),
      images.surroundings(), listener, nullptr);
  INFO(study.space().notation(result.derived.front().genotype) << " " << result.to_json().dump());
  CHECK(result.derived.front().metrics.at("one_shot_accuracy") > 80.0);  // by chance 25, and where no path is left
  CHECK(listener.reports.back().at("entropy") < 0.8 * std::log(5.0));
}

TEST_CASE("snas: a high price of parameters leaves no convolution") {
  const SmallStudy study;
  const auto convolutions = [&](const Json& more) {
    Json args = {{"structure_lr", 0.3}, {"temperature_start", 0.5}, {"temperature_end", 0.5}};
    args.update(more);
    oneshot_contract::Listener listener;
    const OneShotResult result = oneshot_contract::search(Plugin::open("oneshot", "snas"), short_search(args),
                                                          study.surroundings(), listener, nullptr);
    const std::string found = study.space().notation(result.derived.front().genotype);
    INFO(found);
    std::size_t count = 0;
    for (std::size_t at = 0; (at = found.find("conv", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  CHECK(convolutions({{"resource", "none"}}) > 0);
  CHECK(convolutions({{"resource", "linear"},
                      {"resource_weight", 1.0},
                      {"resource_per_parameter", 1.0},
                      {"resource_per_multiply_add", 0.0},
                      {"resource_per_activation_byte", 0.0}}) == 0);
}

TEST_CASE("snas: a temperature that rises is rejected") {
  const SmallStudy study;
  CHECK_THROWS_WITH(
      Instance(Plugin::open("oneshot", "snas"), short_search({{"temperature_end", 2}}), study.surroundings()),
      ContainsSubstring("/temperature_end is 2.0; must not exceed temperature_start, 1.0"));
}

TEST_CASE("snas keeps the contract of one-shot strategies") {
  const SmallStudy study;
  for (const char* resource : {"none", "log"}) {
    check_oneshot(Plugin::open("oneshot", "snas"), short_search({{"resource", resource}, {"structure_lr", 0.05}}),
                  study.surroundings());
  }
}
