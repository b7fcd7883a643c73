// Graphs whose names and order were exchanged are found again, and the transfer ends with the others' names.
#include "weft/renaming.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/rng.hpp"

using namespace weft;

namespace {

// Convolutions, sums and concatenations of whatever came before; twins among them, which nothing but their readers and
// their names tells apart.
Architecture random_graph(Rng& rng) {
  ArchitectureBuilder graph;
  std::vector<NodeId> values = {graph.input(Shape::image(2, 4, 4))};
  const auto any = [&] { return values[rng.below(values.size())]; };
  const auto convolution = [&](NodeId x) {
    return blocks::convolution(graph, x, blocks::Convolution::square(2, rng.below(4) == 0 ? 3 : 1));
  };
  for (std::size_t left = 3 + rng.below(8); left > 0; --left) {
    std::vector<NodeId> terms;
    for (std::size_t count = 1 + rng.below(3); count > 0; --count) terms.push_back(convolution(any()));
    if (rng.below(3) == 0) terms.push_back(terms.front());
    for (const NodeId term : terms) values.push_back(term);
    const char* const operation = rng.below(3) == 0 ? "concat" : "add";
    values.push_back(graph.add(operation, {}, terms));
  }
  values.push_back(graph.add("concat", {}, values));
  return std::move(graph).build(blocks::classifier(graph, values.back(), 3));
}

// The same graph: its nodes in another order, inputs of sums in another order, and of `changed` of ten nodes other
// names, which may be those that others had before.
Architecture disguised(const Architecture& graph, std::size_t changed, Rng& rng) {
  const std::size_t count = graph.nodes().size();
  std::vector<std::string> names, moved;
  for (const Node& node : graph.nodes()) names.push_back(node.name);
  std::vector<std::size_t> moving;
  for (std::size_t id = 0; id < count; ++id) {
    if (rng.below(10) < changed) moving.push_back(id);
  }
  for (const std::size_t id : moving) moved.push_back(rng.below(2) == 0 ? names[id] : names[id] + " anew");
  rng.shuffle(moved);
  for (std::size_t i = 0; i < moving.size(); ++i) names[moving[i]] = moved[i];

  Json json = graph.to_json(), nodes = Json::array();
  std::vector<bool> placed(count);
  while (nodes.size() < count) {
    const std::size_t id = rng.below(count);
    const Node& node = graph.nodes()[id];
    const auto is_placed = [&](NodeId input) { return placed[static_cast<std::size_t>(input)]; };
    if (placed[id] || !std::all_of(node.inputs.begin(), node.inputs.end(), is_placed)) continue;
    placed[id] = true;
    std::vector<NodeId> inputs = node.inputs;
    if (node.commutative) rng.shuffle(inputs);
    Json written = json.at("nodes")[id];
    written["name"] = names[id];
    written["inputs"] = Json::array();
    for (const NodeId input : inputs) written["inputs"].push_back(names[static_cast<std::size_t>(input)]);
    nodes.push_back(written);
  }
  json["nodes"] = nodes;
  json["output"] = names[static_cast<std::size_t>(graph.output())];
  return Architecture::from_json(json);
}

// Of each tensor that is renamed, by its new name, the old one.
std::map<std::string, std::string> sources(const WeightTransfer::Step& step) {
  std::map<std::string, std::string> sources;
  for (const auto& [name, rule] : step.tensors) sources[name] = std::get<WeightTransfer::Gather>(rule).from;
  return sources;
}

// What a network computes, as a text: with the convolutions' weights by the names that they have in the other graph.
std::string function_of(const Architecture& graph, const std::map<std::string, std::string>& sources) {
  std::vector<std::string> texts;
  for (const Node& node : graph.nodes()) {
    std::vector<std::string> inputs;
    for (const NodeId input : node.inputs) inputs.push_back(texts[static_cast<std::size_t>(input)]);
    if (node.commutative) std::sort(inputs.begin(), inputs.end());
    std::string text = node.operation;
    for (const std::string& name : tensor_names(node)) text += " " + (sources.contains(name) ? sources.at(name) : name);
    for (const std::string& input : inputs) text += "," + input;
    texts.push_back(std::to_string(hash_text(text)));
  }
  return texts.back();
}

Morphed unchanged(const Architecture& graph) { return {graph, WeightTransfer{{{.morph = "nothing"}}}}; }

Architecture chain(const std::vector<std::pair<std::string, std::int64_t>>& convolutions) {
  ArchitectureBuilder graph;
  NodeId x = graph.input(Shape::image(2, 4, 4));
  for (const auto& [name, kernel] : convolutions)
    x = graph.add("conv2d", {{"channels", 2}, {"kernel", kernel}, {"padding", kernel / 2}}, {x}, name);
  return std::move(graph).build(graph.add("global_avg_pool", {}, {x}, "end"));
}

}  // namespace

