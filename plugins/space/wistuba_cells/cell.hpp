// A cell, and the network that is made of it: a stem, stages of equal cells, a reduction before each stage but the
// first, a classifier.
//
// Wistuba 2018, "Deep Learning Architecture Search by Neuro-Cell-based Evolution with Function-Preserving Mutations". A
// cell's output has as many channels as its input, so that cells follow one another as they are. With every stage all
// channels double; a cell is written as it is in the first. What the reduction is made of, we do not know from the
// paper: here a 1x1 convolution to twice the channels, batch norm, ReLU, and the maxima of 2x2 pixels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/context.hpp"

namespace wistuba_cells {

namespace blocks = weft::blocks;
using weft::Architecture;
using weft::ArchitectureBuilder;
using weft::InvalidInput;
using weft::Json;
using weft::Node;
using weft::NodeId;

// What the nodes of a cell may do.
inline const std::vector<std::string>& operations() {
  static const std::vector<std::string> names = {"conv2d", "batch_norm", "activation", "add", "concat"};
  return names;
}
inline constexpr const char* input = "input";

struct Cell {
  std::int64_t channels;  // of its input and of its output
  Json nodes;             // [{"name", "operation", "attributes", "inputs": [name..]} ..], each after what it reads
  std::string output;     // a node's name

  // {"channels": 16, "nodes": [..], "output": "activation 1"}
  Json to_json() const { return {{"channels", channels}, {"nodes", nodes}, {"output", output}}; }

  // A convolution, batch norm and ReLU.
  static Cell trivial(std::int64_t channels) {
    return {channels,
            {{{"name", "conv2d 1"},
              {"operation", "conv2d"},
              {"attributes", {{"channels", channels}, {"kernel", 3}, {"padding", 1}}},
              {"inputs", {input}}},
             {{"name", "batch_norm 1"}, {"operation", "batch_norm"}, {"inputs", {"conv2d 1"}}},
             {{"name", "activation 1"}, {"operation", "activation"}, {"inputs", {"batch_norm 1"}}}},
            "activation 1"};
  }
};

// One of the cells in a network.
struct Instance {
  int stage, cell;  // from 1

  std::int64_t scale() const { return std::int64_t{1} << (stage - 1); }  // of its channels
  std::string group() const { return "stage " + std::to_string(stage) + "/cell " + std::to_string(cell); }
  std::string name(const std::string& node) const { return group() + "/" + node; }
};

struct Network {
  int stages;
  int cells;                  // of each stage
  std::int64_t max_channels;  // of anything in a cell, in the first stage
  double dropout;
  weft::Shape image;
  std::int64_t classes;

  std::vector<Instance> instances() const {
    std::vector<Instance> all;
    for (int stage = 1; stage <= stages; ++stage) {
      for (int cell = 1; cell <= cells; ++cell) all.push_back({stage, cell});
    }
    return all;
  }
  // The convolution whose output the first cell of a stage reads, and the node that reads the last cell's.
  static std::string entry(int stage) {
    return stage == 1 ? "stem/conv2d" : "reduction " + std::to_string(stage - 1) + "/conv2d";
  }
  std::string exit(int stage) const { return stage == stages ? "classifier/global_avg_pool" : entry(stage + 1); }

  // Throws InvalidInput where the cell's nodes do not fit together.
  Architecture build(const Cell& cell) const {
    check_channels("input", cell.channels);
    ArchitectureBuilder graph;
    NodeId x = graph.input(image);
    {
      const auto group = graph.group("stem");
      x = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(cell.channels, 3));
    }
    for (const Instance& instance : instances()) {
      if (instance.cell == 1 && instance.stage > 1) x = reduction(graph, x, instance.stage - 1);
      x = add(graph, x, cell, instance);
    }
    return std::move(graph).build(blocks::classifier(graph, x, classes, dropout));
  }

