// The architecture graph: a directed acyclic graph whose nodes have one operation and a list of parents (survey, Eq.
// 1).
//
// Spaces build it with ArchitectureBuilder, which infers and checks shapes as nodes are added; an Architecture is
// immutable. Its nodes are in topological order, and each contributes to one of its outputs: what nobody reads is
// removed when it is built.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/operation.hpp"
#include "weft/shape.hpp"

namespace weft {

using NodeId = std::int32_t;
using Attributes = Json;

struct Node {
  std::string operation;
  Attributes attributes = {};  // normalised: every attribute of the operation is present
  std::vector<NodeId> inputs;  // all smaller than this node's own id
  std::string name;            // unique in the graph; parameters of the network are named after it, "name.weight"
  std::string group;           // where it belongs, outermost first: "normal 3/block 2/sep_conv_3x3". Drawing only.
  Shape shape = {};            // of its output
  Cost cost = {};
  bool commutative = false;  // the order of the inputs does not matter
};

namespace detail {

// Whether it is a recurrent node (weft/recurrent.hpp) with choices in its cell.
bool cell_has_choices(const Node& node);

}  // namespace detail

class Architecture {
 public:
  // What they return is this object's: a temporary is to be given a name first.
  std::span<const Node> nodes() const& { return nodes_; }
  std::span<const Node> nodes() const&& = delete;
  const Node& node(NodeId id) const& { return nodes_.at(static_cast<std::size_t>(id)); }
  const Node& node(NodeId id) const&& = delete;
  const Shape& shape(NodeId id) const& { return node(id).shape; }
  const Shape& shape(NodeId id) const&& = delete;

  NodeId output() const { return output_; }
  // Output of the auxiliary classifier, trained along and dropped afterwards.
  std::optional<NodeId> auxiliary() const { return auxiliary_; }

  // Its own, or in the cell of a recurrent node.
  bool has_choices() const {
    for (const Node& node : nodes_) {
      if (node.operation == "choice" || detail::cell_has_choices(node)) return true;
    }
    return false;
  }

  // Of everything that `output` needs; the auxiliary classifier is not counted. With choices: of all candidates.
  Cost cost() const;

  // Equal for graphs that differ in node order, names and groups alone; sensitive to everything else. See
  // weft/canonical_hash.hpp for what is guaranteed.
  std::uint64_t canonical_hash() const;

  // {"architecture": 1, "nodes": [{"name", "operation", "attributes", "inputs": [name..], "group"}], "output": name}.
  Json to_json() const;
  // Throws InvalidInput naming node, rule and shapes.
  static Architecture from_json(const Json& json, const Operations& operations = Operations::built_in());

 private:
  friend class ArchitectureBuilder;
  Architecture() = default;

  std::vector<bool> ancestors(NodeId id) const;

  std::vector<Node> nodes_;
  NodeId output_ = 0;
  std::optional<NodeId> auxiliary_;
};

class ArchitectureBuilder {
 public:
  explicit ArchitectureBuilder(const Operations& operations = Operations::built_in()) : operations_(&operations) {}

  // Adds a node whose inputs were added before. Without a `name` it is named after its place and operation,
  // "stem/conv2d", and those after it "stem/conv2d 2": weights travel by name, so that what comes elsewhere must not
  // change it. Throws InvalidInput naming node, rule and input shapes.
  NodeId add(std::string_view operation, Attributes attributes, std::span<const NodeId> inputs, std::string name = {});
  NodeId add(std::string_view operation, Attributes attributes, std::initializer_list<NodeId> inputs,
             std::string name = {}) {
    return add(operation, std::move(attributes), std::span(inputs.begin(), inputs.size()), std::move(name));
  }
  NodeId input(const Shape& shape) {
    return add("input", {{"shape", shape.to_json()}}, std::span<const NodeId>(), "input");
  }

  const Shape& shape(NodeId id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= nodes_.size()) {
      throw InvalidInput("node " + std::to_string(id) + " does not exist; the graph has " +
                         std::to_string(nodes_.size()));
    }
    return nodes_[static_cast<std::size_t>(id)].shape;
  }

  // The group of the nodes added from now on, until the returned guard goes.
  class [[nodiscard]] Group {
   public:
    Group(std::string& current, std::string_view name) : current_(current), outer_(current) {
      if (!current_.empty()) current_ += '/';
      current_ += name;
    }
    ~Group() { current_ = outer_; }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

