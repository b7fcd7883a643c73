// The contract suite of operations: what every plugin of kind `operation` must do, whatever it is.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/operation_contract.hpp"
#endif

#include <string>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/operation_plugin.hpp"
#include "weft/testing/library.hpp"

namespace weft::testing {

// As a rule of the vocabulary; its instance lives as long as the process.
inline OperationRule rule_of_plugin(const Plugin& operation) {
  auto* const instance = new Instance(operation, Json::object());
  return rule_of(instance->handle());
}

// The vocabulary with it.
inline Operations operations_with(const Plugin& operation) {
  Operations operations = Operations::built_in();
  operations.add(rule_of_plugin(operation));
  return operations;
}

// Its shape and cost with these attributes behind inputs of these shapes, as a graph has it.
inline Node inferred(const Plugin& operation, const Json& attributes, const std::vector<Shape>& shapes) {
  const Operations operations = operations_with(operation);
  ArchitectureBuilder graph(operations);
  std::vector<NodeId> inputs;
  const NodeId input = graph.input(shapes.at(0));
  for (std::size_t i = 0; i < shapes.size(); ++i) inputs.push_back(graph.add("identity", {}, {input}));
  const NodeId node = graph.add(operation.component->name, attributes, inputs);
  const Architecture architecture = std::move(graph).build(node);
  return architecture.nodes().back();
}

// `attributes` and `shapes` are some that it takes; all shapes are equal.
inline void check_operation(const Plugin& operation, const Json& attributes, const std::vector<Shape>& shapes) {
  const OperationRule rule = rule_of_plugin(operation);
  REQUIRE(rule.name == operation.component->name);
  REQUIRE(rule.defaults.is_object());
  REQUIRE(rule.min_inputs <= shapes.size());
  REQUIRE(shapes.size() <= rule.max_inputs);

  const Node node = inferred(operation, attributes, shapes);
  REQUIRE(node.cost.parameters >= 0);
  REQUIRE(node.cost.multiply_adds >= 0);
  REQUIRE(node.cost.activation_bytes >= 0);
  for (const auto& [name, value] : rule.defaults.items()) REQUIRE(node.attributes.contains(name));
  // A normal form stays what it is, and means the same.
  const Node again = inferred(operation, node.attributes, shapes);
  REQUIRE(again.attributes == node.attributes);
  REQUIRE(again.shape == node.shape);
  REQUIRE(again.cost == node.cost);
  // An attribute that does not exist, and one too few.
  Json strange = attributes;
  strange["no such attribute"] = 1;
  REQUIRE_THROWS_AS(inferred(operation, strange, shapes), InvalidInput);
  for (const auto& [name, value] : rule.defaults.items()) {
    if (!value.is_null()) continue;
    Json lacking = attributes;
    lacking.erase(name);
    REQUIRE_THROWS_AS(inferred(operation, lacking, shapes), InvalidInput);
  }
}

}  // namespace weft::testing