 private:
  static NodeId reduction(ArchitectureBuilder& graph, NodeId x, int number) {
    const auto group = graph.group("reduction " + std::to_string(number));
    x = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(2 * graph.shape(x).channels, 1));
    return graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {x});
  }

  // Its input is a node of its own, so that a morph can go between it and whatever comes before.
  NodeId add(ArchitectureBuilder& graph, NodeId x, const Cell& cell, const Instance& instance) const {
    const auto group = graph.group(instance.group());
    const weft::Shape before = graph.shape(x);
    std::map<std::string, NodeId> ids = {{input, graph.add("identity", {}, {x}, instance.name(input))}};
    for (const Json& node : cell.nodes) {
      const std::string name = node.at("name"), operation = node.at("operation");
      std::vector<NodeId> inputs;
      for (const Json& read : node.at("inputs")) inputs.push_back(known(ids, read, "node " + name));
      Json attributes = node.value("attributes", Json::object());
      if (operation == "conv2d") {
        check_channels(name, attributes.at("channels"));
        attributes["channels"] = attributes.at("channels").get<std::int64_t>() * instance.scale();
        const std::int64_t groups = attributes.value("groups", std::int64_t{1});
        if (groups > 1) attributes["groups"] = groups * instance.scale();
        if (groups > 1 && (attributes.at("groups") != attributes.at("channels") || inputs.size() != 1 ||
                           attributes.at("groups") != graph.shape(inputs[0]).channels))
          throw InvalidInput("the cell's node " + name + " has " + std::to_string(groups) +
                             " groups; a convolution must have one, or one for each channel that it reads and makes");
      }
      const NodeId added = graph.add(operation, std::move(attributes), inputs, instance.name(name));
      const weft::Shape& shape = graph.shape(added);
      check_channels(name, shape.channels / instance.scale());
      if (shape.height != before.height || shape.width != before.width)
        throw InvalidInput("the cell's node " + name + " makes " + shape.to_string() + " of " + before.to_string() +
                           "; must keep height and width, by padding and a stride of 1");
      ids[name] = added;
    }
    x = known(ids, cell.output, "the output");
    if (graph.shape(x) != before)
      throw InvalidInput("the cell's output, node " + cell.output + ", is " + graph.shape(x).to_string() +
                         "; must be as its input, " + before.to_string());
    return x;
  }

  void check_channels(const std::string& name, std::int64_t channels) const {
    if (channels > max_channels)
      throw InvalidInput("the cell's node " + name + " has " + std::to_string(channels) +
                         " channels; /max_channels is " + std::to_string(max_channels));
  }

  static NodeId known(const std::map<std::string, NodeId>& ids, const std::string& name, const std::string& reader) {
    const auto found = ids.find(name);
    if (found == ids.end()) throw InvalidInput("the cell's " + reader + " reads " + name + ", which is not before it");
    return found->second;
  }
};

// The cell that the network has in its first place. Nodes that have not got a cell's name yet get one.
inline Cell first_cell(const Architecture& network) {
  const Instance first{1, 1};
  const std::string place = first.group() + "/";
  std::map<NodeId, std::string> names;
  std::set<std::string> taken;
  for (NodeId id = 0; const Node& node : network.nodes()) {
    if (node.name.starts_with(place)) taken.insert(names[id] = node.name.substr(place.size()));
    ++id;
  }
  Cell cell{0, Json::array(), ""};
  for (NodeId id = 0; id < static_cast<NodeId>(network.nodes().size()); ++id) {
    const Node& node = network.node(id);
    if (node.group != first.group()) {
      for (const NodeId read : node.inputs) {
        if (names.contains(read)) cell.output = names.at(read);
      }
      continue;
    }
    std::string& name = names[id];
    for (int count = 1; name.empty(); ++count) {
      const std::string numbered = node.operation + " " + std::to_string(count);
      if (taken.insert(numbered).second) name = numbered;
    }
    if (name == input) {
      cell.channels = node.shape.channels;
      continue;
    }
    Json inputs = Json::array();
    for (const NodeId read : node.inputs) inputs.push_back(names.at(read));
    cell.nodes.push_back(
        {{"name", name}, {"operation", node.operation}, {"attributes", node.attributes}, {"inputs", inputs}});
  }
  return cell;
}

// Throws InvalidInput naming what is wrong, or Json::exception. Whether the nodes fit together, Network::build() says.
inline Cell read_cell(const Json& json) {
  const auto require = [](bool right, const std::string& what) {
    if (right) return;
    throw InvalidInput(
        "a cell is {\"channels\": N, \"nodes\": [{\"name\", \"operation\", \"attributes\", \"inputs\"} "
        "..], \"output\": NAME}; " +
        what);
  };
  require(json.is_object() && json.size() == 3, "this one is not: " + json.dump().substr(0, 200));
  Cell cell{json.at("channels"), json.at("nodes"), json.at("output")};
  require(json.at("channels").is_number_integer() && cell.channels > 0, "channels must be a positive integer");
  require(cell.nodes.is_array(), "nodes must be a list");
  for (const Json& node : cell.nodes) {
    const std::string name = node.at("name"), operation = node.at("operation");
    for (const auto& [member, value] : node.items()) {
      require(member == "name" || member == "operation" || member == "attributes" || member == "inputs",
              "node " + name + " has " + member + ", which is nothing that belongs there");
    }
    require(name.find('/') == std::string::npos && name != input, "no node may be called " + name);
    require(std::find(operations().begin(), operations().end(), operation) != operations().end(),
            "node " + name + " is a " + operation + ", none of " + Json(operations()).dump());
  }
  return cell;
}

}  // namespace wistuba_cells
