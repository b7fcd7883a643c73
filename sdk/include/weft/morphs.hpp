// Morphs: changes of an architecture that say how the child's weights follow from the parent's
// (weft/weight_transfer.hpp).
//
// Most of them preserve the function: in evaluation the child computes what its parent did. Wei et al. 2016 ("Network
// Morphism"), Chen et al. 2016 ("Net2Net"), Elsken et al. 2018, Cai et al. 2018b. The others come near it: those that
// remove, prune or replace. They work on any graph; where one cannot be done, NotApplicable says why.
//
// Nodes keep their names, and new ones get names that the graph does not have.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/tensors.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {

struct Morphed {
  Architecture child;
  WeightTransfer transfer;  // of one step
};

namespace morphs {

using Indices = std::vector<std::int64_t>;

namespace detail {

inline bool is_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

// Operations that treat each channel by itself and have no parameters.
inline bool keeps_channels(const Node& node) {
  return is_one_of(node.operation, {"activation", "max_pool", "avg_pool", "global_avg_pool", "dropout", "drop_path",
                                    "identity", "shift"}) ||
         (node.operation == "pad" && node.attributes.at("channels") == 0);
}
inline std::int64_t groups_of(const Node& node) { return node.attributes.at("groups").get<std::int64_t>(); }
inline bool is_dense(const Node& node) {
  return node.operation == "linear" || (node.operation == "conv2d" && groups_of(node) == 1);
}
// A filter for each channel.
inline bool is_depthwise(const Architecture& graph, const Node& node) {
  return node.operation == "conv2d" && groups_of(node) > 1 && groups_of(node) == node.shape.channels &&
         graph.shape(node.inputs[0]).channels == node.shape.channels;
}

// The channels of its output are those of each of its inputs.
inline bool passes_channels(const Architecture& graph, const Node& node) {
  return keeps_channels(node) || is_one_of(node.operation, {"batch_norm", "add", "mean", "multiply"}) ||
         is_depthwise(graph, node);
}

// Changes of a graph's JSON, by names.
class Draft {
 public:
  Draft(const Architecture& parent, const Operations& operations)
      : parent_(parent), operations_(operations), json_(parent.to_json()) {
    for (const Node& node : parent.nodes()) names_.insert(node.name);
  }

  Json& node(const std::string& name) { return *find(name); }
  Json& attribute(const std::string& name, const char* attribute) { return node(name)["attributes"][attribute]; }

  // Behind that node. Returns the new one's name.
  std::string insert(const std::string& behind, const std::string& operation, Json attributes,
                     std::vector<std::string> inputs) {
    std::string name = operation + " 1";
    for (int count = 2; !names_.insert(name).second; ++count) name = operation + " " + std::to_string(count);
    const auto at = find(behind);
    Json added = {
        {"name", name}, {"operation", operation}, {"inputs", std::move(inputs)}, {"attributes", std::move(attributes)}};
    if (at->contains("group")) added["group"] = at->at("group");
    json_["nodes"].insert(at + 1, std::move(added));
    return name;
  }

  // Whoever reads the one reads the other, but for some.
  void redirect(const std::string& from, const std::string& to, const std::set<std::string>& but = {}) {
    for (Json& node : json_["nodes"]) {
      if (but.contains(node.at("name").get<std::string>())) continue;
      for (Json& input : node["inputs"]) {
        if (input == from) input = to;
      }
    }
    for (const char* end : {"output", "auxiliary"}) {
      if (json_.contains(end) && json_[end] == from) json_[end] = to;
    }
  }

  // The child, and the step with what went with its nodes.
  Morphed finish(WeightTransfer::Step step) const {
    Architecture child = Architecture::from_json(json_, operations_);
    std::set<std::string> kept;
    for (const Node& node : child.nodes()) kept.insert(node.name);
    for (const Node& node : parent_.nodes()) {
      if (kept.contains(node.name)) continue;
      for (std::string& name : tensor_names(node)) {
        step.tensors.erase(name);
        step.removed.push_back(std::move(name));
      }
    }
    return {std::move(child), WeightTransfer{{std::move(step)}}};
  }