   private:
    std::string& current_;
    std::string outer_;
  };
  Group group(std::string_view name) { return Group(group_, name); }
  // The same, told apart from earlier ones of that name at this place: "sep_conv_3x3", then "sep_conv_3x3 2". For
  // composites: a drawing folds each group into one box.
  Group own_group(std::string_view name) {
    const std::string place = group_ + "/";
    std::string own(name);
    for (int count = 2; !own_groups_.insert(place + own).second; ++count)
      own = std::string(name) + " " + std::to_string(count);
    return Group(group_, own);
  }

  // The finished graph, without the nodes that contribute to neither output. The builder is used up.
  Architecture build(NodeId output, std::optional<NodeId> auxiliary = {}) &&;

 private:
  std::string name_at_place(const std::string& operation);

  void check_name(const std::string& name) const;

  static void check_arity(const OperationRule& rule, std::size_t count);

  static Attributes with_defaults(const OperationRule& rule, Attributes given);

  static std::string describe(const std::vector<Shape>& shapes);

  const Operations* operations_;
  std::vector<Node> nodes_;
  std::set<std::string> names_;
  std::map<std::string, int> named_;  // by place and operation
  std::string group_;
  std::set<std::string> own_groups_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json Architecture::to_json() const {
  Json nodes = Json::array();
  for (const Node& node : nodes_) {
    Json inputs = Json::array();
    for (const NodeId input : node.inputs) inputs.push_back(this->node(input).name);
    Json entry = {{"name", node.name}, {"operation", node.operation}, {"inputs", std::move(inputs)}};
    if (!node.attributes.empty()) entry["attributes"] = node.attributes;
    if (!node.group.empty()) entry["group"] = node.group;
    nodes.push_back(std::move(entry));
  }
  Json json = {{"architecture", 1}, {"nodes", std::move(nodes)}, {"output", node(output_).name}};
  if (auxiliary_) json["auxiliary"] = node(*auxiliary_).name;
  return json;
}

WEFT_INLINE Architecture Architecture::from_json(const Json& json, const Operations& operations) {
  try {
    if (json.at("architecture") != 1) throw InvalidInput("architecture must be 1, the version of the format");
    ArchitectureBuilder builder(operations);
    std::map<std::string, NodeId, std::less<>> ids;
    const auto resolve = [&](const Json& name, const std::string& reader) {
      const auto found = ids.find(name.get_ref<const std::string&>());
      if (found == ids.end()) throw InvalidInput(reader + " reads " + name.dump() + ", which is not listed before it");
      return found->second;
    };
    for (const Json& entry : json.at("nodes")) {
      const std::string name = entry.at("name");
      std::vector<NodeId> inputs;
      for (const Json& input : entry.at("inputs")) inputs.push_back(resolve(input, "node " + name));
      const auto group = builder.group(entry.value("group", ""));
      ids[name] = builder.add(entry.at("operation").get_ref<const std::string&>(),
                              entry.value("attributes", Json::object()), inputs, name);
    }
    const NodeId output = resolve(json.at("output"), "output");
    std::optional<NodeId> auxiliary;
    if (json.contains("auxiliary")) auxiliary = resolve(json.at("auxiliary"), "auxiliary");
    return std::move(builder).build(output, auxiliary);
  } catch (const Json::exception& error) {
    throw InvalidInput(std::string("not an architecture: ") + error.what());
  }
}

WEFT_INLINE Cost Architecture::cost() const {
  Cost total;
  const std::vector<bool> needed = ancestors(output_);
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    if (needed[id]) total += nodes_[id].cost;
  }
  return total;
}

WEFT_INLINE std::vector<bool> Architecture::ancestors(NodeId id) const {
  std::vector<bool> needed(nodes_.size());
  needed.at(static_cast<std::size_t>(id)) = true;
  for (std::size_t at = nodes_.size(); at-- > 0;) {
    if (!needed[at]) continue;
    for (const NodeId input : nodes_[at].inputs) needed[static_cast<std::size_t>(input)] = true;
  }
  return needed;
}

WEFT_INLINE std::string ArchitectureBuilder::name_at_place(const std::string& operation) {
  std::string first = group_.empty() ? operation : group_ + "/" + operation;
  std::replace(first.begin(), first.end(), '.', '_');
  int& count = named_[first];
  std::string name = ++count == 1 ? first : first + " " + std::to_string(count);
  while (names_.contains(name)) name = first + " " + std::to_string(++count);
  return name;
}

