// Tree-structured cells in a densely connected network, reached from the network without them by morphs.
//
// Cai, Yang, Zhang, Han, Yu 2018, "Path-Level Network Transformation for Efficient Architecture Search". The network is
// a DenseNet-BC (Huang et al. 2017) whose 3x3 convolutions are grouped, as in the authors' released code
// (han-cai/PathLevel-EAS). Behind each of them grows a cell, the same tree in all places with weights of its own in
// each. Morphs are the paper's three decisions:
//
//   set_merge_type    an identity becomes 2 or 3 copies that are averaged, or 2 shares of the channels side by side
//   replace_identity  an identity becomes a convolution that begins as one; or a pooling, which only comes near: the
//                     authors first train networks to mimic the start, which is left out here
//   insert_node       a leaf becomes a node with one identity, so that branches can be put in there
//
// Ours: batch norm and ReLU stand behind each convolution, the grouped ones too, so that what arrives in a cell is not
// negative, and a convolution, batch norm and ReLU can be the identity. New batch norms are calibrated on one batch,
// where the authors take ten. In their code the grouped convolution is the tree's first edge, which may be repeated or
// split itself; here the tree hangs behind it, one level lower.
//
// Optimizers that read the tree ask for space.trees: a genotype is a tree as tree.hpp writes it; a morph's "at" is
// "root", or the place of the branch and of the node where it ends, as "root/2/1"; "merge" and "branches", "operation"
// are what the morph's name says.

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tree.hpp"
#include "weft/blocks.hpp"
#include "weft/morphs.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using path_level::Branch;
using path_level::Node;
using weft::Architecture;
using weft::ArchitectureBuilder;
using weft::Candidate;
using weft::Genotype;
using weft::InvalidInput;
using weft::Json;
using weft::NodeId;
using weft::Rng;

struct Options {
  std::size_t stages;
  std::int64_t layers;  // of each stage
  std::int64_t growth;
  std::int64_t bottleneck;  // times the growth
  std::int64_t groups;
  double compression;  // theta
  std::size_t max_height;
  std::vector<std::string> operations;
  std::map<std::string, std::vector<std::size_t>> branches;  // that each merge may have
  double noise;
  bool calibrated;
  Json start_recipe;

  explicit Options(const weft::Context& context)
      : stages(context.get<std::size_t>("stages")),
        layers(context.get<std::int64_t>("layers")),
        growth(context.get<std::int64_t>("growth")),
        bottleneck(context.get<std::int64_t>("bottleneck")),
        groups(context.get<std::int64_t>("groups")),
        compression(context.get<double>("compression")),
        max_height(context.get<std::size_t>("max_height")),
        operations(context.get<std::vector<std::string>>("operations")),
        branches{{"add", context.get<std::vector<std::size_t>>("add_branches")},
                 {"concat", context.get<std::vector<std::size_t>>("concat_branches")}},
        noise(context.get<double>("noise")),
        calibrated(context.get<bool>("calibrated")),
        start_recipe(context.configuration().at("start_recipe")) {
    weft::require::multiples(std::vector{growth}, "growth", groups, "groups");
  }
};

Node start() { return {.branches = {{"identity"}}}; }

// ---- the network --------------------------------------------------------------------------------------------------

NodeId apply(ArchitectureBuilder& graph, NodeId x, const std::string& operation) {
  if (operation == "identity") return x;
  const auto group = graph.group(operation);
  const std::int64_t channels = graph.shape(x).channels;
  if (operation == "conv_1x1") return blocks::conv_bn_relu(graph, x, blocks::Convolution::square(channels, 1));
  const std::int64_t kernel = blocks::square_kernel(operation);
  if (operation.starts_with("max_pool")) return blocks::pool(graph, x, "max_pool", kernel);
  if (operation.starts_with("avg_pool")) return blocks::pool(graph, x, "avg_pool", kernel);
  x = blocks::convolution(graph, x, blocks::Convolution::depthwise(channels, kernel));
  return blocks::conv_bn_relu(graph, x, blocks::Convolution::square(channels, 1));
}

