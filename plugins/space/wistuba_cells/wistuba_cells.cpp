// Networks of one cell, repeated, which grows to any structure by mutations that keep what the network computes.
//
// Wistuba 2018, "Deep Learning Architecture Search by Neuro-Cell-based Evolution with Function-Preserving Mutations";
// the survey's Figure 14 for what cells come of it. The same change is made in all of a network's cells, each of which
// has weights of its own; where the cell's output gets wider, what comes before each stage does, too. The mutations are
// the paper's; what a convolution is separated into is ours, as are the template's reductions (cell.hpp).

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cell.hpp"
#include "cell_morphs.hpp"
#include "weft/morphs.hpp"
#include "weft/plugin.hpp"
#include "weft/renaming.hpp"
#include "weft/requirements.hpp"
#include "weft/tried_morphs.hpp"

namespace {

using weft::Architecture;
using weft::Genotype;
using weft::InvalidInput;
using weft::Json;
using weft::Morphed;
using weft::Node;
using weft::NodeId;
using weft::NotApplicable;
using weft::Rng;
using wistuba_cells::Cell;
using wistuba_cells::Instance;
using wistuba_cells::Network;
namespace morphs = weft::morphs;

struct Options {
  std::int64_t filters;
  std::vector<std::string> morphs;
  std::vector<std::int64_t> kernels;
  std::vector<std::int64_t> factors;
  std::int64_t max_channels;
  double noise;
  bool calibrated;
  int sampled_morphs;

  explicit Options(const weft::Context& context)
      : filters(context.get<std::int64_t>("filters")),
        morphs(context.get<std::vector<std::string>>("morphs")),
        kernels(context.get<std::vector<std::int64_t>>("kernels")),
        factors(context.get<std::vector<std::int64_t>>("factors")),
        max_channels(context.get<std::int64_t>("max_channels")),
        noise(context.get<double>("noise")),
        calibrated(context.get<bool>("calibrated")),
        sampled_morphs(context.get<int>("sampled_morphs")) {
    weft::require::odd(kernels, "kernels");
    if (filters > max_channels)
      throw InvalidInput("/filters is " + std::to_string(filters) + "; must not exceed max_channels, " +
                         std::to_string(max_channels));
  }
};

std::optional<NodeId> named(const Architecture& network, const std::string& name) {
  for (NodeId id = 0; id < static_cast<NodeId>(network.nodes().size()); ++id) {
    if (network.node(id).name == name) return id;
  }
  return {};
}

bool in_first_cell(const Node& node) { return node.group == Instance{1, 1}.group(); }

// Its name within the cell.
std::string place(const Node& node) { return node.name.substr(Instance{1, 1}.name("").size()); }

std::vector<NodeId> convolutions(const Architecture& network, const std::function<bool(const Node&)>& fits) {
  std::vector<NodeId> found;
  for (NodeId id = 0; const Node& node : network.nodes()) {
    if (in_first_cell(node) && node.operation == "conv2d" && fits(node)) found.push_back(id);
    ++id;
  }
  return found;
}
std::vector<NodeId> layers(const Architecture& network) { return convolutions(network, morphs::detail::is_dense); }

// Behind which something can be inserted: the cell's input, and where a block ends, as a convolution, its batch norm
// and its ReLU stay together.
std::vector<NodeId> ends(const Architecture& network) {
  std::vector<bool> is_end(network.nodes().size());
  for (std::size_t id = 0; id < is_end.size(); ++id) {
    const Node& node = network.nodes()[id];
    is_end[id] = in_first_cell(node) && node.operation != "conv2d";
    if (node.operation == "activation") is_end[static_cast<std::size_t>(node.inputs[0])] = false;
  }
  std::vector<NodeId> found;
  for (std::size_t id = 0; id < is_end.size(); ++id) {
    if (is_end[id]) found.push_back(static_cast<NodeId>(id));
  }
  return found;
}

// At each of the nodes, with each of the values.
template <typename Value>
std::vector<Json> at_each(const Architecture& network, const std::vector<NodeId>& nodes, const char* name,
                          const std::vector<Value>& values) {
  std::vector<Json> found;
  for (const NodeId id : nodes) {
    for (const Value& value : values) found.push_back({{"at", place(network.node(id))}, {name, value}});
  }
  return found;
}
std::vector<Json> at_each(const Architecture& network, const std::vector<NodeId>& nodes) {
  std::vector<Json> found;
  for (const NodeId id : nodes) found.push_back({{"at", place(network.node(id))}});
  return found;
}

std::vector<Json> pairs(const Architecture& network) {
  const std::vector<NodeId> nodes = ends(network);
  std::vector<Json> found;
  for (const NodeId from : nodes) {
    for (const NodeId to : nodes) {
      if (from >= to) continue;
      const Json pair = {{"from", place(network.node(from))}, {"at", place(network.node(to))}};
      for (const char* by : {"addition", "concatenation"}) {
        if (std::string(by) == "addition" && network.shape(from) != network.shape(to)) continue;
        found.push_back(pair);
        found.back()["by"] = by;
      }
    }
  }
  return found;
}

// One of a network's cells, and what is to be done there. `parent` is the network as it was before any of them changed.
struct Site {
  const Architecture& parent;
  const Architecture& network;
  const Instance& cell;
  const Json& morph;
  const Options& options;