 private:
  Json::iterator find(const std::string& name) {
    Json& nodes = json_["nodes"];
    return std::find_if(nodes.begin(), nodes.end(), [&](const Json& node) { return node.at("name") == name; });
  }

  const Architecture& parent_;
  const Operations& operations_;
  Json json_;
  std::set<std::string> names_;
};

// How a change of the channels of one value goes through the graph: new channel k of a value is old channel index[k],
// or a new one where that is -1. What is multiplied with it is divided among those that repeat a channel.
class Channels {
 public:
  // `begin` is where the change begins; what computes it is changed, too, unless it is `given`.
  Channels(const Architecture& graph, NodeId begin, Indices indices, bool given = false)
      : graph_(graph), readers_(graph.nodes().size()) {
    for (NodeId id = 0; const Node& node : graph.nodes()) {
      for (const NodeId input : node.inputs) readers_[at(input)].push_back(id);
      ++id;
    }
    if (given) given_ = begin;
    give(begin, std::move(indices));
    while (!waiting_.empty() || compose()) {
      const NodeId value = waiting_.back();
      waiting_.pop_back();
      if (value != given_) change_source(value);
      for (const NodeId reader : readers_[at(value)]) change_reader(reader, value);
    }
  }

  const std::map<NodeId, Indices>& values() const { return values_; }

  // Into the draft's attributes and the step's rules.
  void write(Draft& draft, WeightTransfer::Step& step, double noise = 0.0) const {
    for (const auto& [id, indices] : values_) {
      const Node& node = graph_.node(id);
      if (id == given_) continue;
      const auto count = static_cast<std::int64_t>(indices.size());
      if (node.operation == "conv2d") draft.attribute(node.name, "channels") = count;
      if (node.operation == "linear") draft.attribute(node.name, "features") = count;
      if (is_depthwise(graph_, node)) draft.attribute(node.name, "groups") = count;
      const double spread = is_new(indices) ? 1.0 : noise;
      for (const std::string& name : tensor_names(node)) {
        // A new channel's filter is drawn as large as the others are; its normalisation begins as any does.
        const bool filter = node.operation != "batch_norm" && name.ends_with(".weight");
        const bool ones =
            node.operation == "batch_norm" && (name.ends_with(".weight") || name.ends_with(".running_var"));
        rule(step, name)
            .maps.push_back(
                {.dimension = 0, .indices = indices, .fill = ones ? 1.0 : 0.0, .noise = filter ? spread : 0.0});
      }
    }
    for (const auto& [id, indices] : columns_) {
      std::map<std::int64_t, int> copies;
      for (const std::int64_t index : indices) ++copies[index];
      WeightTransfer::Map map{.dimension = 1, .indices = indices};
      if (std::any_of(copies.begin(), copies.end(), [](const auto& one) { return one.first >= 0 && one.second > 1; })) {
        for (const std::int64_t index : indices) map.scale.push_back(index < 0 ? 1.0 : 1.0 / copies[index]);
      }
      rule(step, graph_.node(id).name + ".weight").maps.push_back(std::move(map));
    }
  }

 private:
  static std::size_t at(NodeId id) { return static_cast<std::size_t>(id); }
  static bool is_new(const Indices& indices) { return std::find(indices.begin(), indices.end(), -1) != indices.end(); }
  static WeightTransfer::Gather& rule(WeightTransfer::Step& step, const std::string& name) {
    return std::get<WeightTransfer::Gather>(step.tensors.try_emplace(name, WeightTransfer::Gather{name}).first->second);
  }

  [[noreturn]] void refuse(NodeId id, const std::string& why) const {
    throw NotApplicable("the channels of node " + graph_.node(id).name + " (" + graph_.node(id).operation +
                        ") cannot change: " + why);
  }

  void give(NodeId id, Indices indices) {
    if (id == graph_.output() || id == graph_.auxiliary()) refuse(id, "they are the network's output");
    const auto [known, is_first] = values_.try_emplace(id, std::move(indices));
    if (is_first) {
      waiting_.push_back(id);
    } else if (known->second != indices) {  // which it still holds
      refuse(id, "two of its neighbours change theirs in different ways");
    }
  }

