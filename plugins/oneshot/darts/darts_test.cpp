// DARTS: the gradients of its two orders, and the contract of strategies.

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "plugins/oneshot/darts/unrolled.hpp"
#include "tests/torch/one_shot_text.hpp"
#include "tests/torch/slope.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/structure.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// A smooth two-layer network in which each layer is a weighted sum of three activations, in double: all weights in one
// vector, as the strategy has them.
struct Problem {
  static constexpr std::int64_t inputs = 5, hidden = 4;
  at::Tensor weights = at::empty({inputs * hidden + hidden}, at::kDouble);
  std::vector<at::Tensor> structure;
  at::Tensor training_inputs, training_targets, validation_inputs, validation_targets;

  Problem() {
    at::manual_seed(11);
    const at::TensorOptions options(at::kDouble);
    weights = at::randn({inputs * hidden + hidden}, options).mul_(0.5).set_requires_grad(true);
    for (int i = 0; i < 2; ++i) structure.push_back(at::randn({3}, options).mul_(0.3).set_requires_grad(true));
    training_inputs = at::randn({20, inputs}, options);
    validation_inputs = at::randn({20, inputs}, options);
    training_targets = at::randn({20}, options);
    validation_targets = at::randn({20}, options);
    weights.mutable_grad() = at::zeros_like(weights);
  }

  static at::Tensor mixed(const at::Tensor& x, const at::Tensor& alpha) {
    const at::Tensor p = at::softmax(alpha, 0);
    return p[0] * at::tanh(x) + p[1] * at::sigmoid(x) + p[2] * x;
  }
  at::Tensor loss(const at::Tensor& w, const at::Tensor& x, const at::Tensor& y) const {
    const at::Tensor first = w.narrow(0, 0, inputs * hidden).view({inputs, hidden});
    const at::Tensor second = w.narrow(0, inputs * hidden, hidden);
    return (mixed(at::matmul(mixed(at::matmul(x, first), structure[0]), second), structure[1]) - y).square().mean();
  }
  at::Tensor training(const at::Tensor& w) const { return loss(w, training_inputs, training_targets); }
  at::Tensor validation(const at::Tensor& w) const { return loss(w, validation_inputs, validation_targets); }

  darts::Bilevel bilevel() {
    return {.weights = weights.detach(),
            .gradients = weights.grad(),
            .structure = structure,
            .descend_training = [this] { training(weights).backward(); },
            .descend_validation = [this] { validation(weights).backward(); },
            .descend_training_in_structure = [this] { training(weights.detach()).backward(); }};
  }

  // By differentiating through the step of the weights.
  std::vector<at::Tensor> exact(const darts::WeightStep& step) const {
    const at::Tensor gradient =
        torch::autograd::grad({training(weights)}, {weights}, {}, true, /*create_graph=*/true)[0];
    at::Tensor direction = gradient + step.weight_decay * weights.detach();
    if (step.velocity.defined()) direction = direction + step.momentum * step.velocity;
    return torch::autograd::grad({validation(weights.detach() - step.lr * direction)}, {structure[0], structure[1]});
  }
};

double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return (at::cat(a) - at::cat(b)).norm().item<double>() / at::cat(b).norm().item<double>();
}

}  // namespace

TEST_CASE("darts: the unrolled gradient is that through the weights' step, within 1 % at the paper's epsilon") {
  Problem problem;
  const at::Tensor velocity = at::randn_like(problem.weights.detach());
  const darts::WeightStep step{.lr = 0.1, .momentum = 0.9, .velocity = velocity, .weight_decay = 3e-3};
  const std::vector<at::Tensor> exact = problem.exact(step);
  const at::Tensor before = problem.weights.detach().clone();
  const std::vector<at::Tensor> unrolled = darts::unrolled_gradient(problem.bilevel(), step, 0.01);
  CHECK(distance(unrolled, exact) < 0.01);
  CHECK(at::equal(problem.weights.detach(), before));  // to the bit

  // The finite difference is central: its error falls with the square of epsilon.
  std::vector<double> errors;
  for (const double epsilon : {0.4, 0.2, 0.1})
    errors.push_back(distance(darts::unrolled_gradient(problem.bilevel(), step, epsilon), exact));
  for (std::size_t i = 1; i < errors.size(); ++i) CHECK(errors[i - 1] / errors[i] == Approx(4.0).margin(0.5));

  // Without a step it is the gradient of the first order.
  const std::vector<at::Tensor> first =
      torch::autograd::grad({problem.validation(problem.weights)}, {problem.structure[0], problem.structure[1]});
  CHECK(distance(darts::unrolled_gradient(problem.bilevel(), {.lr = 0.0}, 0.01), first) < 1e-12);
  CHECK(distance(exact, first) > 0.01);
}