// N(x) = merge(N_i(E_i(allocation(x, i)))), section 3.2.
NodeId grow(ArchitectureBuilder& graph, NodeId x, const Node& node) {
  if (path_level::is_leaf(node)) return x;
  const std::vector<std::int64_t> shares = path_level::allocation(node, graph.shape(x).channels);
  std::vector<NodeId> results;
  std::int64_t from = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const auto group = graph.group("branch " + std::to_string(i + 1));
    NodeId part = x;
    if (node.merge == "concat") part = graph.add("slice", {{"from", from}, {"channels", shares[i]}}, {x});
    from += shares[i];
    results.push_back(grow(graph, apply(graph, part, node.branches[i].operation), node.branches[i].node));
  }
  if (results.size() == 1) return results.front();
  return graph.add(node.merge == "add" ? "mean" : "concat", {}, results);
}

Architecture build(const Options& options, const weft::Task& task, const Node& cell) {
  ArchitectureBuilder graph;
  NodeId x = graph.input(task.input);
  {
    const auto group = graph.group("stem");
    x = blocks::convolution(graph, x, blocks::Convolution::square(2 * options.growth, 3));
  }
  for (std::size_t stage = 1; stage <= options.stages; ++stage) {
    if (stage > 1) {
      const auto group = graph.group("transition " + std::to_string(stage - 1));
      const auto kept = static_cast<double>(graph.shape(x).channels) * options.compression;
      const auto channels = std::max<std::int64_t>(1, static_cast<std::int64_t>(kept));
      x = blocks::convolution(graph, blocks::bn_relu(graph, x), blocks::Convolution::square(channels, 1));
      x = blocks::pool(graph, x, "avg_pool", 2, 2);
    }
    const auto outer = graph.group("stage " + std::to_string(stage));
    for (std::int64_t layer = 1; layer <= options.layers; ++layer) {
      const auto group = graph.group("layer " + std::to_string(layer));
      const std::int64_t narrow = options.bottleneck * options.growth;
      NodeId y = blocks::convolution(graph, blocks::bn_relu(graph, x), blocks::Convolution::square(narrow, 1));
      auto grouped = blocks::Convolution::square(options.growth, 3);
      grouped.groups = options.groups;
      y = blocks::conv_bn_relu(graph, blocks::bn_relu(graph, y), grouped);
      {
        const auto tree = graph.group("cell");
        y = grow(graph, y, cell);
      }
      x = graph.add("concat", {}, {x, y});
    }
  }
  {
    const auto group = graph.group("end");
    x = blocks::bn_relu(graph, x);
  }
  return std::move(graph).build(blocks::classifier(graph, x, task.classes));
}

// What the child has more than the parent begins as the identity.
weft::WeightTransfer::Step identities(const Architecture& parent, const Architecture& child, const Options& options) {
  const weft::TensorExtents before = weft::tensor_extents(parent), after = weft::tensor_extents(child);
  weft::WeightTransfer::Step step;
  for (const weft::Node& node : child.nodes()) {
    const std::string weight = node.name + ".weight";
    if (!after.contains(weight) || before.contains(weight)) continue;
    if (node.operation == "conv2d") {
      step.tensors[weight] = weft::WeightTransfer::Identity{after.at(weight), options.noise};
    } else if (options.calibrated) {
      weft::morphs::detail::calibrate_batch_norm(step, node.name);
    } else {
      weft::morphs::detail::set_batch_norm(step, node.name, node.shape.channels, 1.0);
    }
  }
  return step;
}

// ---- the morphs ---------------------------------------------------------------------------------------------------

// A node of a tree, the branch that ends there, and what arrives.
struct Place {
  std::string name;
  Node* node;
  Branch* branch;  // null at the root
  std::size_t depth;
  std::int64_t channels;
};

// Depth first.
void collect(std::vector<Place>& places, const Place& here) {
  places.push_back(here);
  const std::vector<std::int64_t> shares = path_level::allocation(*here.node, here.channels);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    Branch& branch = here.node->branches[i];
    collect(places, {here.name + "/" + std::to_string(i + 1), &branch.node, &branch, here.depth + 1, shares[i]});
  }
}