  void change_source(NodeId id) {
    const Node& node = graph_.node(id);
    const Indices& indices = values_.at(id);
    if (is_dense(node)) return;  // its rows
    if (passes_channels(graph_, node)) {
      for (const NodeId input : node.inputs) give(input, indices);
    } else if (node.operation == "flatten") {
      const auto found = values_.find(node.inputs[0]);
      if (found == values_.end() || spread(node, found->second) != indices)
        refuse(id, "they are pixels of what it flattens");
    } else if (node.operation == "concat") {
      if (side_by_side(node) != indices) refuse(id, "they are those of its inputs");
    } else {
      refuse(id, "this operation's are not its to choose");
    }
  }

  void change_reader(NodeId id, NodeId value) {
    const Node& node = graph_.node(id);
    if (id == given_ && !is_dense(node)) refuse(value, "node " + node.name + " reads it, which is to stay as it is");
    const Indices& indices = values_.at(value);
    if (node.operation == "concat") {
      open_.insert(id);
    } else if (node.operation == "flatten") {
      give(id, spread(node, indices));
    } else if (is_dense(node)) {
      columns_[id] = indices;
    } else if (passes_channels(graph_, node)) {
      give(id, indices);
    } else {
      refuse(value, "node " + node.name + " (" + node.operation + ") reads it");
    }
  }

  // What concatenations make of their inputs, once nothing else is waiting. Whether there was any.
  bool compose() {
    const std::set<NodeId> open = std::exchange(open_, {});
    for (const NodeId id : open) give(id, side_by_side(graph_.node(id)));
    return !waiting_.empty();
  }

  Indices side_by_side(const Node& concat) const {
    Indices indices;
    std::int64_t offset = 0;
    for (const NodeId input : concat.inputs) {
      const std::int64_t channels = graph_.shape(input).channels;
      const auto found = values_.find(input);
      if (found == values_.end()) {
        for (std::int64_t c = 0; c < channels; ++c) indices.push_back(offset + c);
      } else {
        for (const std::int64_t index : found->second) indices.push_back(index < 0 ? -1 : offset + index);
      }
      offset += channels;
    }
    return indices;
  }

  // Channels of an image as features, pixel by pixel.
  Indices spread(const Node& flatten, const Indices& channels) const {
    const Shape& image = graph_.shape(flatten.inputs[0]);
    if (image.kind == Shape::Kind::sequence) refuse(flatten.inputs[0], "node " + flatten.name + " flattens a sequence");
    const std::int64_t pixels = image.is_image() ? image.height * image.width : 1;
    Indices indices;
    for (const std::int64_t channel : channels) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
        indices.push_back(channel < 0 ? -1 : channel * pixels + pixel);
    }
    return indices;
  }

  const Architecture& graph_;
  std::vector<std::vector<NodeId>> readers_;
  std::optional<NodeId> given_;
  std::map<NodeId, Indices> values_;   // whose channels change
  std::map<NodeId, Indices> columns_;  // by convolution or linear layer: the channels that it reads
  std::vector<NodeId> waiting_;
  std::set<NodeId> open_;  // concatenations of which an input changes
};

inline const Node& dense_layer(const Architecture& graph, NodeId id, const char* what) {
  const Node& node = graph.node(id);
  if (!is_dense(node))
    throw NotApplicable("only convolutions without groups and linear layers can be " + std::string(what) + "; node " +
                        node.name + " is a " + node.operation);
  return node;
}

inline Indices range(std::int64_t count) {
  Indices all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  return all;
}

// Whether no value is below zero, so that a ReLU changes none.
inline bool is_nonnegative(const Architecture& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto all = [&] {
    return std::all_of(node.inputs.begin(), node.inputs.end(),
                       [&](NodeId input) { return is_nonnegative(graph, input); });
  };
  if (node.operation == "activation")
    return is_one_of(node.attributes.at("function").get_ref<const std::string&>(),
                     {"relu", "relu6", "sigmoid", "softplus"});
  return (keeps_channels(node) || is_one_of(node.operation, {"add", "mean", "multiply", "concat", "flatten", "slice"})) &&
         !node.inputs.empty() && all();
}

// A batch norm that multiplies by `scale` in evaluation.
inline void set_batch_norm(WeightTransfer::Step& step, const std::string& name, std::int64_t channels, double scale) {
  constexpr double eps = 1e-5;  // the operation's default
  const WeightTransfer::Extents extents = {channels};
  step.tensors[name + ".weight"] = WeightTransfer::Constant{scale * std::sqrt(1.0 + eps), extents};
  step.tensors[name + ".bias"] = WeightTransfer::Constant{0.0, extents};
  step.tensors[name + ".running_mean"] = WeightTransfer::Constant{0.0, extents};
  step.tensors[name + ".running_var"] = WeightTransfer::Constant{1.0, extents};
}

// One that is the identity by what it is measured to read.
inline void calibrate_batch_norm(WeightTransfer::Step& step, const std::string& name) {
  for (const char* tensor : {".weight", ".bias", ".running_mean", ".running_var"})
    step.tensors[name + tensor] = WeightTransfer::Calibrated{};
}

}  // namespace detail