  NodeId node(const char* member) const {
    const std::string& name = morph.at(member).get_ref<const std::string&>();
    const std::optional<NodeId> found = named(network, cell.name(name));
    if (!found) throw InvalidInput("the cell has no node " + name + ", which the morph " + morph.dump() + " names");
    return *found;
  }
  // As in the first stage.
  std::int64_t channels(NodeId id) const { return network.shape(id).channels / cell.scale(); }
};

struct Change {
  std::function<std::vector<Json>(const Architecture& network, const Options&)> list;
  std::function<Morphed(const Site&, Rng&)> apply;  // throws NotApplicable
};

// Repeats channels, each as likely as any, until there are so many.
Morphed widen(const Architecture& network, NodeId layer, std::int64_t wanted, double noise, Rng& rng) {
  const std::int64_t channels = network.shape(layer).channels;
  morphs::Indices indices = morphs::detail::range(channels);
  while (static_cast<std::int64_t>(indices.size()) < wanted)
    indices.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::size_t>(channels))));
  return morphs::widen(network, layer, indices, noise);
}

// By a "factor", or "to" so many channels. Of cells that sums tie together the first one widens the others.
Morphed widen_layer(const Site& site, Rng& rng) {
  const NodeId layer = site.node("at");
  const Node& node = site.network.node(layer);
  const std::int64_t before = site.parent.shape(*named(site.parent, node.name)).channels / site.cell.scale();
  const std::int64_t wanted = site.morph.contains("to") ? site.morph.at("to").get<std::int64_t>()
                                                        : before * site.morph.at("factor").get<std::int64_t>();
  if (wanted <= before || wanted > site.options.max_channels)
    throw NotApplicable("node " + node.name + " would have " + std::to_string(wanted) +
                        " channels; must be more than " + std::to_string(before) + ", and at most /max_channels, " +
                        std::to_string(site.options.max_channels));
  if (site.channels(layer) == wanted) return {site.network, {}};
  return widen(site.network, layer, wanted * site.cell.scale(), site.options.noise, rng);
}

Morphed deepen(const Site& site, bool separable) {
  const NodeId behind = site.node("at");
  if (separable && site.channels(behind) < 2)
    throw NotApplicable("node " + site.network.node(behind).name +
                        " has a single channel; a separable convolution goes "
                        "behind two or more");
  return morphs::deepen(
      site.network, behind,
      {.kernel = site.morph.at("kernel"), .separable = separable, .calibrated = site.options.calibrated});
}

Morphed skip(const Site& site) {
  const NodeId from = site.node("from"), to = site.node("at");
  return site.morph.at("by") == "addition" ? morphs::skip_by_addition(site.network, from, to)
                                           : morphs::skip_by_concatenation(site.network, from, to);
}

// In halves, the first of which is larger where the number is odd.
Morphed branch(const Site& site) {
  const NodeId layer = site.node("at");
  return wistuba_cells::branch(site.network, layer, (site.channels(layer) + 1) / 2 * site.cell.scale());
}

