// The contract suite of modules: what every plugin of kind `module` must do, by its operation's rule.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

#include "weft/testing/operation_contract.hpp"
#include "weft/torch/module_plugin.hpp"
#include "weft/torch/network.hpp"

namespace weft::testing {

// A network of that one operation, behind inputs of these shapes, which are equal.
inline Network network_of(const Plugin& operation, const Plugin& module, const Json& attributes,
                          const std::vector<Shape>& shapes) {
  const Operations operations = operations_with(operation);
  ArchitectureBuilder graph(operations);
  std::vector<NodeId> inputs;
  const NodeId input = graph.input(shapes.at(0));
  for (std::size_t i = 0; i < shapes.size(); ++i) inputs.push_back(graph.add("identity", {}, {input}));
  const NodeId node = graph.add(operation.component->name, attributes, inputs);
  OperationModules modules = OperationModules::built_in();
  modules.add(module.component->name, [maker = ingredient_of<ModuleMaker>(module)](const ModuleArguments& arguments) {
    return maker->make(arguments);
  });
  return {std::move(graph).build(node), Rng(1), modules};
}

inline void check_module(const Plugin& operation, const Plugin& module, const Json& attributes,
                         const std::vector<Shape>& shapes) {
  Network network = network_of(operation, module, attributes, shapes);
  const Architecture& architecture = network.architecture();
  const auto sizes = [](const Shape& shape) {
    std::vector<std::int64_t> sizes = {3};
    for (const Json& extent : shape.to_json()) sizes.push_back(extent);
    return sizes;
  };
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : network.parameters()) parameters += parameter.numel();
  REQUIRE(parameters == architecture.cost().parameters);

  at::manual_seed(5);
  at::Tensor input = at::randn(sizes(shapes.at(0)));
  if (input.dim() == 4) input = input.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor kept = input.clone();
  for (const bool training : {true, false}) {
    network.train(training);
    at::manual_seed(7);
    const at::Tensor output = network.forward(input).logits;
    REQUIRE(output.sizes() == at::IntArrayRef(sizes(architecture.shape(architecture.output()))));
    REQUIRE(output.isfinite().all().item<bool>());
    at::manual_seed(7);
    REQUIRE(at::equal(network.forward(input).logits, output));
    REQUIRE(at::equal(input, kept));  // what others may read is not overwritten
  }
  network.train();
  const at::Tensor leaf = input.clone().requires_grad_();
  const at::Tensor output = network.forward(leaf).logits;
  if (output.requires_grad()) {
    output.sum().backward();
    if (leaf.grad().defined()) REQUIRE(leaf.grad().isfinite().all().item<bool>());
    for (const at::Tensor& parameter : network.parameters()) REQUIRE(parameter.grad().defined());
  }
}

}  // namespace weft::testing