// For any two graphs: what has the same name and extents in both is kept, the rest begins afresh (Real et al. 2017).
inline WeightTransfer::Step matching(const Architecture& parent, const Architecture& child) {
  const auto before = tensor_extents(parent), after = tensor_extents(child);
  WeightTransfer::Step step;
  for (const auto& [name, extents] : after) {
    const auto same = before.find(name);
    if (same == before.end() || same->second != extents) step.tensors[name] = WeightTransfer::Fresh{};
  }
  for (const auto& [name, extents] : before) {
    if (!after.contains(name)) step.removed.push_back(name);
  }
  return step;
}

// More channels of a dense layer: new channel k repeats channel indices[k], and whoever reads them divides (Net2Wider).
// `indices` begin with 0, 1, .. as many as there are. A sum's other terms, and what lies between, follow. `noise` is
// that of Chen et al. on what repeats, without which copies stay alike for ever.
inline Morphed widen(const Architecture& parent, NodeId layer, const Indices& indices, double noise = 0.0,
                     const Operations& operations = Operations::built_in()) {
  const std::int64_t channels = detail::dense_layer(parent, layer, "widened").shape.channels;
  const Indices old = detail::range(channels);
  if (indices.size() <= old.size() || !std::equal(old.begin(), old.end(), indices.begin()))
    throw InvalidInput("widen: the indices must begin with 0 to " + std::to_string(channels - 1) + " and be more");
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= channels)
      throw InvalidInput("widen: index " + std::to_string(index) + " is none of " + std::to_string(channels) +
                         " channels");
  }
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  detail::Channels(parent, layer, indices).write(draft, step, noise);
  return draft.finish(std::move(step));
}

// As many more channels, drawn anew, that whoever reads them multiplies by zero (Elsken et al. 2018).
inline Morphed widen_by_zeros(const Architecture& parent, NodeId layer, std::int64_t more,
                              const Operations& operations = Operations::built_in()) {
  if (more < 1)
    throw InvalidInput("widen_by_zeros: there must be at least one more channel, not " + std::to_string(more));
  Indices indices = detail::range(detail::dense_layer(parent, layer, "widened").shape.channels);
  indices.insert(indices.end(), static_cast<std::size_t>(more), -1);
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  detail::Channels(parent, layer, indices).write(draft, step);
  return draft.finish(std::move(step));
}

// Approximate: only `kept` channels of a dense layer, in this order.
inline Morphed prune(const Architecture& parent, NodeId layer, const Indices& kept,
                     const Operations& operations = Operations::built_in()) {
  const std::int64_t channels = detail::dense_layer(parent, layer, "pruned").shape.channels;
  const std::set<std::int64_t> different(kept.begin(), kept.end());
  if (kept.empty() || different.size() != kept.size() || *different.begin() < 0 || *different.rbegin() >= channels)
    throw InvalidInput("prune: what is kept must be different channels of " + std::to_string(channels) +
                       ", at least one");
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  detail::Channels(parent, layer, kept).write(draft, step);
  return draft.finish(std::move(step));
}