const std::map<std::string, Change>& changes() {
  static const auto kernels_at_ends = [](const Architecture& network, const Options& options) {
    return at_each(network, ends(network), "kernel", options.kernels);
  };
  static const auto at_layers = [](const Architecture& network, const Options&) {
    return at_each(network, layers(network));
  };
  static const std::map<std::string, Change> all = {
      {"deepen", {kernels_at_ends, [](const Site& site, Rng&) { return deepen(site, false); }}},
      {"deepen_separable", {kernels_at_ends, [](const Site& site, Rng&) { return deepen(site, true); }}},
      {"widen",
       {[](const Architecture& network, const Options& options) {
          return at_each(network, layers(network), "factor", options.factors);
        },
        widen_layer}},
      {"enlarge_kernel",
       {[](const Architecture& network, const Options& options) {
          const std::int64_t largest = *std::max_element(options.kernels.begin(), options.kernels.end());
          return at_each(network, convolutions(network, [&](const Node& node) {
                           return node.attributes.at("kernel").at(0) < largest;
                         }));
        },
        [](const Site& site, Rng&) { return morphs::enlarge_kernel(site.network, site.node("at")); }}},
      {"branch", {at_layers, [](const Site& site, Rng&) { return branch(site); }}},
      {"skip",
       {[](const Architecture& network, const Options&) { return pairs(network); },
        [](const Site& site, Rng&) { return skip(site); }}},
      {"separate",
       {at_layers, [](const Site& site, Rng&) { return wistuba_cells::separate(site.network, site.node("at")); }}}};
  return all;
}

class WistubaCells final : public weft::Space, public weft::Mutation, public weft::Morphisms, public weft::Encoding {
 public:
  explicit WistubaCells(const weft::Context& context)
      : options_(context),
        network_{.stages = context.get<int>("stages"),
                 .cells = context.get<int>("cells"),
                 .max_channels = options_.max_channels,
                 .dropout = context.get<double>("dropout"),
                 .image = context.task().input,
                 .classes = context.task().classes} {
    weft::require::image(network_.image, "wistuba_cells",
                         weft::require::before_halvings(static_cast<std::size_t>(network_.stages - 1)),
                         "fewer /stages, each but the first of which halves it");
  }

  // The trivial cell after 0 to `sampled_morphs` morphs, each number equally likely.
  Genotype sample(Rng& rng) const override {
    Genotype genotype = write(Cell::trivial(options_.filters));
    for (std::size_t left = rng.below(static_cast<std::size_t>(options_.sampled_morphs) + 1); left > 0; --left)
      genotype = mutate(genotype, rng);
    return genotype;
  }

  weft::Candidate decode(const Genotype& genotype) const override { return {network_.build(read(genotype))}; }

  std::string notation(const Genotype& genotype) const override { return read(genotype).to_json().dump(); }

  // A cell's JSON, or "trivial", which evolution begins with.
  Genotype parse(std::string_view notation) const override {
    Genotype genotype;
    if (notation == "trivial") {
      genotype.opaque = Cell::trivial(options_.filters).to_json();
    } else {
      genotype.opaque = Json::parse(notation, nullptr, false);
    }
    return write(read(genotype));
  }