std::vector<Place> places(Node& root, std::int64_t channels) {
  std::vector<Place> found;
  collect(found, {"root", &root, nullptr, 0, channels});
  return found;
}

// "replace_identity root/2, sep_conv_3x3".
std::string in_words(const Json& morph) {
  std::string words = morph.at("morph").get<std::string>() + " " + morph.at("at").get<std::string>();
  if (morph.contains("merge"))
    words += ", " + morph.at("merge").get<std::string>() + " of " + morph.at("branches").dump();
  if (morph.contains("operation")) words += ", " + morph.at("operation").get<std::string>();
  return words;
}

// ---- the space ----------------------------------------------------------------------------------------------------

class PathLevel final : public weft::Space, public weft::Mutation, public weft::Morphisms {
 public:
  explicit PathLevel(const weft::Context& context) : options_(context), task_(context.task()) {
    weft::require::image(task_.input, "path_level", weft::require::before_halvings(options_.stages - 1),
                         "give fewer /stages");
  }

  // The paper's decisions in their order, each uniform over what there is.
  Genotype sample(Rng& rng) const override { return write(sample_node(0, options_.growth, rng)); }

  Candidate decode(const Genotype& genotype) const override {
    const Node root = read(genotype);
    return {build(options_, task_, root),
            path_level::to_text(root) == path_level::to_text(start()) ? options_.start_recipe : Json::object()};
  }

  std::string notation(const Genotype& genotype) const override { return path_level::to_text(read(genotype)); }

  Genotype parse(std::string_view notation) const override {
    if (notation == "start") return write(start());
    const Node root = path_level::read_node(notation, options_.max_height);
    check(root, "", options_.growth, 0);
    return write(root);
  }

  Genotype mutate(const Genotype& parent, Rng& rng) const override {
    const std::optional<Json> morph = draw_morph(parent, rng);
    return morph ? this->morph(parent, *morph, rng).genotype : parent;
  }

  std::vector<Json> morphs(const Genotype& parent) const override {
    Node root = read(parent);
    std::vector<Json> found;
    for (const Place& place : places(root, options_.growth)) {
      for (Json& morph : morphs_at(place)) found.push_back(std::move(morph));
    }
    return found;
  }

  Child morph(const Genotype& parent, const Json& morph, Rng&) const override {
    Node root = read(parent);
    const Architecture before = build(options_, task_, root);
    apply(morph, root);
    weft::WeightTransfer::Step step = identities(before, build(options_, task_, root), options_);
    step.morph = in_words(morph);
    return {write(root), {{std::move(step)}}};
  }

 private:
  std::vector<Json> morphs_at(const Place& place) const {
    std::vector<Json> found;
    if (path_level::is_plain(*place.node)) {
      for (const auto& [merge, counts] : options_.branches) {
        for (const std::size_t count : counts) {
          if (fits(merge, count, place.channels))
            found.push_back({{"morph", "set_merge_type"}, {"at", place.name}, {"merge", merge}, {"branches", count}});
        }
      }
    }
    if (place.branch != nullptr && place.branch->operation == "identity") {
      for (const std::string& operation : options_.operations) {
        if (operation != "identity")
          found.push_back({{"morph", "replace_identity"}, {"at", place.name}, {"operation", operation}});
      }
    }
    if (path_level::is_leaf(*place.node) && place.depth < options_.max_height)
      found.push_back({{"morph", "insert_node"}, {"at", place.name}});
    return found;
  }

  static bool fits(const std::string& merge, std::size_t count, std::int64_t channels) {
    return merge != "concat" || static_cast<std::int64_t>(count) <= channels;
  }

