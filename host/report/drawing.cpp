#include "host/report/drawing.hpp"

#include <algorithm>
#include <boost/asio/io_service.hpp>
#include <boost/process.hpp>
#include <cctype>
#include <future>
#include <map>
#include <numeric>
#include <set>
#include <string_view>
#include <vector>

#include "weft/error.hpp"

namespace weft::host {
namespace {

using Index = std::size_t;

Index at(NodeId id) { return static_cast<Index>(id); }

// What an operation does, told by colour beside its label. Light tints of the Okabe-Ito palette, which colour-blind
// readers can tell apart, under black text.
enum class Family { input, convolution, separable, pooling, pass, join, other };

const char* colour(Family family) {
  switch (family) {
    case Family::input:
      return "#ffffff";
    case Family::convolution:
      return "#cfe6f7";
    case Family::separable:
      return "#bfe5d6";
    case Family::pooling:
      return "#fbdfae";
    case Family::pass:
      return "#e6e6e6";
    case Family::join:
      return "#ecd1e2";
    case Family::other:
      return "#fbf8d0";
  }
  return "#ffffff";
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string small(std::string_view text) {
  return "<font point-size=\"9\" color=\"#404040\">" + escape_html(text) + "</font>";
}

// "sep_conv_3x3" as papers print it: "sep conv 3×3".
std::string readable(std::string_view name) {
  std::string text;
  for (Index i = 0; i < name.size(); ++i) {
    const auto digit = [&](Index k) {
      return k < name.size() && std::isdigit(static_cast<unsigned char>(name[k])) != 0;
    };
    if (name[i] == '_') {
      text += ' ';
    } else if (name[i] == 'x' && i > 0 && ((digit(i - 1) && digit(i + 1)) || name.substr(i - 1, 3) == " x ")) {
      text += "×";
    } else {
      text += name[i];
    }
  }
  return text;
}

std::vector<std::string> components(const std::string& group) {
  std::vector<std::string> parts;
  for (Index begin = 0; begin < group.size();) {
    const Index end = std::min(group.find('/', begin), group.size());
    parts.push_back(group.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Where the running number of "normal 3" or "edge 0-1" begins, with its space; npos if there is none.
Index running_number(std::string_view component) {
  const Index space = component.rfind(' ');
  if (space == std::string_view::npos || space + 1 == component.size()) return std::string_view::npos;
  return component.find_first_not_of("0123456789-", space + 1) == std::string_view::npos ? space
                                                                                         : std::string_view::npos;
}

std::string without_number(std::string_view component) {
  return std::string(component.substr(0, running_number(component)));
}

// Drawn as one unit: nodes that compute one operation together.
struct Box {
  std::vector<NodeId> members = {};
  std::string composite = {};      // the group's name, where the box is a folded group
  std::vector<Index> inputs = {};  // boxes read, each once, ascending
  Index place = 0;
};

// One entry of the skeleton: a cell, a stem, or a box that is in no group.
struct Place {
  std::string name;  // of the outermost group; empty for a box that is in none
  std::vector<Index> boxes = {};
  std::vector<Index> sources = {};  // boxes of other places that are read, the latest first
  Index kind = 0;
};

// Cells that are equal but for their number of channels. They are also counted equal where one adapts an input by a
// 1x1 convolution and another by a factorized reduction, as papers do.
struct Kind {
  std::string name;
  std::vector<Index> places = {};
  Index example = 0;  // the place that is drawn: one whose inputs come from as many places as they can
  std::map<std::size_t, std::set<std::string>> adapters = {};  // colour of a box -> its labels in all places
};

class Drawing {
 public:
  explicit Drawing(const Architecture& architecture) : architecture_(architecture), nodes_(architecture.nodes()) {
    readers_.resize(nodes_.size());
    for (Index id = 0; id < nodes_.size(); ++id) {
      for (const NodeId input : nodes_[id].inputs) readers_[at(input)].push_back(static_cast<NodeId>(id));
    }
    for (const Node& node : nodes_) {
      for (std::string& part : components(node.group)) {
        if (running_number(part) == std::string::npos) operations_.insert(std::move(part));
      }
    }
    split_groups();
  }

  std::string whole() {
    std::string text = open();
    std::vector<std::string> entered;
    for (const Index id : by_group()) {
      const std::vector<std::string>& keys = keys_[id];
      Index common = 0;
      while (common < std::min(entered.size(), keys.size()) && entered[common] == keys[common]) ++common;
      for (; entered.size() > common; entered.pop_back()) text += "}\n";
      for (Index depth = common; depth < keys.size(); ++depth) {
        text +=
            open_cluster(small(readable(components(nodes_[id].group)[depth])), depth % 2 == 0 ? "#f7f7f7" : "#ffffff");
        entered.push_back(keys[depth]);
      }
      const auto node = static_cast<NodeId>(id);
      text += box("n" + std::to_string(id), escape_html(label(node, true)) + shape_line(node), colour(family({node})));
    }
    for (; !entered.empty(); entered.pop_back()) text += "}\n";
    for (Index id = 0; id < nodes_.size(); ++id) {
      for (const NodeId input : nodes_[id].inputs) {
        text += "n" + std::to_string(input) + " -> n" + std::to_string(id) + ";\n";
      }
    }
    return text + "}\n";
  }

  std::string folded() {
    fold();
    find_places();
    find_kinds();
    std::string text = open();
    text += skeleton();
    for (Index kind = 0; kind < kinds_.size(); ++kind) {
      if (!described_in_skeleton(kinds_[kind])) text += cell(kind);
    }
    return text + "}\n";
  }

 private:
  // --- Folding nodes into boxes ---

  // A numbered group is a place, unless its name is elsewhere that of an operation: "sep_conv_3x3 2" is a second one.
  bool is_place(std::string_view component) const {
    return running_number(component) != std::string_view::npos && !operations_.contains(without_number(component));
  }

  // The key of each group a node is in. A place is one, however scattered its nodes; the nodes of an operation are
  // several applications of it where they do not hang together.
  void split_groups() {
    keys_.resize(nodes_.size());
    std::vector<std::vector<std::string>> parts;
    Index deepest = 0;
    for (const Node& node : nodes_) {
      parts.push_back(components(node.group));
      deepest = std::max(deepest, parts.back().size());
    }
    const auto same_prefix = [&](Index a, Index b, Index depth) {
      return parts[a].size() > depth && parts[b].size() > depth &&
             std::equal(parts[a].begin(), parts[a].begin() + static_cast<std::ptrdiff_t>(depth) + 1, parts[b].begin());
    };
    for (Index depth = 0; depth < deepest; ++depth) {
      std::vector<Index> root(nodes_.size());
      std::iota(root.begin(), root.end(), 0);
      const auto find = [&](Index id) {
        while (root[id] != id) id = root[id] = root[root[id]];
        return id;
      };
      for (Index id = 0; id < nodes_.size(); ++id) {
        for (const NodeId input : nodes_[id].inputs) {
          if (!same_prefix(id, at(input), depth)) continue;
          const auto [low, high] = std::minmax({find(id), find(at(input))});
          root[high] = low;
        }
      }
      for (Index id = 0; id < nodes_.size(); ++id) {
        if (parts[id].size() <= depth) continue;
        std::string key = (depth > 0 ? keys_[id].back() : "") + "/" + parts[id][depth];
        if (!is_place(parts[id][depth])) key += "#" + std::to_string(find(id));
        keys_[id].push_back(std::move(key));
      }
    }
  }

  void fold() {
    std::map<std::string, Index> composites;
    box_of_.resize(nodes_.size());
    for (Index id = 0; id < nodes_.size(); ++id) {
      const std::vector<std::string> parts = components(nodes_[id].group);
      const auto composite = std::find_if(parts.begin() + (parts.empty() ? 0 : 1), parts.end(),
                                          [&](const std::string& part) { return !is_place(part); });
      if (composite != parts.end()) {
        const Index depth = static_cast<Index>(composite - parts.begin());
        const auto [entry, fresh] = composites.try_emplace(keys_[id][depth], boxes_.size());
        if (fresh) boxes_.push_back({.composite = without_number(*composite)});
        box_of_[id] = entry->second;
      } else if (continues_run(id)) {
        box_of_[id] = box_of_[at(nodes_[id].inputs[0])];
      } else {
        box_of_[id] = boxes_.size();
        boxes_.emplace_back();
      }
      boxes_[box_of_[id]].members.push_back(static_cast<NodeId>(id));
    }
    for (Index index = 0; index < boxes_.size(); ++index) {
      std::set<Index> inputs;
      for (const NodeId member : boxes_[index].members) {
        for (const NodeId input : nodes_[at(member)].inputs) inputs.insert(box_of_[at(input)]);
      }
      inputs.erase(index);
      boxes_[index].inputs.assign(inputs.begin(), inputs.end());
    }
  }

  // Whether the node belongs in the box of its only input: "conv 3x3 – BN – ReLU" is one box, with one convolution or
  // linear layer. Dropping paths is training's matter and goes with whatever it drops.
  bool continues_run(Index id) const {
    const Node& node = nodes_[id];
    if (node.inputs.size() != 1) return false;
    const Index input = at(node.inputs[0]);
    if (readers_[input].size() != 1) return false;
    if (node.operation == "drop_path") return !keys_[input].empty() && nodes_[input].operation != "input";
    const std::string& before = nodes_[input].operation;
    if (!in_run(node.operation) || !in_run(before) || keys_[id] != keys_[input]) return false;
    const Box& run = boxes_[box_of_[input]];
    return !weighted(node.operation) || std::none_of(run.members.begin(), run.members.end(), [&](NodeId member) {
      return weighted(nodes_[at(member)].operation);
    });
  }

  static bool weighted(std::string_view operation) { return operation == "conv2d" || operation == "linear"; }
  static bool in_run(std::string_view operation) {
    return weighted(operation) || operation == "batch_norm" || operation == "activation" || operation == "dropout" ||
           operation == "drop_path";
  }

  void find_places() {
    std::map<std::string, Index> known;
    for (Index index = 0; index < boxes_.size(); ++index) {
      const Index first = at(boxes_[index].members.front());
      const bool grouped = !keys_[first].empty();
      const auto [entry, fresh] =
          known.try_emplace(grouped ? keys_[first][0] : "#" + std::to_string(index), places_.size());
      if (fresh) places_.push_back({.name = grouped ? components(nodes_[first].group)[0] : ""});
      boxes_[index].place = entry->second;
      places_[entry->second].boxes.push_back(index);
    }
    for (Index index = 0; index < places_.size(); ++index) {
      std::set<Index, std::greater<>> sources;
      for (const Index box : places_[index].boxes) {
        for (const Index input : boxes_[box].inputs) {
          if (boxes_[input].place != index) sources.insert(input);
        }
      }
      places_[index].sources.assign(sources.begin(), sources.end());
    }
  }

  // --- Kinds of cells: colour refinement over a cell's boxes ---

  // Adapts an input of the cell: the box belongs to the cell itself and not to one of its blocks, all it reads is
  // outside, and it changes channels or extent alone.
  bool adapts(const Box& box) const {
    const std::vector<std::string> groups = components(nodes_[at(box.members.front())].group);
    if (groups.empty() || (groups.size() > 1 && is_place(groups[1]))) return false;
    if (box.inputs.size() != 1 || boxes_[box.inputs[0]].place == box.place) return false;
    bool convolves = false;
    for (const NodeId member : box.members) {
      const Node& node = nodes_[at(member)];
      if (node.operation == "add") return false;
      if (node.operation != "conv2d") continue;
      convolves = true;
      if (node.attributes.at("kernel") != Json::array({1, 1}) || node.attributes.at("groups") != 1) return false;
    }
    return convolves;
  }

  // A colour for each box of the place, equal where boxes have equal surroundings. `sources_differ`: whether it matters
  // which of the other places an input comes from.
  std::map<Index, std::size_t> colours(const Place& place, bool sources_differ) const {
    const std::hash<std::string> hash;
    std::map<Index, std::size_t> colour;
    const auto fold_in = [&](Index box, std::vector<std::string> surroundings) {
      std::sort(surroundings.begin(), surroundings.end());
      std::string text = std::to_string(colour[box]);
      for (const std::string& each : surroundings) text += " " + each;
      colour[box] = hash(text);
    };
    std::map<Index, std::vector<Index>> readers;
    for (const Index box : place.boxes) {
      colour[box] = hash(adapts(boxes_[box]) ? "adapter" : label(boxes_[box], false));
      for (const Index input : boxes_[box].inputs) readers[input].push_back(box);
    }
    for (int pass = 0; pass < 2; ++pass) {
      for (const Index box : place.boxes) {
        std::vector<std::string> inputs;
        for (const Index input : boxes_[box].inputs) {
          const auto source = std::find(place.sources.begin(), place.sources.end(), input);
          if (source == place.sources.end()) {
            inputs.push_back(std::to_string(colour[input]));
          } else {
            inputs.push_back("outside " + std::to_string(sources_differ ? source - place.sources.begin() : 0));
          }
        }
        fold_in(box, std::move(inputs));
      }
      for (auto box = place.boxes.rbegin(); box != place.boxes.rend(); ++box) {
        std::vector<std::string> outputs = {is_output(*box) ? "output" : "inner"};
        for (const Index reader : readers[*box]) {
          if (boxes_[reader].place == boxes_[*box].place) outputs.push_back(std::to_string(colour[reader]));
        }
        fold_in(*box, std::move(outputs));
      }
    }
    return colour;
  }

  std::string signature(const Place& place, bool sources_differ) const {
    std::multiset<std::size_t> sorted;
    for (const auto& [box, colour] : colours(place, sources_differ)) sorted.insert(colour);
    std::string text = without_number(place.name) + ":";
    for (const std::size_t colour : sorted) text += " " + std::to_string(colour);
    return text;
  }

  // Read by another place, or the network's output.
  bool is_output(Index box) const {
    for (const NodeId member : boxes_[box].members) {
      if (member == architecture_.output() || member == architecture_.auxiliary()) return true;
      for (const NodeId reader : readers_[at(member)]) {
        if (boxes_[box_of_[at(reader)]].place != boxes_[box].place) return true;
      }
    }
    return false;
  }

  void find_kinds() {
    std::map<std::string, Index> known;
    // In the first cell of a network all inputs may be the stem. It is then of the kind of the later cells that are
    // equal but for where their inputs come from, unless those differ among themselves.
    std::map<std::string, std::set<std::string>> refined;
    for (const Place& place : places_) {
      if (place.sources.size() > 1) refined[signature(place, false)].insert(signature(place, true));
    }
    for (Index index = 0; index < places_.size(); ++index) {
      Place& place = places_[index];
      std::string key = signature(place, true);
      if (place.sources.size() < 2) {
        const auto later = refined.find(signature(place, false));
        if (later != refined.end() && later->second.size() == 1) key = *later->second.begin();
      }
      if (!is_place(place.name)) key += "#" + std::to_string(index);
      const auto [entry, fresh] = known.try_emplace(std::move(key), kinds_.size());
      if (fresh) kinds_.push_back({.name = without_number(place.name), .example = index});
      place.kind = entry->second;
      Kind& kind = kinds_[place.kind];
      kind.places.push_back(index);
      if (place.sources.size() > places_[kind.example].sources.size()) kind.example = index;
      for (const auto& [box, colour] : colours(place, true)) {
        if (adapts(boxes_[box])) kind.adapters[colour].insert(adapter_label(boxes_[box]));
      }
    }
    // Kinds of one name are told apart by a letter.
    std::map<std::string, std::vector<Index>> namesakes;
    for (Index kind = 0; kind < kinds_.size(); ++kind) {
      if (is_place(places_[kinds_[kind].example].name)) namesakes[kinds_[kind].name].push_back(kind);
    }
    for (const auto& [name, alike] : namesakes) {
      for (Index i = 0; alike.size() > 1 && i < alike.size(); ++i) {
        kinds_[alike[i]].name += i < 26 ? std::string{' ', static_cast<char>('A' + i)} : " " + std::to_string(i + 1);
      }
    }
  }

  // --- Labels ---

  std::string label(NodeId id, bool channels) const {
    const Node& node = nodes_[at(id)];
    const Attributes& a = node.attributes;
    const auto window = [&](const char* name) {
      const Json& kernel = a.at("kernel");
      return std::string(name) + " " + kernel[0].dump() + "×" + kernel[1].dump();
    };
    if (node.operation == "conv2d") {
      const std::int64_t groups = a.at("groups");
      const bool dilated = a.at("dilation") != Json::array({1, 1});
      const bool depthwise = groups > 1 && groups == architecture_.shape(node.inputs[0]).channels;
      std::string text = window(depthwise ? "depthwise" : groups > 1 ? "grouped conv" : "conv");
      if (dilated) text = "dilated " + text;
      if (channels && !depthwise) text += ", " + a.at("channels").dump();
      return text + stride(id);
    }
    if (node.operation == "max_pool") return window("max pool") + stride(id);
    if (node.operation == "avg_pool") return window("avg pool") + stride(id);
    if (node.operation == "linear") return "linear, " + a.at("features").dump();
    if (node.operation == "batch_norm") return "BN";
    if (node.operation == "activation")
      return a.at("function") == "relu" ? "ReLU" : readable(a.at("function").get<std::string>());
    if (node.operation == "dropout") return "dropout " + a.at("probability").dump();
    if (node.operation == "choice") return "choice: " + readable(a.at("decision").get<std::string>());
    return readable(node.operation);
  }

  std::string stride(NodeId id) const {
    const Json& stride = nodes_[at(id)].attributes.at("stride");
    if (stride == Json::array({1, 1})) return "";
    return ", /" + (stride[0] == stride[1] ? stride[0].dump() : stride[0].dump() + "×" + stride[1].dump());
  }

  std::string label(const Box& box, bool channels) const {
    if (!box.composite.empty()) {
      std::string text = readable(box.composite);
      for (const NodeId member : box.members) {
        const Attributes& a = nodes_[at(member)].attributes;
        if (a.contains("stride") && a.at("stride").is_array() && a.at("stride") != Json::array({1, 1})) {
          return text + stride(member);
        }
      }
      return text;
    }
    return run_label(box, channels);
  }

  std::string run_label(const Box& box, bool channels) const {
    std::string text;
    for (const NodeId member : box.members) {
      if (nodes_[at(member)].operation == "drop_path" && box.members.size() > 1) continue;
      text += (text.empty() ? "" : " – ") + label(member, channels);
    }
    return text;
  }

  // What adapts an input, told by its contents: the group is often just called "preprocess".
  std::string adapter_label(const Box& box) const {
    if (box.members.size() <= 3) return run_label(box, false);
    const std::vector<std::string> groups = components(nodes_[at(box.members.front())].group);
    for (const NodeId member : box.members) {
      if (components(nodes_[at(member)].group) != groups) return label(box, false);
    }
    return readable(without_number(groups.back()));
  }

  Family family(std::span<const NodeId> members) const {
    Family found = Family::other;
    for (const NodeId member : members) {
      const Node& node = nodes_[at(member)];
      if (node.operation == "conv2d" && node.attributes.at("groups") != 1) return Family::separable;
      if (node.operation == "input") found = Family::input;
      if (weighted(node.operation)) found = Family::convolution;
      if (found != Family::other) continue;
      if (node.operation.ends_with("pool")) found = Family::pooling;
      if (node.operation == "identity" || node.operation == "zero") found = Family::pass;
      if (node.operation == "add" || node.operation == "concat" || node.operation == "multiply") found = Family::join;
    }
    return found;
  }
  Family family(std::initializer_list<NodeId> members) const {
    return family(std::span(members.begin(), members.size()));
  }

  std::string shape_line(NodeId id) const { return "<br/>" + small(readable(architecture_.shape(id).to_string())); }

  // --- Writing ---

  static std::string open() {
    return "digraph architecture {\n"
           "graph [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, nodesep=0.2, ranksep=0.35, compound=true, "
           "bgcolor=\"white\"];\n"
           "node [shape=box, style=\"rounded,filled\", fillcolor=\"white\", color=\"#606060\", "
           "fontname=\"Helvetica,Arial,sans-serif\", "
           "fontsize=11, fontcolor=\"black\", height=0.3, margin=\"0.12,0.05\"];\n"
           "edge [color=\"#404040\", arrowsize=0.6];\n";
  }

  static std::string box(const std::string& id, const std::string& html, const char* fill) {
    return id + " [label=<" + html + ">, fillcolor=\"" + fill + "\"];\n";
  }

  std::string open_cluster(const std::string& html, const char* fill) {
    return "subgraph cluster_" + std::to_string(clusters_++) + " {\nlabel=<" + html +
           ">; style=\"rounded,filled\"; color=\"#a0a0a0\"; fillcolor=\"" + fill + "\"; labeljust=l;\n";
  }

  // Nodes in an order that visits each group once.
  std::vector<Index> by_group() const {
    std::map<std::string, Index> first;  // node of each group
    for (Index id = 0; id < nodes_.size(); ++id) {
      for (const std::string& key : keys_[id]) first.try_emplace(key, id);
    }
    std::vector<std::vector<Index>> position(nodes_.size());
    std::vector<Index> order(nodes_.size());
    for (Index id = 0; id < nodes_.size(); ++id) {
      for (const std::string& key : keys_[id]) position[id].push_back(first.at(key));
      position[id].push_back(id);
      order[id] = id;
    }
    std::sort(order.begin(), order.end(), [&](Index a, Index b) { return position[a] < position[b]; });
    return order;
  }

  // A short chain needs no drawing of its own.
  bool described_in_skeleton(const Kind& kind) const {
    const Place& place = places_[kind.example];
    if (place.boxes.size() > 8) return false;
    for (Index i = 0; i < place.boxes.size(); ++i) {
      const std::vector<Index>& inputs = boxes_[place.boxes[i]].inputs;
      if (inputs.size() > 1 || (i > 0 && inputs != std::vector<Index>{place.boxes[i - 1]})) return false;
    }
    return true;
  }

  // One box for each run of places of one kind and output shape, each reading the one before.
  std::string skeleton() {
    struct Run {
      std::vector<Index> places = {};
      std::set<Index, std::greater<>> reads;  // runs, the latest first
    };
    std::vector<Run> runs;
    std::vector<Index> run_of(places_.size());
    const auto result = [&](Index place) {  // the node that the place's readers read
      Index last = places_[place].boxes.back();
      for (const Index box : places_[place].boxes) {
        if (is_output(box)) last = box;
      }
      return boxes_[last].members.back();
    };
    for (Index place = 0; place < places_.size(); ++place) {
      run_of[place] = runs.size();
      if (!places_[place].sources.empty() && is_place(places_[place].name)) {
        const Index before = boxes_[places_[place].sources[0]].place;
        const Run& run = runs[run_of[before]];
        if (run.places.back() == before && places_[before].kind == places_[place].kind &&
            architecture_.shape(result(before)) == architecture_.shape(result(place))) {
          run_of[place] = run_of[before];
        }
      }
      if (run_of[place] == runs.size()) runs.emplace_back();
      Run& run = runs[run_of[place]];
      run.places.push_back(place);
      for (const Index source : places_[place].sources) run.reads.insert(run_of[boxes_[source].place]);
      run.reads.erase(run_of[place]);
    }
    std::string text;
    for (Index index = 0; index < runs.size(); ++index) {
      const Index last = runs[index].places.back();
      const Place& place = places_[last];
      const Kind& kind = kinds_[place.kind];
      std::string html;
      if (!place.name.empty()) {
        html = "<b>" + escape_html(readable(kind.name)) + "</b>";
        if (runs[index].places.size() > 1) html += " × " + std::to_string(runs[index].places.size());
      }
      if (described_in_skeleton(kind)) {
        for (const Index each : place.boxes) {
          const std::string line = label(boxes_[each], kind.places.size() == 1);
          html += html.empty() ? escape_html(line) : "<br/>" + small(line);
        }
      }
      const NodeId shown = result(last);
      if (nodes_[at(shown)].operation != "input" || html.empty() || place.boxes.size() == 1) html += shape_line(shown);
      const bool lone = place.name.empty();
      text += box("m" + std::to_string(index), html, lone ? colour(family(boxes_[place.boxes[0]].members)) : "#f4f4f4");
      for (auto read = runs[index].reads.begin(); read != runs[index].reads.end(); ++read) {
        const bool skip = read != runs[index].reads.begin();
        text += "m" + std::to_string(*read) + " -> m" + std::to_string(index) +
                (skip ? " [color=\"#909090\", style=dashed];\n" : " [penwidth=1.4, weight=10];\n");
      }
    }
    return text;
  }

  std::string cell(Index index) {
    const Kind& kind = kinds_[index];
    const Place& place = places_[kind.example];
    const std::string id = "k" + std::to_string(index) + "_";
    const std::string count =
        kind.places.size() > 1 ? " (" + std::to_string(kind.places.size()) + " in the network)" : "";
    std::string text = open_cluster("<b>" + escape_html(readable(kind.name)) + "</b>" + escape_html(count), "#fafafa");
    static const std::vector<std::string> names = {"previous", "before previous"};
    for (Index i = 0; i < place.sources.size(); ++i) {
      const std::string name = place.sources.size() == 1 ? "input"
                               : i < names.size()        ? names[i]
                                                         : std::to_string(i + 1) + " before";
      text += box(id + "in" + std::to_string(i), name, "white");
    }
    text += "{ rank=same;";
    for (Index i = 0; i < place.sources.size(); ++i) text += " " + id + "in" + std::to_string(i) + ";";
    text += " }\n";
    const std::map<Index, std::size_t> colour_of = colours(place, true);
    for (const Index each : place.boxes) {
      std::string html = escape_html(label(boxes_[each], false));
      const auto adapters = kind.adapters.find(colour_of.at(each));
      if (adapters != kind.adapters.end()) {
        html.clear();
        for (const std::string& name : adapters->second) html += (html.empty() ? "" : "<br/>or ") + escape_html(name);
      }
      text += box(id + std::to_string(each), html, colour(family(boxes_[each].members)));
    }
    text += box(id + "out", "output", "white");
    for (const Index each : place.boxes) {
      for (const Index input : boxes_[each].inputs) {
        const auto source = std::find(place.sources.begin(), place.sources.end(), input);
        text += id +
                (source == place.sources.end() ? std::to_string(input)
                                               : "in" + std::to_string(source - place.sources.begin())) +
                " -> " + id + std::to_string(each) + ";\n";
      }
      if (is_output(each)) text += id + std::to_string(each) + " -> " + id + "out;\n";
    }
    return text + "}\n";
  }

  const Architecture& architecture_;
  std::span<const Node> nodes_;
  std::vector<std::vector<NodeId>> readers_;
  std::set<std::string> operations_;            // names of groups without a number
  std::vector<std::vector<std::string>> keys_;  // of the groups of each node, outermost first
  std::vector<Box> boxes_;
  std::vector<Index> box_of_;
  std::vector<Place> places_;
  std::vector<Kind> kinds_;
  int clusters_ = 0;
};

}  // namespace

std::string to_dot(const Architecture& architecture, const DrawingOptions& options) {
  Drawing drawing(architecture);
  return options.whole ? drawing.whole() : drawing.folded();
}

std::string to_svg(const Architecture& architecture, const DrawingOptions& options) {
  namespace process = boost::process;
  const auto program = process::search_path("dot");
  if (program.empty()) {
    throw Error("a picture needs Graphviz's program \"dot\", which is not in PATH; install the package graphviz");
  }
  const std::string text = to_dot(architecture, options);
  boost::asio::io_service service;
  std::future<std::string> output, errors;
  process::child child(program, "-Tsvg", process::std_in<boost::asio::buffer(text), process::std_out> output,
                       process::std_err > errors, service);
  service.run();
  child.wait();
  std::string svg = output.get();
  const std::size_t begin = svg.find("<svg");
  if (child.exit_code() != 0 || begin == std::string::npos) {
    throw Error(program.string() + " -Tsvg ended with exit code " + std::to_string(child.exit_code()) + ": " +
                errors.get());
  }
  return svg.substr(begin);
}

}  // namespace weft::host
