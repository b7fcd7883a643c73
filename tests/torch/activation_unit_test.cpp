// Searched activations: gradients against finite differences, finiteness everywhere, the shorter ways, training.
#include <ATen/ATen.h>

#include <cmath>

#include "tests/catch.hpp"
#include "weft/learning/activation_expression.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/network.hpp"

using namespace weft;

namespace {

constexpr std::int64_t channels = 3, side = 4;

Architecture graph_of(const std::string& formula) {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(channels, side, side));
  return std::move(graph).build(graph.add("activation_unit", {{"formula", formula}}, {x}, "it"));
}

// b(u1, u2) of the preactivation, or of units before it.
std::string random_formula(Rng& rng, std::size_t units) {
  std::vector<std::string> values = {"x"};
  int betas = 0;
  while (values.size() <= units) {
    const std::string first = rng.choice(unary_functions()), second = rng.choice(unary_functions());
    if (first == "beta" && second == "beta") continue;
    values.push_back(
        core_unit(rng.choice(binary_functions()), first, rng.choice(values), second, rng.choice(values), betas));
  }
  return ActivationExpression(values.back()).text();
}

std::vector<std::string> all_functions_alone() {
  std::vector<std::string> formulas;
  for (const std::string& unary : unary_functions()) {
    if (unary != "beta") formulas.push_back(unary);
  }
  for (const std::string& binary : binary_functions()) {
    int betas = 0;
    formulas.push_back(ActivationExpression(core_unit(binary, "sin(x)", "x", "x + beta", "x", betas)).text());
  }
  return formulas;
}

// The sum over all but the channels.
at::Tensor by_channel(const at::Tensor& x) { return x.sum(at::IntArrayRef{0, 2, 3}); }

// d/dp of each element of f(p) by central differences. It is smooth where halving the step changes nothing: a kink, or
// the neighbourhood of a pole, is no place to ask.
struct Slope {
  at::Tensor value, smooth, tolerance;
};
template <typename Along>
Slope slope(const Along& f) {
  constexpr double step = 1e-5;
  const auto central = [&](double h) { return (f(h) - f(-h)) / (2 * h); };
  const at::Tensor wide = central(step), narrow = central(step / 2);
  const at::Tensor rounding = 1e-15 * f(0.0).abs() / step;
  const at::Tensor smooth = (wide - narrow).abs() <= 1e-6 * (1 + narrow.abs()) + 10 * rounding;
  return {narrow, smooth, 1e-5 * (1 + narrow.abs()) + 50 * rounding};
}
// Of what all elements of a channel depend on.
Slope by_channel(const Slope& slope) {
  return {by_channel(slope.value), by_channel(slope.smooth.logical_not()) == 0, by_channel(slope.tolerance)};
}

struct Compared {
  std::int64_t smooth = 0, all = 0;
};

void compare(const at::Tensor& gradient, const Slope& slope, Compared& compared) {
  const at::Tensor wrong = ((gradient - slope.value).abs() > slope.tolerance).logical_and(slope.smooth);
  INFO("gradient " << gradient << "\nfinite differences " << slope.value);
  CHECK_FALSE(wrong.any().item<bool>());
  compared.smooth += slope.smooth.sum().item<std::int64_t>();
  compared.all += slope.smooth.numel();
}

// In float64, at random points from -3 to 3 and betas from 0.3 to 1.7.
Compared check_gradients(const std::string& formula, Rng& rng) {
  INFO(formula);
  Network network(graph_of(formula), Rng(1));
  network.to(at::kDouble);
  at::manual_seed(rng());
  const at::Tensor x = at::empty({2, channels, side, side}, at::kDouble).uniform_(-3, 3).requires_grad_();
  for (at::Tensor& beta : network.parameters()) {
    const at::NoGradGuard no_grad;
    beta.uniform_(0.3, 1.7);
  }
  network.forward(x).logits.sum().backward();
  const at::NoGradGuard no_grad;
  Compared compared;
  compare(x.grad(), slope([&](double h) { return network.forward(x + h).logits.clone(); }), compared);
  for (at::Tensor& beta : network.parameters()) {
    const at::Tensor kept = beta.clone();
    const auto along = [&](double h) {
      beta.copy_(kept + h);
      const at::Tensor y = network.forward(x).logits.clone();
      beta.copy_(kept);
      return y;
    };
    compare(beta.grad().defined() ? beta.grad() : at::zeros_like(beta), by_channel(slope(along)), compared);
  }
  return compared;
}

struct Outcome {
  at::Tensor y;
  std::vector<at::Tensor> gradients;
};
Outcome outcome(const std::string& formula, const at::Tensor& x, double beta) {
  Network network(graph_of(formula), Rng(1));
  for (at::Tensor& parameter : network.parameters()) {
    const at::NoGradGuard no_grad;
    parameter.copy_(beta * at::arange(1, channels + 1));
  }
  const at::Tensor input = x.detach().clone().requires_grad_();
  Outcome outcome{network.forward(input).logits, {}};
  outcome.y.sum().backward();
  outcome.gradients.push_back(input.grad());
  for (const at::Tensor& parameter : network.parameters()) outcome.gradients.push_back(parameter.grad());
  return outcome;
}

}  // namespace

TEST_CASE("activation_unit: gradients of every function are those of finite differences") {
  Rng rng(3);
  for (const std::string& formula : all_functions_alone()) {
    const Compared compared = check_gradients(formula, rng);
    INFO(formula << ": " << compared.smooth << " of " << compared.all << " points");
    CHECK(compared.smooth > 0.9 * static_cast<double>(compared.all));
  }
}