  void apply(const Json& morph, Node& root) const {
    const Json at = morph.is_object() ? morph.value("at", Json()) : Json();
    std::vector<Place> all = places(root, options_.growth);
    const auto place = std::find_if(all.begin(), all.end(), [&](const Place& one) { return at == one.name; });
    if (place == all.end())
      throw InvalidInput("a morph is an object with \"morph\", its name, and \"at\", a place of the tree " +
                         path_level::to_text(root) + " such as \"root/1\", not " + morph.dump().substr(0, 200));
    const std::vector<Json> possible = morphs_at(*place);
    if (std::find(possible.begin(), possible.end(), morph) == possible.end()) {
      throw InvalidInput("the morph " + morph.dump().substr(0, 200) + " cannot be done to the tree " +
                         path_level::to_text(root) + "; there " +
                         (possible.empty() ? "nothing can be done" : "can be done " + Json(possible).dump()));
    }
    if (morph.at("morph") == "set_merge_type") {
      place->node->merge = morph.at("merge");
      place->node->branches.resize(morph.at("branches").get<std::size_t>(), {"identity"});
    } else if (morph.at("morph") == "replace_identity") {
      place->branch->operation = morph.at("operation");
    } else {
      *place->node = start();
    }
  }

  Node sample_node(std::size_t depth, std::int64_t channels, Rng& rng) const {
    std::vector<std::pair<std::string, std::size_t>> merges = {{"none", 1}};
    for (const auto& [merge, counts] : options_.branches) {
      for (const std::size_t count : counts) {
        if (fits(merge, count, channels)) merges.emplace_back(merge, count);
      }
    }
    const auto& [merge, count] = rng.choice(merges);
    Node node{merge, std::vector<Branch>(count)};
    const std::vector<std::int64_t> shares = path_level::allocation(node, channels);
    for (Branch& branch : node.branches) branch.operation = rng.choice(options_.operations);
    for (std::size_t i = 0; depth + 1 < options_.max_height && i < count; ++i) {
      if (rng.bernoulli(0.5)) node.branches[i].node = sample_node(depth + 1, shares[i], rng);
    }
    return node;
  }

  Node read(const Genotype& genotype) const {
    if (!genotype.decisions.empty() || !genotype.opaque.is_object())
      throw InvalidInput(
          "a genotype of this space is a tree, {\"branches\": [{\"operation\": \"identity\"}]} for one, not " +
          genotype.to_json().dump().substr(0, 200));
    Node root = path_level::read_node(genotype.opaque);
    check(root, "", options_.growth, 0);
    return root;
  }

  static Genotype write(const Node& root) {
    Genotype genotype;
    genotype.opaque = path_level::to_json(root);
    return genotype;
  }

  // Throws InvalidInput naming the place.
  void check(const Node& node, const std::string& place, std::int64_t channels, std::size_t depth) const {
    if (path_level::is_leaf(node)) return;
    const auto fail = [&](const std::string& what) { throw InvalidInput("the tree" + place + what); };
    if (depth == options_.max_height) fail(" is higher than /max_height, " + std::to_string(options_.max_height));
    const std::size_t count = node.branches.size();
    if (count > 1) {
      const auto counts = options_.branches.find(node.merge);
      if (counts == options_.branches.end()) fail("/merge is \"" + node.merge + "\"; must be add or concat");
      if (std::find(counts->second.begin(), counts->second.end(), count) == counts->second.end())
        fail("/branches are " + std::to_string(count) + "; " + node.merge + " has one of /" + node.merge +
             "_branches, " + Json(counts->second).dump());
      if (!fits(node.merge, count, channels))
        fail("/branches are " + std::to_string(count) + "; concat cannot split " + std::to_string(channels) +
             " channels so");
    }
    const std::vector<std::int64_t> shares = path_level::allocation(node, channels);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string here = place + "/branches/" + std::to_string(i);
      const std::string& operation = node.branches[i].operation;
      const auto& known = options_.operations;
      if (operation != "identity" && std::find(known.begin(), known.end(), operation) == known.end())
        throw InvalidInput("the tree" + here + "/operation is \"" + operation +
                           "\"; must be identity or one of /operations, " + Json(known).dump());
      check(node.branches[i].node, here + "/node", shares[i], depth + 1);
    }
  }

  Options options_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<PathLevel>("path_level"))
