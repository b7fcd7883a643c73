// DARTS's recurrent cells: the size of the space, published cells, sizes of networks, the supernet and what is derived.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/recurrent.hpp"
#include "weft/space.hpp"
#include "weft/supernet.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::decode;
using weft::testing::Instance;
using weft::testing::Plugin;

Instance open_space(const Json& args = Json::object(), std::int64_t vocabulary = 10) {
  return Instance(Plugin::open("space", "darts_rnn"), args,
                  {.study = {{"task", {{"input", {5, 1}}, {"classes", vocabulary}}}}});
}

// The cells that the paper's searches of first and second order found (quark0/darts, rnn/genotypes.py).
const std::string v1 =
    "Genotype(recurrent=[('relu', 0), ('relu', 1), ('tanh', 2), ('relu', 3), ('relu', 4), ('identity', 1), ('relu', "
    "5), ('relu', 1)], concat=range(1, 9))";
const std::string v2 =
    "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('tanh', 2), ('sigmoid', 5), "
    "('tanh', 3), ('relu', 5)], concat=range(1, 9))";

const weft::Node& recurrent_node(const weft::Architecture& network) {
  const auto nodes = network.nodes();
  return *std::find_if(nodes.begin(), nodes.end(),
                       [](const weft::Node& node) { return node.operation == "recurrent"; });
}

}  // namespace

TEST_CASE("darts_rnn keeps the contract of spaces") {
  const Json text = {{"input", {5, 1}}, {"classes", 10}};
  weft::testing::check_space(Plugin::open("space", "darts_rnn"), {{"nodes", 3}, {"features", 4}}, {{"task", text}});
  weft::testing::check_space(Plugin::open("space", "darts_rnn"),
                             {{"nodes", 2},
                              {"features", 3},
                              {"layers", 2},
                              {"state_dropout", 0},
                              {"dropout_kind", "dropout"},
                              {"tied", false}},
                             {{"task", text}});
}

// Node i has i states to read, and four activations.
TEST_CASE("darts_rnn: the size of the space, and published cells") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  double size = 1.0;
  for (std::size_t at = 0; at < genotype.decisions.size(); ++at)
    size *= static_cast<double>(space.next({genotype.decisions.data(), at})->options.size());
  CHECK(size == 40320.0 * 65536.0);  // 8! 4^8
  for (const std::string& published : {v1, v2}) CHECK(space.notation(space.parse(published)) == published);
  CHECK(space.parse(v1) == weft::Genotype({1, 1, 1, 2, 0, 3, 1, 4, 1, 1, 3, 5, 1, 1, 1}));
  const auto refuses = [&](std::string text, const std::string& from, const std::string& to) {
    CHECK_THROWS_AS(space.parse(text.replace(text.find(from), from.size(), to)), weft::InvalidInput);
  };
  refuses(v1, "range(1, 9)", "range(2, 9)");
  refuses(v1, "('relu', 1)", "('relu', 2)");
  refuses(v1, "('relu', 0), ", "");
  refuses(v1, "tanh", "none");
}

// Table 2 of the paper: 23M. Embedding, whose weights are the decoder's, the decoder's bias, W of [x, h] and of the
// eight nodes, each to c and y.
TEST_CASE("darts_rnn: the networks of the paper have the parameters of the paper") {
  constexpr std::int64_t vocabulary = 10000, features = 850;
  const Instance instance = open_space(Json::object(), vocabulary);
  const std::int64_t parameters = decode(instance, v2).cost().parameters;
  CHECK(parameters == vocabulary * features + vocabulary + 2 * features * 2 * features + 8 * features * 2 * features);
  CHECK(parameters == 22'960'000);
  // In search 300 units; every node has one matrix for all states, and batch norms have no parameters.
  const Instance search = open_space({{"features", 300}}, vocabulary);
  CHECK(weft::SpaceRef(search.handle()).supernet().cost().parameters == 4'810'000);
  CHECK(decode(search, v1).cost().parameters == 4'810'000);
}