TEST_CASE("activation_unit: gradients of 200 random formulas are those of finite differences") {
  Rng rng(5);
  Compared total;
  for (std::size_t i = 0; i < 200; ++i) {
    const Compared compared = check_gradients(random_formula(rng, 1 + i % 2), rng);
    total.smooth += compared.smooth;
    total.all += compared.all;
  }
  INFO(total.smooth << " of " << total.all << " points");
  CHECK(total.smooth > 0.8 * static_cast<double>(total.all));
}

TEST_CASE("activation_unit: values and gradients are finite at zero, near it, and far from it") {
  std::vector<float> points;
  for (const float size : {0.0F, 1e-30F, 1e-10F, 1e-3F, 1.0F, 8.0F, 30.0F, 100.0F, 1e4F, 1e6F, 1e20F, 3e38F})
    points.insert(points.end(), {size, -size});
  const std::int64_t copies = 2 * channels * side * side / static_cast<std::int64_t>(points.size());
  const at::Tensor x = at::tensor(points).repeat({copies, 1}).view({2, channels, side, side});
  std::vector<std::string> formulas = all_functions_alone();
  Rng rng(11);
  for (std::size_t i = 0; i < 200; ++i) formulas.push_back(random_formula(rng, 1 + i % 2));
  for (const std::string& formula : formulas) {
    for (const double beta : {1.0, 0.0, -2.0, 40.0}) {
      const Outcome found = outcome(formula, x, beta);
      INFO(formula << " with beta " << beta);
      CHECK(found.y.isfinite().all().item<bool>());
      for (const at::Tensor& gradient : found.gradients) {
        if (gradient.defined()) CHECK(gradient.isfinite().all().item<bool>());
      }
    }
  }
}

TEST_CASE("activation_unit: what is no number stays so, for a training to see") {
  const at::Tensor x = at::full({1, channels, side, side}, std::nan(""));
  for (const std::string& formula : all_functions_alone()) {
    INFO(formula);
    CHECK(outcome(formula, x, 1.0).y.isnan().all().item<bool>());
  }
}

TEST_CASE("activation_unit: the shorter ways of Swish and ReLU are their formulas") {
  at::manual_seed(1);
  const at::Tensor x = 4 * at::randn({2, channels, side, side});
  for (const char* formula : {"x * sigmoid(beta x)", "x * sigmoid(x)", "max(x, 0)"}) {
    const Outcome shorter = outcome(formula, x, 0.7);
    const Outcome in_full = outcome(std::string(formula) + " + 0", x, 0.7);
    INFO(formula);
    CHECK(at::allclose(shorter.y, in_full.y, 1e-6, 1e-7));
    REQUIRE(shorter.gradients.size() == in_full.gradients.size());
    for (std::size_t i = 0; i < shorter.gradients.size(); ++i)
      CHECK(at::allclose(shorter.gradients[i], in_full.gradients[i], 1e-5, 1e-6));
  }
}

TEST_CASE("activation_unit: the curve that is drawn is what is computed") {
  std::vector<std::string> formulas = all_functions_alone();
  Rng rng(13);
  for (int i = 0; i < 30; ++i) formulas.push_back(random_formula(rng, 1));
  for (const std::string& formula : formulas) {
    Network network(graph_of(formula), Rng(1));
    network.to(at::kDouble);
    const at::NoGradGuard no_grad;
    const at::Tensor x = at::linspace(-5, 5, channels * side * side, at::kDouble).view({1, channels, side, side});
    const at::Tensor y = network.forward(x).logits.contiguous(), points = x.contiguous();
    const ActivationExpression expression(formula);
    for (std::int64_t i = 0; i < points.numel(); ++i) {
      INFO(formula << " at " << points.data_ptr<double>()[i]);
      CHECK(y.data_ptr<double>()[i] == Approx(expression(points.data_ptr<double>()[i])).epsilon(1e-9).margin(1e-12));
    }
  }
}

TEST_CASE("activation_units: what is decoded is the given network with its activations replaced, and learns") {
  const Json inner = {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}};
  const char* const cell = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";
  const Json args = {{"architecture", inner}, {"genotype", cell}, {"core_units", 2}};
  const testing::Plugin plugin = testing::Plugin::open("space", "activation_units");
  const testing::Company company(plugin, args, {.study = {{"task", {{"input", {3, 8, 8}}, {"classes", 5}}}}});
  const testing::Instance instance(plugin, args, company.surroundings());
  const SpaceRef space(instance.handle());
  for (const char* name : {"swish", "atan_squared_minus_x", "max_tanh"}) {
    INFO(name);
    const Architecture graph = space.decode(space.parse(name)).architecture;
    Network network(graph, Rng(1));
    std::int64_t parameters = 0;
    for (const at::Tensor& parameter : network.parameters()) parameters += parameter.numel();
    CHECK(parameters == graph.cost().parameters);
    at::manual_seed(2);
    const at::Tensor images = at::randn({16, 3, 8, 8}), labels = at::randint(5, {16}, at::kLong);
    const auto loss = [&] { return at::cross_entropy_loss(network.forward(images).logits, labels); };
    const at::Tensor before = loss();
    before.backward();
    for (const auto& parameter : network.named_parameters()) {
      const at::NoGradGuard no_grad;
      REQUIRE(parameter.value().grad().defined());
      if (parameter.key().ends_with(".beta")) CHECK(parameter.value().grad().abs().sum().item<double>() > 0.0);
      parameter.value().sub_(0.02 * parameter.value().grad());
    }
    CHECK(loss().item<double>() < before.item<double>());
  }
}