TEST_CASE("darts: the exact gradient of the second order, by finite differences") {
  Problem problem;
  const darts::WeightStep step{.lr = 0.1, .weight_decay = 3e-3};
  const std::vector<at::Tensor> exact = problem.exact(step);
  const auto value = [&] {
    const at::Tensor gradient = torch::autograd::grad({problem.training(problem.weights)}, {problem.weights})[0];
    const at::Tensor moved =
        problem.weights.detach() - step.lr * (gradient + step.weight_decay * problem.weights.detach());
    return problem.validation(moved).item<double>();
  };
  for (std::size_t leaf = 0; leaf < 2; ++leaf) {
    for (std::int64_t i = 0; i < 3; ++i) {
      CHECK(slope(problem.structure[leaf], i, value) == Approx(exact[leaf][i].item<double>()).margin(1e-6));
    }
  }
}

TEST_CASE("darts: the structure's gradient in a supernet, by finite differences") {
  const SmallStudy study;
  const Architecture supernet = study.space().supernet();
  Network network(supernet, Rng(3));
  network.to(at::kDouble);
  StructureParameters structure(choices_of(supernet), {.deviation = 0.5, .type = at::kDouble}, Rng(4));
  at::manual_seed(5);
  const at::Tensor images = at::randn({6, 1, 8, 8}, at::kDouble), target = at::randn({6, 4}, at::kDouble);
  const auto loss = [&] {
    network.choose(structure.gates());
    return (network.forward(images).logits - target).square().mean();
  };
  loss().backward();
  for (const at::Tensor& logits : structure.logits()) {
    for (std::int64_t i = 0; i < logits.size(0); ++i) {
      const double expected = slope(logits, i, [&] { return loss().item<double>(); });
      CHECK(expected == Approx(logits.grad()[i].item<double>()).margin(1e-6));
    }
  }
}

TEST_CASE("darts keeps the contract of one-shot strategies") {
  const SmallStudy study;
  for (const int order : {1, 2}) {
    check_oneshot(Plugin::open("oneshot", "darts"), short_search({{"order", order}, {"structure_lr", 0.05}}),
                  study.surroundings());
  }
}

TEST_CASE(
    "darts: gradients in the weights are clipped, where a text's are, in the virtual step and in its difference") {
  Problem problem;
  const darts::WeightStep step{.lr = 0.1, .weight_decay = 3e-3};
  const at::Tensor validation = torch::autograd::grad({problem.validation(problem.weights)}, {problem.weights})[0];
  const double norm = validation.norm().item<double>();
  const std::vector<at::Tensor> free = darts::unrolled_gradient(problem.bilevel(), step, 0.01);
  darts::WeightStep wide = step, narrow = step;
  wide.gradient_clip = 1e3;
  narrow.gradient_clip = 0.05 * norm;
  CHECK(distance(darts::unrolled_gradient(problem.bilevel(), wide, 0.01), free) == 0.0);

  // What is left of it: from the weights one clipped step further on, along the clipped gradient there.
  const at::Tensor training = torch::autograd::grad({problem.training(problem.weights)}, {problem.weights})[0];
  const double largest = narrow.gradient_clip;
  REQUIRE(training.norm().item<double>() > largest);
  const at::Tensor weights = problem.weights.detach();
  const at::Tensor moved =
      (weights - step.lr * (training * (largest / training.norm()) + step.weight_decay * weights)).requires_grad_();
  const at::Tensor loss = problem.validation(moved);
  const std::vector<at::Tensor> there =
      torch::autograd::grad({loss}, {moved, problem.structure[0], problem.structure[1]});
  const at::Tensor along = there[0] * (largest / there[0].norm());
  const at::Tensor slope =
      torch::autograd::grad({problem.training(problem.weights)}, {problem.weights}, {}, true, true)[0];
  const std::vector<at::Tensor> mixed =
      torch::autograd::grad({(slope * along).sum()}, {problem.structure[0], problem.structure[1]});
  const std::vector<at::Tensor> expected = {there[1] - step.lr * mixed[0], there[2] - step.lr * mixed[1]};
  CHECK(distance(darts::unrolled_gradient(problem.bilevel(), narrow, 0.01), expected) < 1e-3);
}

TEST_CASE("darts keeps the contract of one-shot strategies on texts") {
  const SmallTextStudy study;
  const SmallTextStudy regularized("darts_rnn",
                                   small_cell({{"dropout", 0.3}, {"state_dropout", 0.2}, {"slowness", 0.1}}));
  for (const int order : {1, 2}) {
    check_oneshot(Plugin::open("oneshot", "darts"),
                  {{"order", order}, {"structure_lr", 0.05}, {"epochs", 3}, {"batch_size", 4}, {"lr", 0.5}},
                  (order == 1 ? study : regularized).surroundings());
  }
}