// Approximate: the `kept` channels of a dense layer whose filters have the largest norms, which whoever has the weights
// looks up. Where the layer is a term of a sum, its norms decide for all terms. Not where they go through a concatenation or are flattened.
inline Morphed prune_by_norm(const Architecture& parent, NodeId layer, std::int64_t kept,
                             const Operations& operations = Operations::built_in()) {
  const Node& node = detail::dense_layer(parent, layer, "pruned");
  if (kept < 1 || kept > node.shape.channels)
    throw InvalidInput("prune_by_norm: " + std::to_string(kept) + " of " + std::to_string(node.shape.channels) +
                       " channels cannot be kept");
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  const detail::Channels channels(parent, layer, detail::range(kept));
  for (const auto& [id, indices] : channels.values()) {
    if (parent.node(id).operation == "concat" || parent.node(id).operation == "flatten")
      throw NotApplicable("the channels of node " + node.name + " are read beside others, by node " +
                          parent.node(id).name + "; name those that are kept");
  }
  channels.write(draft, step);
  for (auto& [name, rule] : step.tensors) {
    for (WeightTransfer::Map& map : std::get<WeightTransfer::Gather>(rule).maps) {
      map = {.dimension = map.dimension, .largest = WeightTransfer::Largest{kept, node.name + ".weight"}};
    }
  }
  return draft.finish(std::move(step));
}

struct Deepening {
  std::int64_t kernel = 3;  // odd
  bool separable = false;   // depthwise, and pointwise behind it
  double noise = 0.0;       // on the new filters
  // Whether the batch norm is the identity by what it is measured to read (Cai et al. 2018a): in training, too, as far as
  // a batch is like another. Else it is that in evaluation, and normalises what it reads as soon as it is trained.
  bool calibrated = false;
};

// A convolution, batch norm and, where no value is below zero, ReLU behind an image: the identity (Net2Deeper).
inline Morphed deepen(const Architecture& parent, NodeId behind, const Deepening& options = {},
                      const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(behind);
  if (!node.shape.is_image())
    throw NotApplicable("a convolution goes behind images; node " + node.name + " is " + node.shape.to_string());
  if (options.kernel < 1 || options.kernel % 2 == 0)
    throw InvalidInput("deepen: the kernel must be odd, not " + std::to_string(options.kernel));
  const std::int64_t channels = node.shape.channels;
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  const auto convolution = [&](const std::string& from, std::int64_t kernel, std::int64_t groups) {
    const std::string name = draft.insert(
        from, "conv2d",
        {{"channels", channels}, {"kernel", kernel}, {"padding", kernel / 2}, {"groups", groups}, {"bias", false}},
        {from});
    step.tensors[name + ".weight"] =
        WeightTransfer::Identity{{channels, channels / groups, kernel, kernel}, options.noise};
    return name;
  };
  const std::string first = convolution(node.name, options.kernel, options.separable ? channels : 1);
  const std::string second = options.separable ? convolution(first, 1, 1) : first;
  const std::string norm = draft.insert(second, "batch_norm", Json::object(), {second});
  options.calibrated ? detail::calibrate_batch_norm(step, norm) : detail::set_batch_norm(step, norm, channels, 1.0);
  const std::string last =
      detail::is_nonnegative(parent, behind) ? draft.insert(norm, "activation", {{"function", "relu"}}, {norm}) : norm;
  draft.redirect(node.name, last, {first});
  return draft.finish(std::move(step));
}

