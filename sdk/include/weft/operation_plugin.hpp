// An operation that a plugin adds to the vocabulary of architecture graphs.
//
// The plugin is called as its operation is. What it costs and which shapes it takes is told here, to whoever builds or
// reads a graph, without LibTorch; how it is computed says a plugin of kind `module` of the same name
// (weft/torch/module_plugin.hpp). Without arguments and without state: one instance serves the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/operation.hpp"

namespace weft {

class Operation {
 public:
  static constexpr const char* kind = "operation";

  struct Description {
    Json attributes = Json::object();  // name -> default; null marks one that must be given
    std::size_t min_inputs = 1;
    std::optional<std::size_t> max_inputs = 1;  // none: any number
    bool commutative = false;                   // the order of the inputs does not matter
  };
  struct Inferred {
    Shape shape;  // of the output
    Cost cost;    // of one example
  };

  virtual ~Operation() = default;
  virtual Description describe() const = 0;
  // `attributes` are complete, and may be rewritten into a normal form. Throws InvalidInput where attributes or shapes
  // do not fit.
  virtual Inferred infer(Json& attributes, std::span<const Shape> inputs) const = 0;
};

namespace detail {

template <typename T>
struct OperationTables {
  static constexpr weft_operation_1 operation{
      .size = sizeof(weft_operation_1),
      .describe =
          [](void* instance, const weft_writer* out, const weft_writer* error) {
            return guard(error, [&] {
              const Operation::Description description = self<T>(instance).describe();
              const Json most = description.max_inputs ? Json(*description.max_inputs) : Json();
              write(out, Json{{"attributes", description.attributes},
                              {"min_inputs", description.min_inputs},
                              {"max_inputs", most},
                              {"commutative", description.commutative}}
                             .dump());
            });
          },
      .infer =
          [](void* instance, weft_text given, weft_text lent, const weft_writer* out, const weft_writer* error) {
            return guard(error, [&] {
              Json attributes = parse_json(given);
              std::vector<Shape> inputs;
              for (const Json& shape : parse_json(lent)) inputs.push_back(Shape::from_json(shape));
              const auto [shape, cost] = self<T>(instance).infer(attributes, inputs);
              write(out, Json{{"attributes", attributes},
                              {"shape", shape.to_json()},
                              {"parameters", cost.parameters},
                              {"multiply_adds", cost.multiply_adds},
                              {"activation_bytes", cost.activation_bytes}}
                             .dump());
            });
          }};

  static const void* find(std::string_view id) { return id == WEFT_OPERATION_1 ? &operation : nullptr; }
};

}  // namespace detail

// What its table says, as a rule of the vocabulary. The component lives as long as the process.
OperationRule rule_of(const weft_handle& operation);

namespace detail {

// From here on, this library knows the operations that plugins add.
void adopt_operations(const weft_context& context);

}  // namespace detail

#ifndef WEFT_DECLARED_ONLY
namespace detail {

inline Json inferred(const weft_operation_1* table, void* instance, const Json& attributes,
                     std::span<const Shape> inputs) {
  Json shapes = Json::array();
  for (const Shape& shape : inputs) shapes.push_back(shape.to_json());
  const std::string given = attributes.dump(), lent = shapes.dump();
  StringWriter out, error;
  check(need(table, &weft_operation_1::infer)(instance, text(given), text(lent), out, error), error);
  Json answer = parse_json(out.text());
  const auto is_cost = [&](const char* name) {
    return answer.contains(name) && answer[name].is_number() && answer[name] >= 0;
  };
  if (!answer.is_object() || !answer.value("attributes", Json()).is_object() || !answer.contains("shape") ||
      !is_cost("parameters") || !is_cost("multiply_adds") || !is_cost("activation_bytes"))
    throw Error("an operation's infer() answers " + out.text() +
                "; there must be attributes, an object, shape, and parameters, multiply_adds and activation_bytes, "
                "numbers of at least 0");
  return answer;
}

}  // namespace detail

WEFT_INLINE OperationRule rule_of(const weft_handle& operation) {
  const std::string name = operation.component->name;
  const auto* table = static_cast<const weft_operation_1*>(operation.component->find_interface(WEFT_OPERATION_1));
  if (table == nullptr) throw Error(name + " is not an operation: it has no " WEFT_OPERATION_1);
  detail::StringWriter out, error;
  detail::check(detail::need(table, &weft_operation_1::describe)(operation.instance, out, error), error);
  const Json description = detail::parse_json(out.text());
  const Json most = description.value("max_inputs", Json());
  OperationRule rule{.name = name,
                     .defaults = description.at("attributes"),
                     .min_inputs = description.at("min_inputs"),
                     .max_inputs = most.is_null() ? SIZE_MAX : most.get<std::size_t>(),
                     .commutative = description.at("commutative")};
  rule.infer = [table, instance = operation.instance](Json& attributes, OperationRule::Shapes inputs) {
    const Json inferred = detail::inferred(table, instance, attributes, inputs);
    attributes = inferred.at("attributes");
    return Shape::from_json(inferred.at("shape"));
  };
  rule.cost = [table, instance = operation.instance](const Json& attributes, OperationRule::Shapes inputs,
                                                     const Shape&) {
    const Json inferred = detail::inferred(table, instance, attributes, inputs);
    return Cost{inferred.at("parameters"), inferred.at("multiply_adds"), inferred.at("activation_bytes")};
  };
  return rule;
}

WEFT_INLINE void detail::adopt_operations(const weft_context& context) {
  if (!has(&context, &weft_context::shared)) return;
  Operations::set_source([shared = context.shared](std::string_view name) -> std::optional<OperationRule> {
    weft_handle found{};
    StringWriter error;
    const weft_status status = shared(text(Operation::kind), text(name), &found, error);
    if (status == WEFT_INVALID) return {};
    check(status, error);
    return rule_of(found);
  });
}
#endif

}  // namespace weft
