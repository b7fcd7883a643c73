// What a network holds of each node of its graph, its parameters and running statistics, by name and extents; and what a
// transfer makes of them, without a tensor.
//
// Of the operations that morphs know. A test of the torch tier compares it with what networks hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {

// A morph cannot be done there, or a transfer be told.
class NotApplicable : public InvalidInput {
 public:
  using InvalidInput::InvalidInput;
};

// Throws NotApplicable where that is not known.
inline std::vector<std::string> tensor_names(const Node& node) {
  const auto is_one_of = [&](std::initializer_list<std::string_view> operations) {
    return std::find(operations.begin(), operations.end(), node.operation) != operations.end();
  };
  const auto named = [&](std::initializer_list<const char*> tensors) {
    std::vector<std::string> names;
    for (const char* tensor : tensors) names.push_back(node.name + "." + tensor);
    return names;
  };
  if (is_one_of({"conv2d", "linear"}))
    return node.attributes.at("bias").get<bool>() ? named({"weight", "bias"}) : named({"weight"});
  if (node.operation == "batch_norm") {
    return node.attributes.at("affine").get<bool>() ? named({"weight", "bias", "running_mean", "running_var"})
                                                    : named({"running_mean", "running_var"});
  }
  if (is_one_of({"input", "identity", "zero", "activation", "dropout", "drop_path", "max_pool", "avg_pool",
                 "global_avg_pool", "add", "mean", "multiply", "scale", "concat", "flatten", "pad", "resize", "shift", "slice"}))
    return {};
  throw NotApplicable("node " + node.name + " is a " + node.operation + ", whose weights morphs know nothing of");
}

using TensorExtents = std::map<std::string, WeightTransfer::Extents>;

// Throws NotApplicable as tensor_names().
inline TensorExtents tensor_extents(const Architecture& graph) {
  TensorExtents extents;
  for (const Node& node : graph.nodes()) {
    for (const std::string& name : tensor_names(node)) {
      WeightTransfer::Extents& own = extents[name] = {node.shape.channels};
      if (!name.ends_with(".weight") || node.operation == "batch_norm") continue;
      const std::int64_t inputs = graph.shape(node.inputs[0]).channels;
      own.push_back(node.operation == "conv2d" ? inputs / node.attributes.at("groups").get<std::int64_t>() : inputs);
      if (node.operation == "conv2d") {
        for (const Json& extent : node.attributes.at("kernel")) own.push_back(extent);
      }
    }
  }
  return extents;
}

namespace detail {

// One rule: from the extents before its step to those of the tensor that it makes; none where the child begins itself.
class TransferredExtents {
 public:
  TransferredExtents(const TensorExtents& before, std::string place) : before_(before), place_(std::move(place)) {}

  WeightTransfer::Extents operator()(const WeightTransfer::Gather& rule) const {
    WeightTransfer::Extents extents = source(rule.from);
    if (extents.empty()) return {};
    for (const WeightTransfer::Map& map : rule.maps) {
      const auto at = static_cast<std::size_t>(map.dimension);
      if (at >= extents.size()) fail("gathers along dimension " + std::to_string(at) + " of " + rule.from);
      for (const std::int64_t index : map.indices) {
        if (index >= extents[at])
          fail("has index " + std::to_string(index) + ", but " + rule.from + " has " + std::to_string(extents[at]) +
               " slices along dimension " + std::to_string(at));
      }
      if (map.largest) {
        const WeightTransfer::Extents& measured = source(map.largest->norm_of);
        if (measured.empty() || measured[0] != extents[at] || map.largest->count > extents[at])
          fail("keeps " + std::to_string(map.largest->count) + " of " + std::to_string(extents[at]) +
               " slices by the norms of " + map.largest->norm_of);
      }
      extents[at] = map.largest ? map.largest->count : static_cast<std::int64_t>(map.indices.size());
    }
    return extents;
  }
  WeightTransfer::Extents operator()(const WeightTransfer::Pad& rule) const {
    WeightTransfer::Extents extents = source(rule.from);
    if (extents.empty()) return {};
    if (extents.size() != 4) fail("pads a kernel, but " + rule.from + " has none");
    for (const std::size_t side : {0, 1}) {
      const std::int64_t more = rule.kernel[side] - extents[2 + side];
      if (more < 0 || more % 2 != 0) fail("cannot pad " + rule.from + " at its centre");
      extents[2 + side] = rule.kernel[side];
    }
    return extents;
  }
  WeightTransfer::Extents operator()(const WeightTransfer::Identity& rule) const { return rule.extents; }
  WeightTransfer::Extents operator()(const WeightTransfer::Constant& rule) const { return rule.extents; }
  WeightTransfer::Extents operator()(const WeightTransfer::Fresh&) const { return {}; }
  WeightTransfer::Extents operator()(const WeightTransfer::Calibrated&) const { return {}; }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InvalidInput("transfer" + place_ + " " + what); }
  const WeightTransfer::Extents& source(const std::string& name) const {
    const auto found = before_.find(name);
    if (found == before_.end()) fail("follows from " + name + ", which its parent does not have there");
    return found->second;
  }

  const TensorExtents& before_;
  std::string place_;
};

}  // namespace detail

// Throws InvalidInput naming step and tensor where the transfer does not lead from the parent's tensors to the child's.
inline void check_transfer(const Architecture& parent, const Architecture& child, const WeightTransfer& transfer) {
  TensorExtents extents = tensor_extents(parent);
  for (std::size_t i = 0; i < transfer.steps.size(); ++i) {
    const WeightTransfer::Step& step = transfer.steps[i];
    const std::string place = "/steps/" + std::to_string(i);
    TensorExtents made;
    for (const auto& [name, rule] : step.tensors)
      made[name] = std::visit(detail::TransferredExtents(extents, place + "/tensors/" + name), rule);
    for (const std::string& name : step.removed) {
      if (extents.erase(name) == 0)
        throw InvalidInput("transfer" + place + "/removed names " + name + ", which its parent does not have there");
    }
    for (auto& [name, own] : made) extents[name] = std::move(own);
  }
  const TensorExtents wanted = tensor_extents(child);
  for (const auto& [name, own] : extents) {
    const auto found = wanted.find(name);
    if (found == wanted.end()) throw InvalidInput("the transfer makes " + name + ", which the child does not have");
    if (!own.empty() && own != found->second)  // empty: whatever the child begins with
      throw InvalidInput("the transfer makes " + name + " " + Json(own).dump() + "; the child's is " +
                         Json(found->second).dump());
  }
  for (const auto& [name, own] : wanted) {
    if (!extents.contains(name)) throw InvalidInput("the transfer says nothing of " + name);
  }
}

}  // namespace weft