  // As a morph is drawn, without the weights.
  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    const std::optional<Json> morph = draw_morph(parent, rng);
    return morph ? this->morph(parent, *morph, rng).genotype : parent;
  }

  std::vector<Json> morphs(const Genotype& parent) const override {
    const Cell cell = read(parent);
    return weft::tried_morphs::all(
        options_.morphs, [&](const std::string& name) { return list(name, cell); },
        [&](const Json& morph) { return applies(cell, morph); });
  }

  std::optional<Json> draw_morph(const Genotype& parent, Rng& rng) const override {
    const Cell cell = read(parent);
    return weft::tried_morphs::draw(
        options_.morphs, rng, [&](const std::string& name) { return list(name, cell); }, [](Json&) {},
        [&](const Json& morph) { return applies(cell, morph); });
  }

  Child morph(const Genotype& parent, const Json& morph, Rng& rng) const override {
    const Cell cell = read(parent);
    weft::tried_morphs::name_of(morph, options_.morphs);
    try {
      return grow(cell, network_, morph, rng);
    } catch (const Json::exception& error) {
      throw InvalidInput("the morph " + morph.dump() + " cannot be read: " + error.what());
    }
  }

  // Of the cell: log(1 + how many there are) of each kind of node, its depth in convolutions, and the logarithms of the
  // channels, each weighted with its layer's depth, too, so that it matters where a cell is wide. Of the network what
  // it costs.
  std::size_t encoding_length() const override { return counted().size() + 6; }
  std::vector<double> encode(const Genotype& genotype) const override {
    const Cell cell = read(genotype);
    const Architecture network = first_cells(1).build(cell);
    std::map<std::string, double> counts;
    std::vector<double> depth(network.nodes().size());
    double deepest = 0.0, widths = 0.0, placed_widths = 0.0;
    for (std::size_t id = 0; id < depth.size(); ++id) {
      const Node& node = network.nodes()[id];
      if (!in_first_cell(node)) continue;
      for (const NodeId read : node.inputs) depth[id] = std::max(depth[id], depth[static_cast<std::size_t>(read)]);
      ++counts[kind_of(node)];
      if (node.operation != "conv2d") continue;
      deepest = std::max(deepest, ++depth[id]);
      const double width = std::log(static_cast<double>(node.shape.channels));
      widths += width;
      placed_widths += depth[id] * width;
    }
    std::vector<double> code;
    for (const std::string& kind : counted()) code.push_back(std::log1p(counts[kind]));
    const weft::Cost cost = network_.build(cell).cost();
    code.push_back(std::log(static_cast<double>(cost.parameters)));
    code.push_back(std::log(static_cast<double>(cost.multiply_adds)));
    code.push_back(std::log(static_cast<double>(cost.activation_bytes)));
    code.push_back(deepest);
    code.push_back(widths);
    code.push_back(placed_widths);
    return code;
  }

 private:
  static const std::vector<std::string>& counted() {
    static const std::vector<std::string> kinds = {"kernel 1",   "kernel 3", "larger kernel", "depthwise",
                                                   "activation", "add",      "concat"};
    return kinds;
  }
  static std::string kind_of(const Node& node) {
    if (node.operation != "conv2d") return node.operation;
    if (!morphs::detail::is_dense(node)) return "depthwise";
    const std::int64_t kernel = node.attributes.at("kernel").at(0);
    return kernel > 3 ? "larger kernel" : kernel > 1 ? "kernel 3" : "kernel 1";
  }

  // A network's first stage, or the first of its cells: what a morph is tried on.
  Network first_cells(int cells) const {
    Network small = network_;
    small.stages = 1;
    small.cells = std::min(cells, network_.cells);
    return small;
  }

  Cell read(const Genotype& genotype) const {
    if (!genotype.decisions.empty())
      throw InvalidInput("a genotype of this space is a cell, not a list of decisions: " + genotype.key());
    try {
      return wistuba_cells::first_cell(first_cells(1).build(wistuba_cells::read_cell(genotype.opaque)));
    } catch (const Json::exception& error) {
      throw InvalidInput(std::string("the cell cannot be read: ") + error.what());
    }
  }

  static Genotype write(const Cell& cell) {
    Genotype genotype;
    genotype.opaque = cell.to_json();
    return genotype;
  }

  std::vector<Json> list(const std::string& name, const Cell& cell) const {
    std::vector<Json> all = changes().at(name).list(first_cells(1).build(cell), options_);
    for (Json& morph : all) morph["morph"] = name;
    return all;
  }

  // Two cells that follow each other are enough to see whether any number of them can change alike.
  bool applies(const Cell& cell, const Json& morph) const {
    Rng unused(0);
    try {
      grow(cell, first_cells(2), morph, unused);
      return true;
    } catch (const InvalidInput&) {
      return false;
    }
  }

  // The morph in each of the network's cells in turn; where that makes their outputs wider, what comes before a stage
  // follows. What comes of the first cell is the child's, which the others must have come to be, too. Throws
  // NotApplicable.
  Child grow(const Cell& cell, const Network& network, const Json& morph, Rng& rng) const {
    const Change& change = changes().at(morph.at("morph").get<std::string>());
    const Architecture parent = network.build(cell);
    Morphed grown{parent, {}};
    const auto then = [&](Morphed next) {
      grown.child = std::move(next.child);
      grown.transfer.append(std::move(next.transfer));
    };
    for (const Instance& instance : network.instances())
      then(change.apply({parent, grown.child, instance, morph, options_}, rng));
    for (int stage = 1; stage <= network.stages; ++stage) {
      const NodeId entry = *named(grown.child, network.entry(stage)), exit = *named(grown.child, network.exit(stage));
      const std::int64_t wanted = grown.child.shape(grown.child.node(exit).inputs[0]).channels;
      if (grown.child.shape(entry).channels < wanted) then(widen(grown.child, entry, wanted, options_.noise, rng));
    }
    const Cell child = wistuba_cells::first_cell(grown.child);
    const Architecture built = network.build(child);
    try {
      grown = weft::renamed(std::move(grown), built);
    } catch (const InvalidInput& error) {
      throw NotApplicable("the morph " + morph.dump() + " does not make equal cells of equal ones: " + error.what());
    }
    for (weft::WeightTransfer::Step& step : grown.transfer.steps) step.morph = weft::tried_morphs::in_words(morph);
    return {write(child), std::move(grown.transfer)};
  }

  Options options_;
  Network network_;
};

}  // namespace

WEFT_PLUGIN(weft::component<WistubaCells>("wistuba_cells"))