TEST_CASE("renaming finds disguised graphs again, and each node its weights") {
  std::size_t renamings = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Rng rng(seed);
    const Architecture graph = random_graph(rng);
    const Architecture child = disguised(graph, seed % 11, rng);
    INFO("graph " << seed << "\n" << graph.to_json().dump() << "\n" << child.to_json().dump());
    const Morphed found = renamed(unchanged(graph), child);
    CHECK(found.child.to_json() == child.to_json());
    REQUIRE_NOTHROW(check_transfer(graph, child, found.transfer));
    REQUIRE(found.transfer.steps.size() <= 2);
    const bool renames = found.transfer.steps.size() == 2;
    renamings += renames ? 1 : 0;
    CHECK(function_of(child, renames ? sources(found.transfer.steps[1]) : sources({})) == function_of(graph, {}));
  }
  CHECK(renamings > 300);
}

TEST_CASE("renaming: what is called alike stays, what exchanged its name follows") {
  const Architecture one = chain({{"a", 1}, {"b", 3}, {"c", 5}});
  CHECK(renamed(unchanged(one), one).transfer.steps.size() == 1);
  const WeightTransfer transfer = renamed(unchanged(one), chain({{"b", 1}, {"a", 3}, {"d", 5}})).transfer;
  REQUIRE(transfer.steps.size() == 2);
  CHECK(transfer.steps[1].morph == "nothing");
  CHECK(sources(transfer.steps[1]) == std::map<std::string, std::string>{{"b.weight", "a.weight"},
                                                                         {"a.weight", "b.weight"},
                                                                         {"d.weight", "c.weight"}});
  CHECK(transfer.steps[1].removed == std::vector<std::string>{"c.weight"});
}

// Equal terms of a sum go by their names where there are any, so that nothing is renamed for nothing.
TEST_CASE("renaming: of equal terms each keeps its name") {
  const auto sum = [](const std::vector<const char*>& names) {
    ArchitectureBuilder graph;
    const NodeId x = graph.input(Shape::image(2, 4, 4));
    std::vector<NodeId> terms;
    for (const char* name : names) terms.push_back(graph.add("conv2d", {{"channels", 2}, {"kernel", 1}}, {x}, name));
    return std::move(graph).build(graph.add("global_avg_pool", {}, {graph.add("add", {}, terms)}));
  };
  const WeightTransfer transfer = renamed(unchanged(sum({"a", "b", "c"})), sum({"d", "c", "a"})).transfer;
  CHECK(sources(transfer.steps.at(1)) == std::map<std::string, std::string>{{"d.weight", "b.weight"}});
}

TEST_CASE("renaming: a node without a counterpart is named, the nearest to the output") {
  const Architecture one = chain({{"a", 1}, {"b", 3}, {"c", 5}});
  const auto refused = [&](const Architecture& child, const char* why) {
    CHECK_THROWS_AS(renamed(unchanged(one), child), InvalidInput);
    CHECK_THROWS_WITH(renamed(unchanged(one), child), ContainsSubstring(why));
  };
  refused(chain({{"a", 3}, {"b", 1}, {"c", 5}}), "node b (conv2d");
  refused(chain({{"a", 3}, {"b", 3}, {"c", 5}}), "node a (conv2d");
  refused(chain({{"b", 3}, {"c", 5}}), "node a (conv2d");
  refused(chain({{"z", 1}, {"a", 1}, {"b", 3}, {"c", 5}}), "in its place the child has z (conv2d");

  // One convolution read twice is not two convolutions.
  const auto twins = [](bool shared) {
    ArchitectureBuilder graph;
    const NodeId x = graph.input(Shape::image(2, 4, 4));
    const NodeId a = graph.add("conv2d", {{"channels", 2}, {"kernel", 1}}, {x}, "a");
    const NodeId b = shared ? a : graph.add("conv2d", {{"channels", 2}, {"kernel", 1}}, {x}, "b");
    return std::move(graph).build(graph.add("global_avg_pool", {}, {graph.add("add", {}, {a, b})}));
  };
  CHECK_THROWS_WITH(renamed(unchanged(twins(true)), twins(false)), ContainsSubstring("node a (conv2d"));
  CHECK_THROWS_WITH(renamed(unchanged(twins(false)), twins(true)), ContainsSubstring("node b (conv2d"));
}