TEST_CASE("darts_rnn: the supernet's decisions lie in the cell") {
  const Instance instance = open_space({{"features", 4}});
  const weft::SpaceRef space(instance.handle());
  const weft::Architecture supernet = space.supernet();
  CHECK(supernet.has_choices());
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  REQUIRE(choices.size() == 36);  // 1 + 2 + .. + 8
  const std::vector<weft::Node> nodes = weft::nodes_with_cells(supernet);
  std::map<weft::NodeId, int> edges;
  for (const weft::SupernetChoice& choice : choices) {
    REQUIRE(choice.nodes.size() == 1);
    CHECK(choice.options == std::vector<std::string>{"none", "tanh", "relu", "sigmoid", "identity"});
    const weft::Node& node = nodes.at(static_cast<std::size_t>(choice.nodes[0]));
    CHECK(node.operation == "choice");
    CHECK(node.attributes.at("decision") == choice.decision);
    CHECK(nodes.at(static_cast<std::size_t>(node.inputs[0])).operation == "zero");
    CHECK(nodes.at(static_cast<std::size_t>(choice.target)).operation == "add");
    ++edges[choice.target];
  }
  CHECK(choices[0].target == choices[0].nodes[0] + 1);
  std::vector<int> into;
  for (const auto& [target, count] : edges) into.push_back(count);
  CHECK(into == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});

  // On a path one edge enters each node: with it, the matrix of node i is another's only where it reads no first state.
  const weft::Architecture part = weft::restricted(supernet, space.path(space.parse(v2)));
  CHECK_FALSE(part.has_choices());
  const weft::Attributes& attributes = recurrent_node(part).attributes;
  const weft::RecurrentCell cell = weft::RecurrentCell::from_json(attributes.at("cell"), attributes.at("states"));
  const auto inner = cell.architecture().nodes();
  const auto count = [&](const std::string& operation) {
    return std::count_if(inner.begin(), inner.end(),
                         [&](const weft::Node& node) { return node.operation == operation; });
  };
  CHECK(count("highway") == 1 + 8);
  CHECK(count("batch_norm") == 1 + 8);
  CHECK(count("tied_linear") == 2 * 7);
  CHECK(count("zero") == 36 - 8);
  CHECK(part.cost().parameters == supernet.cost().parameters);
}

// Section 2.4: of each node the state and activation of the largest weight, `none` apart.
TEST_CASE("darts_rnn: what is derived from alphas") {
  const Instance instance = open_space({{"features", 4}});
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(5);
  const std::vector<std::string> primitives = {"none", "tanh", "relu", "sigmoid", "identity"};
  for (int i = 0; i < 20; ++i) {
    weft::OptionWeights weights;
    std::string expected;
    for (int node = 1; node <= 8; ++node) {
      std::string strongest;
      double most = 0.0;
      for (int from = 0; from < node; ++from) {
        std::vector<double>& softmax = weights["edge " + std::to_string(from) + "-" + std::to_string(node)];
        double sum = 0.0;
        for (std::size_t k = 0; k < 5; ++k) sum += softmax.emplace_back(std::exp(rng.normal() + (k == 0 ? 2.0 : 0.0)));
        for (double& weight : softmax) weight /= sum;
        for (std::size_t k = 1; k < 5; ++k) {
          if (softmax[k] <= most) continue;
          most = softmax[k];
          strongest = "('" + primitives[k] + "', " + std::to_string(from) + ")";
        }
      }
      expected += (node == 1 ? "" : ", ") + strongest;
    }
    CHECK(space.notation(space.derive(weights)) == "Genotype(recurrent=[" + expected + "], concat=range(1, 9))");
  }
  // Of equals the first.
  weft::OptionWeights equal;
  for (const auto& choice : weft::choices_of(space.supernet())) equal[choice.decision].assign(5, 0.2);
  CHECK(space.derive(equal) == weft::Genotype({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  // The published cell from weights that are its own.
  for (auto& [decision, options] : equal) options = {0.6, 0.1, 0.1, 0.1, 0.1};
  for (const auto& [decision, active] : space.path(space.parse(v2))) {
    if (active[0] > 0) equal.at(decision)[static_cast<std::size_t>(active[0])] = 0.2;
  }
  CHECK(space.notation(space.derive(equal)) == v2);
}

TEST_CASE("darts_rnn: dropout lies where the authors' code has it") {
  const Instance instance = open_space({{"features", 4}});
  const weft::Architecture network = decode(instance, v1);
  std::vector<std::string> outline;
  for (const weft::Node& node : network.nodes()) {
    std::string text = node.operation;
    if (node.attributes.contains("probability")) text += " " + node.attributes.at("probability").dump();
    outline.push_back(text);
  }
  CHECK(outline == std::vector<std::string>{"input", "embedding", "locked_dropout 0.2", "locked_dropout 0.75",
                                            "recurrent", "slowness", "locked_dropout 0.75", "tied_linear"});
  const weft::Attributes& attributes = recurrent_node(network).attributes;
  CHECK(attributes.at("state_dropout") == 0.0);
  std::size_t masked = 0;
  for (const Json& node : attributes.at("cell").at("nodes")) {
    if (node.at("operation") == "locked_dropout") ++masked;
    // What the highways carry on is whole.
    if (node.at("operation") == "highway")
      CHECK(node.at("inputs")[0].get<std::string>().find("dropout") == std::string::npos);
  }
  CHECK(masked == 1 + 6);  // h, and the states 0 to 5 that v1's nodes read
}