// The same behind features: a linear layer, batch norm and, where no value is below zero, ReLU.
inline Morphed deepen_linear(const Architecture& parent, NodeId behind, double noise = 0.0, bool calibrated = false,
                             const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(behind);
  if (node.shape.kind != Shape::Kind::features)
    throw NotApplicable("a linear layer goes behind features; node " + node.name + " is " + node.shape.to_string());
  if (behind == parent.output()) throw NotApplicable("node " + node.name + " is the network's output");
  const std::int64_t features = node.shape.channels;
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  const std::string layer = draft.insert(node.name, "linear", {{"features", features}, {"bias", false}}, {node.name});
  step.tensors[layer + ".weight"] = WeightTransfer::Identity{{features, features}, noise};
  const std::string norm = draft.insert(layer, "batch_norm", Json::object(), {layer});
  calibrated ? detail::calibrate_batch_norm(step, norm) : detail::set_batch_norm(step, norm, features, 1.0);
  const std::string last =
      detail::is_nonnegative(parent, behind) ? draft.insert(norm, "activation", {{"function", "relu"}}, {norm}) : norm;
  draft.redirect(node.name, last, {layer});
  return draft.finish(std::move(step));
}

// A kernel that is larger by two down and across, of zeros around the old one.
inline Morphed enlarge_kernel(const Architecture& parent, NodeId layer,
                              const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(layer);
  if (node.operation != "conv2d")
    throw NotApplicable("only a convolution has a kernel; node " + node.name + " is a " + node.operation);
  auto kernel = node.attributes.at("kernel").get<Indices>(), padding = node.attributes.at("padding").get<Indices>();
  const auto dilation = node.attributes.at("dilation").get<Indices>();
  for (std::size_t i = 0; i < 2; ++i) {
    kernel[i] += 2;
    padding[i] += dilation[i];
  }
  detail::Draft draft(parent, operations);
  draft.attribute(node.name, "kernel") = kernel;
  draft.attribute(node.name, "padding") = padding;
  WeightTransfer::Step step;
  step.tensors[node.name + ".weight"] = WeightTransfer::Pad{node.name + ".weight", kernel};
  return draft.finish(std::move(step));
}

namespace detail {

inline void check_skip(const Architecture& parent, NodeId from, NodeId to, bool same_channels) {
  const Shape &a = parent.shape(from), &b = parent.shape(to);
  if (from >= to)
    throw NotApplicable("a skip goes forward; node " + parent.node(to).name + " does not come behind " +
                        parent.node(from).name);
  if (!a.is_image() || !b.is_image() || a.height != b.height || a.width != b.width ||
      (same_channels && a.channels != b.channels))
    throw NotApplicable("nodes " + parent.node(from).name + ", " + a.to_string() + ", and " + parent.node(to).name +
                        ", " + b.to_string() + ", do not fit together");
}

}  // namespace detail

// Adds an earlier image to a later one, through a batch norm whose weights are zero (Elsken et al. 2018 with lambda 0).
inline Morphed skip_by_addition(const Architecture& parent, NodeId from, NodeId to,
                                const Operations& operations = Operations::built_in()) {
  detail::check_skip(parent, from, to, true);
  detail::Draft draft(parent, operations);
  const std::string later = parent.node(to).name;
  const std::string norm = draft.insert(later, "batch_norm", Json::object(), {parent.node(from).name});
  const std::string sum = draft.insert(norm, "add", Json::object(), {later, norm});
  draft.redirect(later, sum, {sum, norm});
  WeightTransfer::Step step;
  detail::set_batch_norm(step, norm, parent.shape(from).channels, 0.0);
  return draft.finish(std::move(step));
}

// Puts an earlier image beside a later one; whoever reads it multiplies that by zero.
inline Morphed skip_by_concatenation(const Architecture& parent, NodeId from, NodeId to,
                                     const Operations& operations = Operations::built_in()) {
  detail::check_skip(parent, from, to, false);
  const std::string later = parent.node(to).name;
  Indices indices = detail::range(parent.shape(to).channels);
  indices.insert(indices.end(), static_cast<std::size_t>(parent.shape(from).channels), -1);
  detail::Draft draft(parent, operations);
  WeightTransfer::Step step;
  const detail::Channels channels(parent, to, indices, /*given=*/true);
  if (channels.values().contains(from))
    throw NotApplicable("nodes " + parent.node(from).name + " and " + later +
                        " are terms of a sum, whose channels go together");
  channels.write(draft, step);
  const std::string both = draft.insert(later, "concat", Json::object(), {later, parent.node(from).name});
  draft.redirect(later, both, {both});
  return draft.finish(std::move(step));
}

