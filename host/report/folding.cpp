#include "host/report/folding.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "host/report/labels.hpp"

namespace weft::host {
namespace {

bool weighted(std::string_view operation) {
  return operation == "conv2d" || operation == "learned_group_conv" || operation == "linear";
}
bool in_run(std::string_view operation) {
  return weighted(operation) || operation == "batch_norm" || operation == "activation" ||
         operation == "activation_unit" || operation == "dropout" || operation == "drop_path";
}

}  // namespace

Folding::Folding(const Architecture& architecture) : architecture_(architecture), nodes_(architecture.nodes()) {
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
  fold();
  find_places();
  find_kinds();
}

// A numbered group is a place, unless its name is elsewhere that of an operation: "sep_conv_3x3 2" is a second one.
bool Folding::is_place(std::string_view component) const {
  return running_number(component) != std::string_view::npos && !operations_.contains(without_number(component));
}

// The key of each group a node is in. A place is one, however scattered its nodes; the nodes of an operation are
// several applications of it where they do not hang together.
void Folding::split_groups() {
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

void Folding::fold() {
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
bool Folding::continues_run(Index id) const {
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

void Folding::find_places() {
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

// ---- kinds of cells: colour refinement over a cell's boxes ---------------------------------------------------------

// Adapts an input of the cell: the box belongs to the cell itself and not to one of its blocks, all it reads is
// outside, and it changes channels or extent alone.
bool Folding::adapts(const Box& box) const {
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

std::map<Folding::Index, std::size_t> Folding::colours(const Place& place, bool sources_differ) const {
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

std::string Folding::signature(const Place& place, bool sources_differ) const {
  std::multiset<std::size_t> sorted;
  for (const auto& [box, colour] : colours(place, sources_differ)) sorted.insert(colour);
  std::string text = without_number(place.name) + ":";
  for (const std::size_t colour : sorted) text += " " + std::to_string(colour);
  return text;
}

bool Folding::is_output(Index box) const {
  for (const NodeId member : boxes_[box].members) {
    if (member == architecture_.output() || member == architecture_.auxiliary()) return true;
    for (const NodeId reader : readers_[at(member)]) {
      if (boxes_[box_of_[at(reader)]].place != boxes_[box].place) return true;
    }
  }
  return false;
}

void Folding::find_kinds() {
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

// ---- labels ---------------------------------------------------------------------------------------------------------

std::string Folding::label(const Box& box, bool channels) const {
  if (!box.composite.empty()) {
    std::string text = readable(box.composite);
    for (const NodeId member : box.members) {
      const std::string stride = stride_label(nodes_[at(member)]);
      if (!stride.empty()) return text + stride;
    }
    return text;
  }
  return run_label(box, channels);
}

std::string Folding::run_label(const Box& box, bool channels) const {
  std::string text;
  for (const NodeId member : box.members) {
    if (nodes_[at(member)].operation == "drop_path" && box.members.size() > 1) continue;
    text += (text.empty() ? "" : " – ") + host::label(architecture_, member, channels);
  }
  return text;
}

// What adapts an input, told by its contents: the group is often just called "preprocess".
std::string Folding::adapter_label(const Box& box) const {
  if (box.members.size() <= 3) return run_label(box, false);
  const std::vector<std::string> groups = components(nodes_[at(box.members.front())].group);
  for (const NodeId member : box.members) {
    if (components(nodes_[at(member)].group) != groups) return label(box, false);
  }
  return readable(without_number(groups.back()));
}

}  // namespace weft::host
