// What the options of a supernet cost, and the term of the loss that says so: Xie et al. 2019, section 2.4.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/supernet.hpp"

namespace snas {

// Of a graph by node: who reads it, once for every time; -1 is the graph's caller.
inline std::vector<std::vector<weft::NodeId>> readers_of(const weft::Architecture& graph) {
  const auto nodes = graph.nodes();
  std::vector<std::vector<weft::NodeId>> readers(nodes.size());
  for (std::size_t id = 0; id < nodes.size(); ++id) {
    for (const weft::NodeId input : nodes[id].inputs)
      readers[static_cast<std::size_t>(input)].push_back(static_cast<weft::NodeId>(id));
  }
  readers[static_cast<std::size_t>(graph.output())].push_back(-1);
  if (graph.auxiliary()) readers[static_cast<std::size_t>(*graph.auxiliary())].push_back(-1);
  return readers;
}

// Of the nodes that nobody would read if a choice lacked the option whose input that is, as far as the choices before
// it: those cost what their own options do. Zeros cost nothing, as they are not computed where they are added.
inline weft::Cost candidate_cost(const weft::Architecture& graph, const std::vector<std::vector<weft::NodeId>>& readers,
                                 weft::NodeId input) {
  weft::Cost cost;
  std::set<weft::NodeId> without;
  std::set<weft::NodeId, std::greater<>> left = {input};  // the last first: all its readers are known then
  while (!left.empty()) {
    const weft::NodeId id = *left.begin();
    left.erase(left.begin());
    const weft::Node& node = graph.node(id);
    const std::vector<weft::NodeId>& of_node = readers[static_cast<std::size_t>(id)];
    const auto goes = [&](weft::NodeId reader) { return without.contains(reader); };
    const bool unread = id == input ? of_node.size() == 1 : std::ranges::all_of(of_node, goes);
    if (node.operation == "choice" || !unread) continue;
    without.insert(id);
    left.insert(node.inputs.begin(), node.inputs.end());
    if (node.operation != "zero") cost += node.cost;
  }
  return cost;
}

// By choice and option; of all nodes where it is taken together.
inline std::vector<std::vector<weft::Cost>> option_costs(const weft::Architecture& supernet) {
  const auto readers = readers_of(supernet);
  std::vector<std::vector<weft::Cost>> costs;
  for (const auto& choice : weft::choices_of(supernet)) {
    std::vector<weft::Cost>& of_choice = costs.emplace_back(choice.options.size());
    for (const weft::NodeId id : choice.nodes) {
      const std::vector<weft::NodeId>& inputs = supernet.node(id).inputs;
      for (std::size_t option = 0; option < inputs.size(); ++option)
        of_choice[option] += candidate_cost(supernet, readers, inputs[option]);
    }
  }
  return costs;
}

// The cost of a relaxed sample, differentiable in it.
class Resource {
 public:
  // linear: the weighted sum of parameters, multiply-adds and activation bytes; log: the mean of their logarithms, each
  // plus 1 so that an empty network's is 0.
  enum class Form { linear, log };
  struct Weights {  // of linear
    double parameters, multiply_adds, activation_bytes;
  };

  Resource(Form form, const Weights& weights, const std::vector<std::vector<weft::Cost>>& costs,
           const at::TensorOptions& options)
      : form_(form),
        weights_(at::tensor({weights.parameters, weights.multiply_adds, weights.activation_bytes}, at::kDouble)
                     .to(options)) {
    for (const std::vector<weft::Cost>& of_choice : costs) {
      std::vector<double> numbers;
      for (const weft::Cost& cost : of_choice) {
        for (const std::int64_t number : {cost.parameters, cost.multiply_adds, cost.activation_bytes})
          numbers.push_back(static_cast<double>(number));
      }
      costs_.push_back(at::tensor(numbers, at::kDouble).view({-1, 3}).to(options));
    }
  }

  // `sample` holds [options] for each choice.
  at::Tensor operator()(const std::vector<at::Tensor>& sample) const {
    at::Tensor total = at::zeros_like(weights_);  // [3]
    for (std::size_t i = 0; i < costs_.size(); ++i) total = total + at::matmul(sample[i], costs_[i]);
    return form_ == Form::linear ? (weights_ * total).sum() : at::log1p(total).mean();
  }

 private:
  Form form_;
  at::Tensor weights_;             // [3]
  std::vector<at::Tensor> costs_;  // by choice, [options, 3]
};

}  // namespace snas