WEFT_INLINE void ArchitectureBuilder::check_arity(const OperationRule& rule, std::size_t count) {
  if (count >= rule.min_inputs && count <= rule.max_inputs) return;
  const std::string wanted = rule.max_inputs == rule.min_inputs ? std::to_string(rule.min_inputs)
                             : rule.max_inputs == SIZE_MAX
                                 ? "at least " + std::to_string(rule.min_inputs)
                                 : std::to_string(rule.min_inputs) + " to " + std::to_string(rule.max_inputs);
  throw InvalidInput("takes " + wanted + " inputs, not " + std::to_string(count));
}

WEFT_INLINE Attributes ArchitectureBuilder::with_defaults(const OperationRule& rule, Attributes given) {
  Attributes full = rule.defaults;
  for (auto& [key, value] : given.items()) {
    if (!full.contains(key)) {
      std::string known;
      for (const auto& [name, unused] : rule.defaults.items()) known += (known.empty() ? "" : ", ") + name;
      throw InvalidInput("unknown attribute \"" + key + "\"; known are " + (known.empty() ? "none" : known));
    }
    full[key] = std::move(value);
  }
  for (const auto& [key, value] : full.items()) {
    if (value.is_null()) throw InvalidInput("attribute \"" + key + "\" must be given");
  }
  return full;
}

WEFT_INLINE std::string ArchitectureBuilder::describe(const std::vector<Shape>& shapes) {
  if (shapes.empty()) return "";
  std::string text = "; input shapes: ";
  for (std::size_t i = 0; i < shapes.size(); ++i) text += (i ? ", " : "") + shapes[i].to_string();
  return text;
}

WEFT_INLINE void ArchitectureBuilder::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) throw InvalidInput("a name must not be empty or hold a '.'");
  if (names_.contains(name)) throw InvalidInput("the name is taken; names are unique in a graph");
}

WEFT_INLINE Architecture ArchitectureBuilder::build(NodeId output, std::optional<NodeId> auxiliary) && {
  shape(output);
  Architecture built;
  built.nodes_ = std::move(nodes_);
  std::vector<bool> needed = built.ancestors(output);
  if (auxiliary) {
    const std::vector<bool> more = built.ancestors(*auxiliary);
    for (std::size_t id = 0; id < needed.size(); ++id) needed[id] = needed[id] || more[id];
  }
  std::vector<NodeId> renumbered(needed.size(), -1);
  std::vector<Node> kept;
  for (std::size_t id = 0; id < needed.size(); ++id) {
    if (!needed[id]) continue;
    renumbered[id] = static_cast<NodeId>(kept.size());
    kept.push_back(std::move(built.nodes_[id]));
    for (NodeId& input : kept.back().inputs) input = renumbered[static_cast<std::size_t>(input)];
  }
  built.nodes_ = std::move(kept);
  built.output_ = renumbered[static_cast<std::size_t>(output)];
  if (auxiliary) built.auxiliary_ = renumbered[static_cast<std::size_t>(*auxiliary)];
  return built;
}

WEFT_INLINE NodeId ArchitectureBuilder::add(std::string_view operation, Attributes attributes,
                                            std::span<const NodeId> inputs, std::string name) {
  const OperationRule& rule = operations_->find(operation);
  Node node{.operation = std::string(operation),
            .inputs = {inputs.begin(), inputs.end()},
            .name = std::move(name),
            .group = group_,
            .commutative = rule.commutative};
  if (node.name.empty()) node.name = name_at_place(node.operation);
  std::vector<Shape> shapes;
  for (const NodeId input : inputs) shapes.push_back(shape(input));
  try {
    check_name(node.name);
    check_arity(rule, inputs.size());
    node.attributes = with_defaults(rule, std::move(attributes));
    node.shape = rule.infer(node.attributes, shapes);
    node.cost = rule.cost(node.attributes, shapes, node.shape);
  } catch (const InvalidInput& error) {
    throw InvalidInput("node " + node.name + " (" + node.operation + "): " + error.what() + describe(shapes));
  } catch (const Json::exception& error) {
    throw InvalidInput("node " + node.name + " (" + node.operation + "): " + error.what());
  }
  names_.insert(node.name);
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

WEFT_INLINE bool detail::cell_has_choices(const Node& node) {
  if (node.operation != "recurrent") return false;
  for (const Json& inner : node.attributes.at("cell").at("nodes")) {
    if (inner.at("operation") == "choice") return true;
  }
  return false;
}
#endif

}  // namespace weft

#include "weft/canonical_hash.hpp"  // IWYU pragma: export
