// The contract suite of losses: what every plugin of kind `loss` must do, whatever it measures.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/loss_contract.hpp"
#endif

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <utility>

#include "weft/testing/library.hpp"
#include "weft/torch/loss.hpp"

namespace weft::testing {

// A network of one linear layer, whose logits are what the loss is about.
class LossBench {
 public:
  explicit LossBench(std::int64_t classes) : network_(layer(classes), Rng(1)) {}

  // Of logits [examples, classes] and labels [examples].
  at::Tensor loss(const Loss& loss, const at::Tensor& logits, const at::Tensor& labels, double progress = 0.0) {
    const Batch batch{at::zeros({logits.size(0), 3}), labels};
    const Network::Output output{logits, {}, {}};
    return loss.loss({network_, batch, output, progress});
  }

 private:
  static Architecture layer(std::int64_t classes) {
    ArchitectureBuilder graph;
    const NodeId input = graph.input(Shape::features(3));
    return std::move(graph).build(graph.add("linear", {{"features", classes}}, {input}));
  }
  Network network_;
};

// As a plugin of these arguments measures it.
inline double loss_of(const Plugin& plugin, const Json& args, const at::Tensor& logits, const at::Tensor& labels) {
  return LossBench(logits.size(1)).loss(*ingredient_of<Loss>(plugin, args), logits, labels).item<double>();
}

// `may_be_silent`: of a network without what the loss is about, such as learned groups.
inline void check_loss(const Plugin& plugin, const Json& args = Json::object(), const Surroundings& surroundings = {},
                       bool may_be_silent = false) {
  const auto loss = ingredient_of<Loss>(plugin, args, surroundings);
  LossBench bench(5);
  at::manual_seed(3);
  const at::Tensor logits = at::randn({8, 5}).requires_grad_(), labels = at::randint(5, {8}, at::kLong);
  const at::Tensor value = bench.loss(*loss, logits, labels);
  if (may_be_silent && !value.defined()) return;
  REQUIRE(value.dim() == 0);
  REQUIRE(std::isfinite(value.item<double>()));
  value.backward();
  REQUIRE(logits.grad().isfinite().all().item<bool>());
  // A function of what it is given.
  REQUIRE(bench.loss(*loss, logits, labels).item<double>() == value.item<double>());
  // A mean over the examples: twice the same batch is worth as much.
  const double twice = bench.loss(*loss, at::cat({logits, logits}).detach(), at::cat({labels, labels})).item<double>();
  REQUIRE(std::abs(twice - value.item<double>()) < 1e-5 * (1.0 + std::abs(twice)));
  // Finite where the network is certain.
  const double certain = bench.loss(*loss, 1000.0 * logits.detach(), labels).item<double>();
  REQUIRE(std::isfinite(certain));
}

}  // namespace weft::testing