// The same convolution twice, of half the weights, added (Cai et al. 2018b, replication-add). Without noise the two stay
// alike for ever.
inline Morphed replicate(const Architecture& parent, NodeId layer, double noise = 0.0,
                         const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(layer);
  if (!detail::is_one_of(node.operation, {"conv2d", "linear"}))
    throw NotApplicable("node " + node.name + " is a " + node.operation + ", which twice the half does not make");
  detail::Draft draft(parent, operations);
  const std::string twin = draft.insert(node.name, node.operation, node.attributes, {parent.node(node.inputs[0]).name});
  const std::string sum = draft.insert(twin, "add", Json::object(), {node.name, twin});
  draft.redirect(node.name, sum, {sum});
  WeightTransfer::Step step;
  for (const std::string& name : tensor_names(node)) {
    const WeightTransfer::Map half{.dimension = 0,
                                   .indices = detail::range(node.shape.channels),
                                   .scale = std::vector<double>(static_cast<std::size_t>(node.shape.channels), 0.5),
                                   .noise = noise};
    step.tensors[name] = WeightTransfer::Gather{name, {half}};
    step.tensors[twin + name.substr(node.name.size())] = WeightTransfer::Gather{name, {half}};
  }
  return draft.finish(std::move(step));
}

// A dense layer's channels by two layers, side by side: the first `first`, and the others (Cai et al. 2018b,
// split-concat).
inline Morphed split(const Architecture& parent, NodeId layer, std::int64_t first,
                     const Operations& operations = Operations::built_in()) {
  const Node& node = detail::dense_layer(parent, layer, "split");
  if (first < 1 || first >= node.shape.channels)
    throw InvalidInput("split: " + std::to_string(first) + " of " + std::to_string(node.shape.channels) +
                       " channels leave nothing for one of the two");
  const char* const count = node.operation == "conv2d" ? "channels" : "features";
  detail::Draft draft(parent, operations);
  Json others = node.attributes;
  others[count] = node.shape.channels - first;
  const std::string twin =
      draft.insert(node.name, node.operation, std::move(others), {parent.node(node.inputs[0]).name});
  const std::string both = draft.insert(twin, "concat", Json::object(), {node.name, twin});
  draft.attribute(node.name, count) = first;
  draft.redirect(node.name, both, {both});
  const Indices all = detail::range(node.shape.channels);
  WeightTransfer::Step step;
  for (const std::string& name : tensor_names(node)) {
    step.tensors[name] =
        WeightTransfer::Gather{name, {{.dimension = 0, .indices = {all.begin(), all.begin() + first}}}};
    step.tensors[twin + name.substr(node.name.size())] =
        WeightTransfer::Gather{name, {{.dimension = 0, .indices = {all.begin() + first, all.end()}}}};
  }
  return draft.finish(std::move(step));
}

// Approximate: what read a node reads its input, which has the same shape.
inline Morphed remove_layer(const Architecture& parent, NodeId layer,
                            const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(layer);
  if (node.inputs.size() != 1 || parent.shape(node.inputs[0]) != node.shape)
    throw NotApplicable("node " + node.name + " (" + node.operation +
                        ") does not have one input of its own shape, which could take its place");
  if (layer == parent.output()) throw NotApplicable("node " + node.name + " is the network's output");
  detail::Draft draft(parent, operations);
  draft.redirect(node.name, parent.node(node.inputs[0]).name);
  return draft.finish({});
}

// Approximate: a sum without one of its terms.
inline Morphed remove_skip(const Architecture& parent, NodeId sum, std::size_t term,
                           const Operations& operations = Operations::built_in()) {
  const Node& node = parent.node(sum);
  if (node.operation != "add" || node.inputs.size() < 2 || term >= node.inputs.size())
    throw NotApplicable("node " + node.name + " (" + node.operation + ") is no sum that has a term " +
                        std::to_string(term) + " beside others");
  detail::Draft draft(parent, operations);
  Json& inputs = draft.node(node.name)["inputs"];
  inputs.erase(inputs.begin() + static_cast<std::ptrdiff_t>(term));
  return draft.finish({});
}

}  // namespace morphs
}  // namespace weft
