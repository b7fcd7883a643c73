// The mutations of Real et al. 2017, "Large-Scale Evolution of Image Classifiers", section 3.2: they change what the
// network computes, and the weights of layers whose extents stay are kept (section 3.4).
//
// Where images of different shapes meet in a sum, its first input decides and the others are resized.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/morphs.hpp"

namespace graph_space {

using weft::Architecture;
using weft::Json;
using weft::NodeId;

// A graph's JSON, with whatever was done to it, as a graph that fits together again.
inline Architecture repaired(const Json& json) {
  weft::ArchitectureBuilder graph;
  std::map<std::string, NodeId> ids;
  for (const Json& node : json.at("nodes")) {
    const std::string name = node.at("name"), operation = node.at("operation");
    std::vector<NodeId> inputs;
    for (const Json& input : node.at("inputs")) inputs.push_back(ids.at(input.get<std::string>()));
    if (operation == "resize") {  // anew, where it is still needed
      ids[name] = inputs[0];
      continue;
    }
    const auto group = graph.group(node.value("group", ""));
    for (std::size_t i = 1; operation == "add" && i < inputs.size(); ++i) {
      const weft::Shape &to = graph.shape(inputs[0]), &from = graph.shape(inputs[i]);
      if (from == to) continue;
      if (!from.is_image() || !to.is_image())
        throw weft::NotApplicable("an image and features meet in node " + name);
      inputs[i] = graph.add("resize", {{"channels", to.channels}, {"height", to.height}, {"width", to.width}},
                            std::span(&inputs[i], 1), name + "/resize " + std::to_string(i));
    }
    ids[name] = graph.add(operation, node.value("attributes", Json::object()), inputs, name);
  }
  const auto auxiliary = json.find("auxiliary");
  return std::move(graph).build(ids.at(json.at("output").get<std::string>()),
                                auxiliary == json.end() || auxiliary->is_null()
                                    ? std::nullopt
                                    : std::optional(ids.at(auxiliary->get<std::string>())));
}

class Dna {
 public:
  explicit Dna(const Architecture& parent) : parent_(parent), json_(parent.to_json()) {
    for (const weft::Node& node : parent.nodes()) names_.insert(node.name);
  }

  // A convolution, or a mere connection, behind a node, with batch norm and ReLU or without.
  void insert(const std::string& behind, const std::string& operation, Json attributes, bool activated) {
    std::vector<std::string> chain = {add(operation, std::move(attributes))};
    if (activated) {
      chain.push_back(add("batch_norm", Json::object()));
      chain.push_back(add("activation", {{"function", "relu"}}));
    }
    redirect(behind, chain.back());
    Json& nodes = json_["nodes"];
    std::string before = behind;
    for (auto added = nodes.end() - static_cast<std::ptrdiff_t>(chain.size()); added != nodes.end(); ++added) {
      (*added)["inputs"] = {before};
      before = added->at("name").get<std::string>();
    }
    const auto at = find(behind) + 1;
    std::rotate(at, nodes.end() - static_cast<std::ptrdiff_t>(chain.size()), nodes.end());
  }

  // Whoever read it reads what it read.
  void remove(const std::string& name) {
    const std::string before = find(name)->at("inputs").at(0);
    redirect(name, before);
    json_["nodes"].erase(find(name));
  }

  // An earlier image is added to a later one.
  void add_skip(const std::string& from, const std::string& to) {
    const std::string sum = add("add", Json::object());
    redirect(to, sum);
    Json& nodes = json_["nodes"];
    nodes.back()["inputs"] = {to, from};
    std::rotate(find(to) + 1, nodes.end() - 1, nodes.end());
  }

  Json& node(const std::string& name) { return *find(name); }

  weft::Morphed finish() const {
    Architecture child = repaired(json_);
    weft::WeightTransfer transfer{{weft::morphs::matching(parent_, child)}};
    return {std::move(child), std::move(transfer)};
  }

 private:
  std::string add(const std::string& operation, Json attributes) {
    std::string name = operation + " 1";
    for (int count = 2; !names_.insert(name).second; ++count) name = operation + " " + std::to_string(count);
    json_["nodes"].push_back(
        {{"name", name}, {"operation", operation}, {"inputs", Json::array()}, {"attributes", std::move(attributes)}});
    return name;
  }
  Json::iterator find(const std::string& name) {
    Json& nodes = json_["nodes"];
    return std::find_if(nodes.begin(), nodes.end(), [&](const Json& node) { return node.at("name") == name; });
  }
  void redirect(const std::string& from, const std::string& to) {
    for (Json& node : json_["nodes"]) {
      for (Json& input : node["inputs"]) {
        if (input == from) input = to;
      }
    }
    if (json_["output"] == from) json_["output"] = to;
  }

  const Architecture& parent_;
  Json json_;
  std::set<std::string> names_;
};

}  // namespace graph_space
