#include "host/report/drawing.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "host/report/folding.hpp"
#include "host/report/labels.hpp"
#include "host/report/layout.hpp"
#include "weft/error.hpp"
#include "weft/recurrent.hpp"

namespace weft::host {
namespace {

using Index = Folding::Index;
using Kind = Folding::Kind;
using Place = Folding::Place;

Index at(NodeId id) { return Folding::at(id); }

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

Family family(std::span<const Node> nodes, std::span<const NodeId> members) {
  Family found = Family::other;
  for (const NodeId member : members) {
    const Node& node = nodes[at(member)];
    if (node.operation == "conv2d" && node.attributes.at("groups") != 1) return Family::separable;
    if (node.operation == "input") found = Family::input;
    static const std::set<std::string> weighing = {"conv2d",    "linear",      "learned_group_conv",
                                                   "embedding", "tied_linear", "recurrent"};
    if (weighing.contains(node.operation)) found = Family::convolution;
    if (found != Family::other) continue;
    static const std::set<std::string> passing = {"identity", "zero", "pad", "resize", "slice"};
    static const std::set<std::string> joining = {"add", "concat", "mean", "multiply", "scale", "weighted_sum"};
    if (node.operation.ends_with("pool")) found = Family::pooling;
    if (passing.contains(node.operation)) found = Family::pass;
    if (joining.contains(node.operation)) found = Family::join;
  }
  return found;
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

class Drawing {
 public:
  explicit Drawing(const Architecture& architecture) : folding_(architecture) {}

  std::string whole() {
    std::string text = open();
    std::vector<std::string> entered;
    for (const Index id : by_group()) {
      const std::vector<std::string>& keys = folding_.keys()[id];
      Index common = 0;
      while (common < std::min(entered.size(), keys.size()) && entered[common] == keys[common]) ++common;
      for (; entered.size() > common; entered.pop_back()) text += "}\n";
      for (Index depth = common; depth < keys.size(); ++depth) {
        text += open_cluster(small(readable(components(folding_.nodes()[id].group)[depth])),
                             depth % 2 == 0 ? "#f7f7f7" : "#ffffff");
        entered.push_back(keys[depth]);
      }
      const auto node = static_cast<NodeId>(id);
      text += box("n" + std::to_string(id), escape_html(label(folding_.architecture(), node, true)) + shape_line(node),
                  colour(family(folding_.nodes(), std::array{node})));
    }
    for (; !entered.empty(); entered.pop_back()) text += "}\n";
    for (Index id = 0; id < folding_.nodes().size(); ++id) {
      for (const NodeId input : folding_.nodes()[id].inputs) {
        text += "n" + std::to_string(input) + " -> n" + std::to_string(id) + ";\n";
      }
    }
    return text + recurrent_cells() + "}\n";
  }

  std::string folded() {
    std::string text = open();
    text += skeleton();
    for (Index kind = 0; kind < folding_.kinds().size(); ++kind) {
      if (!described_in_skeleton(folding_.kinds()[kind])) text += cell(kind);
    }
    return text + recurrent_cells() + "}\n";
  }

 private:
  std::string shape_line(NodeId id) const {
    return "<br/>" + small(readable(folding_.architecture().shape(id).to_string()));
  }

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
    for (Index id = 0; id < folding_.nodes().size(); ++id) {
      for (const std::string& key : folding_.keys()[id]) first.try_emplace(key, id);
    }
    std::vector<std::vector<Index>> position(folding_.nodes().size());
    std::vector<Index> order(folding_.nodes().size());
    for (Index id = 0; id < folding_.nodes().size(); ++id) {
      for (const std::string& key : folding_.keys()[id]) position[id].push_back(first.at(key));
      position[id].push_back(id);
      order[id] = id;
    }
    std::sort(order.begin(), order.end(), [&](Index a, Index b) { return position[a] < position[b]; });
    return order;
  }

  // A short chain needs no drawing of its own, whatever its first box reads: the skeleton's edges show that.
  bool described_in_skeleton(const Kind& kind) const {
    const Place& place = folding_.places()[kind.example];
    if (place.boxes.size() > 8) return false;
    for (Index i = 0; i < place.boxes.size(); ++i) {
      if (i > 0 && folding_.boxes()[place.boxes[i]].inputs != std::vector<Index>{place.boxes[i - 1]}) return false;
    }
    return true;
  }

  // One box for each run of places of one kind and output shape, each reading the one before. Channels may grow along a
  // run (dense connections) where the kind is drawn by itself, without their number.
  std::string skeleton() {
    struct Run {
      std::vector<Index> places = {};
      std::set<Index, std::greater<>> reads;  // runs, the latest first
    };
    std::vector<Run> runs;
    std::vector<Index> run_of(folding_.places().size());
    const auto result = [&](Index place) {  // the node that the place's readers read
      Index last = folding_.places()[place].boxes.back();
      for (const Index box : folding_.places()[place].boxes) {
        if (folding_.is_output(box)) last = box;
      }
      return folding_.boxes()[last].members.back();
    };
    for (Index place = 0; place < folding_.places().size(); ++place) {
      run_of[place] = runs.size();
      if (!folding_.places()[place].sources.empty() && folding_.is_place(folding_.places()[place].name)) {
        const Index before = folding_.boxes()[folding_.places()[place].sources[0]].place;
        const Run& run = runs[run_of[before]];
        const Index kind = folding_.places()[place].kind;
        Shape shape = folding_.architecture().shape(result(before));
        const Shape& own = folding_.architecture().shape(result(place));
        if (!described_in_skeleton(folding_.kinds()[kind])) shape.channels = own.channels;
        if (run.places.back() == before && folding_.places()[before].kind == kind && shape == own) {
          run_of[place] = run_of[before];
        }
      }
      if (run_of[place] == runs.size()) runs.emplace_back();
      Run& run = runs[run_of[place]];
      run.places.push_back(place);
      for (const Index source : folding_.places()[place].sources)
        run.reads.insert(run_of[folding_.boxes()[source].place]);
      run.reads.erase(run_of[place]);
    }
    std::string text;
    for (Index index = 0; index < runs.size(); ++index) {
      const Index last = runs[index].places.back();
      const Place& place = folding_.places()[last];
      const Kind& kind = folding_.kinds()[place.kind];
      const bool described = described_in_skeleton(kind);
      std::string html;
      if (!place.name.empty()) {
        // The letter that tells kinds apart is for finding their drawings.
        html = "<b>" + escape_html(readable(described ? without_number(place.name) : kind.name)) + "</b>";
        if (runs[index].places.size() > 1) html += " × " + std::to_string(runs[index].places.size());
      }
      if (described) {
        for (const Index each : place.boxes) {
          const std::string line = folding_.label(folding_.boxes()[each], kind.places.size() == 1);
          html += html.empty() ? escape_html(line) : "<br/>" + small(line);
        }
      }
      const NodeId shown = result(last);
      if (folding_.nodes()[at(shown)].operation != "input" || html.empty() || place.boxes.size() == 1)
        html += shape_line(shown);
      const bool lone = place.name.empty();
      text += box("m" + std::to_string(index), html,
                  lone ? colour(family(folding_.nodes(), folding_.boxes()[place.boxes[0]].members)) : "#f4f4f4");
      for (auto read = runs[index].reads.begin(); read != runs[index].reads.end(); ++read) {
        const bool skip = read != runs[index].reads.begin();
        text += "m" + std::to_string(*read) + " -> m" + std::to_string(index) +
                (skip ? " [color=\"#909090\", style=dashed];\n" : " [penwidth=1.4, weight=10];\n");
      }
    }
    return text;
  }

  std::string cell(Index index) {
    const Kind& kind = folding_.kinds()[index];
    const Place& place = folding_.places()[kind.example];
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
    const std::map<Index, std::size_t> colour_of = folding_.colours(place, true);
    for (const Index each : place.boxes) {
      std::string html = escape_html(folding_.label(folding_.boxes()[each], false));
      const auto adapters = kind.adapters.find(colour_of.at(each));
      if (adapters != kind.adapters.end()) {
        html.clear();
        for (const std::string& name : adapters->second) html += (html.empty() ? "" : "<br/>or ") + escape_html(name);
      }
      text += box(id + std::to_string(each), html, colour(family(folding_.nodes(), folding_.boxes()[each].members)));
    }
    text += box(id + "out", "output", "white");
    for (const Index each : place.boxes) {
      for (const Index input : folding_.boxes()[each].inputs) {
        const auto source = std::find(place.sources.begin(), place.sources.end(), input);
        text += id +
                (source == place.sources.end() ? std::to_string(input)
                                               : "in" + std::to_string(source - place.sources.begin())) +
                " -> " + id + std::to_string(each) + ";\n";
      }
      if (folding_.is_output(each)) text += id + std::to_string(each) + " -> " + id + "out;\n";
    }
    return text + "}\n";
  }

  // What is repeated along a sequence, each cell once.
  std::string recurrent_cells() {
    std::map<std::string, Index> drawn;  // by attributes
    std::string text;
    for (const Node& node : folding_.nodes()) {
      if (node.operation != "recurrent") continue;
      const auto [place, fresh] = drawn.try_emplace(node.attributes.dump(), drawn.size());
      if (fresh) {
        text += recurrent_cell(RecurrentCell::from_json(node.attributes.at("cell"), node.attributes.at("states")),
                               "r" + std::to_string(place->second) + "_");
      }
    }
    return text;
  }

  std::string recurrent_cell(const RecurrentCell& cell, const std::string& id) {
    const Architecture& graph = cell.architecture();
    int outputs = 0;
    std::string text = open_cluster("<b>recurrent cell</b>", "#fafafa");
    const auto edge = [&](NodeId from, const std::string& to) {
      text += id + std::to_string(from) + " -> " + id + to + ";\n";
    };
    for (Index at = 0; at < graph.nodes().size(); ++at) {
      const Node& node = graph.nodes()[at];
      const auto number = static_cast<NodeId>(at);
      // x at this position; h, c at the one before.
      const std::string name = node.operation == "input"
                                   ? escape_html(node.name) + "<sub>t" + (node.name == "x" ? "" : "-1") + "</sub>"
                                   : escape_html(label(graph, number, true));
      text += box(id + std::to_string(at), name, colour(family(graph.nodes(), std::array{number})));
      for (const NodeId input : node.inputs) edge(input, std::to_string(at));
    }
    const auto output = [&](const std::string& name, NodeId from) {
      const std::string target = "next" + std::to_string(outputs++);
      text += box(id + target, escape_html(name) + "<sub>t</sub>", "white");
      edge(from, target);
    };
    if (!cell.has_h()) output("h", graph.output());
    for (const RecurrentCell::State& state : cell.states()) output(graph.node(state.input).name, state.next);
    return text + "}\n";
  }

  Folding folding_;
  int clusters_ = 0;
};

}  // namespace

std::string to_dot(const Architecture& architecture, const DrawingOptions& options) {
  Drawing drawing(architecture);
  return options.whole ? drawing.whole() : drawing.folded();
}

std::string to_svg(const Architecture& architecture, const DrawingOptions& options) {
  std::string svg = lay_out(to_dot(architecture, options), options.limit);
  const std::size_t begin = svg.find("<svg");
  if (begin == std::string::npos) throw Error("\"dot -Tsvg\" ended without having written a picture");
  return svg.substr(begin);
}

}  // namespace weft::host
