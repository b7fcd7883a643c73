// Zoph and Le's recurrent cells: the size of the space, the example of their Figure 5, their published cell.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::NodeId;
using weft::testing::decode;
using weft::testing::Instance;
using weft::testing::Plugin;

constexpr std::int64_t vocabulary = 10;
const Json text = {{"input", {5, 1}}, {"classes", vocabulary}};

Instance open_space(const Json& args = Json::object(), const Json& task = text) {
  return Instance(Plugin::open("space", "rnn_cell"), args, {.study = {{"task", task}}});
}

// A node of a cell as a formula, with W for any matrix and the operands of a combination in alphabetical order.
std::string formula(const weft::Architecture& cell, NodeId id) {
  const weft::Node& node = cell.node(id);
  if (node.operation == "input") return node.name;
  std::vector<std::string> operands;
  for (const NodeId input : node.inputs) operands.push_back(formula(cell, input));
  std::sort(operands.begin(), operands.end());
  if (node.operation == "linear") return "W " + operands.at(0);
  if (node.operation == "identity") return "identity(" + operands.at(0) + ")";
  if (node.operation == "activation")
    return node.attributes.at("function").get<std::string>() + "(" + operands[0] + ")";
  return "(" + operands.at(0) + (node.operation == "add" ? " + " : " * ") + operands.at(1) + ")";
}

struct Cell {
  weft::Architecture architecture;
  std::string h, c;  // their next values as formulas
};

// That of the first layer.
Cell cell_of(const weft::Architecture& network) {
  const auto nodes = network.nodes();
  const auto layer =
      std::find_if(nodes.begin(), nodes.end(), [](const weft::Node& node) { return node.operation == "recurrent"; });
  const auto cell = weft::Architecture::from_json(layer->attributes.at("cell"));
  const std::string state = layer->attributes.at("states").at("c");
  NodeId c = 0;
  while (cell.node(c).name != state) ++c;
  return {cell, formula(cell, cell.output()), formula(cell, c)};
}

std::ptrdiff_t count(const weft::Architecture& graph, const std::string& operation) {
  const auto nodes = graph.nodes();
  return std::count_if(nodes.begin(), nodes.end(), [&](const weft::Node& node) { return node.operation == operation; });
}

// Zoph, Le 2017, Figure 5, with base number 2; Figure 8 of the survey.
const std::string figure =
    "a0 = tanh(x + h); a0' = relu(a0 + c); a1 = relu(x * h); a2 = sigmoid(a0' * a1); h = a2; c = pre a1";

// The cell that the search found, as the authors published it (tensorflow/addons, rnn/nas_cell.py).
const std::string published =
    "a0 = sigmoid(x + h); a1 = relu(x + h); a2 = sigmoid(x + h); a3 = relu(x * h); a4 = tanh(x + h); "
    "a5 = sigmoid(x + h); a6 = tanh(x + h); a7 = sigmoid(x + h); a8 = tanh(a0 * a1); a8' = tanh(a8 + c); "
    "a9 = tanh(a2 + a3); a10 = tanh(a4 * a5); a11 = sigmoid(a6 + a7); a12 = identity(a8' * a9); "
    "a13 = tanh(a10 + a11); a14 = tanh(a12 * a13); h = a14; c = pre a12";

}  // namespace

TEST_CASE("rnn_cell keeps the contract of spaces") {
  const Plugin plugin = Plugin::open("space", "rnn_cell");
  weft::testing::check_space(plugin, {{"base_number", 3}, {"features", 4}}, {{"task", text}});
  weft::testing::check_space(plugin, {{"base_number", 1}, {"layers", 1}, {"features", 2}, {"dropout", 0.25}},
                             {{"task", text}});
}

// Zoph, Le 2017, section 3.4: about 6 x 10^16 cells of base number 8. Each of 15 nodes and the injection has 2 x 4
// possibilities, each of the two indices 15.
TEST_CASE("rnn_cell: the size of the space, and what a controller can tell of its decisions") {
  const Instance instance = open_space();
  const weft::SpaceRef space(instance.handle());
  weft::Rng rng(1);
  const weft::Genotype genotype = space.sample(rng);
  double size = 1.0;
  std::set<std::string> groups;
  for (std::size_t at = 0; at < genotype.decisions.size(); ++at) {
    const auto decision = space.next({genotype.decisions.data(), at});
    size *= static_cast<double>(decision->options.size());
    groups.insert(decision->group);
    const bool index = decision->group == "new state" || decision->group == "old state";
    CHECK((decision->kind == weft::Decision::Kind::reference) == index);
    // An index names nodes; their 15 steps and no others have ended before it.
    CHECK(decision->step == static_cast<int>(std::min<std::size_t>(at / 2, 15)));
  }
  CHECK(size == Approx(6.3e16).epsilon(0.01));
  CHECK(groups == std::set<std::string>{"combination", "activation", "new state", "old state"});
}

TEST_CASE("rnn_cell: the paper's example, equation by equation") {
  const Instance instance = open_space({{"base_number", 2}});
  const weft::SpaceRef space(instance.handle());
  // Add, Tanh; ElemMult, ReLU; ElemMult, Sigmoid; Cell Inject: Add, ReLU; Cell Index: 1, 0.
  const weft::Genotype genotype({0, 1, 1, 3, 1, 2, 0, 3, 1, 0});
  CHECK(space.parse(figure) == genotype);
  CHECK(space.notation(genotype) == figure);
  const Cell cell = cell_of(space.decode(genotype).architecture);
  CHECK(cell.h == "sigmoid((relu((W h * W x)) * relu((c + tanh((W h + W x))))))");
  CHECK(cell.c == "(W h * W x)");
  // W1 .. W4: the new memory is what a1 applies its activation to, no further combination.
  CHECK(count(cell.architecture, "linear") == 4);
  CHECK(count(cell.architecture, "multiply") == 2);
}

TEST_CASE("rnn_cell: the published cell") {
  const Instance instance = open_space({{"layers", 1}, {"features", 6}, {"embedding_features", 4}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.notation(space.parse(published)) == published);
  const weft::Architecture network = decode(instance, published);
  const Cell cell = cell_of(network);
  const std::string new_memory =
      "(tanh((c + tanh((relu((W h + W x)) * sigmoid((W h + W x)))))) * tanh((relu((W h * W x)) + sigmoid((W h + W "
      "x)))))";
  CHECK(cell.c == new_memory);
  CHECK(cell.h == "tanh((identity(" + new_memory +
                      ") * tanh((sigmoid((sigmoid((W h + W x)) + tanh((W h + W x)))) + "
                      "tanh((sigmoid((W h + W x)) * tanh((W h + W x))))))))");
  // That code's kernel and recurrent kernel have 8 matrices each and no biases.
  CHECK(cell.architecture.cost().parameters == 8 * (4 * 6 + 6 * 6));
  // Besides the cell: a vector for each token, and the decoder.
  CHECK(network.cost().parameters == vocabulary * 4 + 8 * (4 * 6 + 6 * 6) + (6 * vocabulary + vocabulary));
  CHECK(network.cost().multiply_adds == 5 * (8 * (4 * 6 + 6 * 6) + 6 * vocabulary));
}

TEST_CASE("rnn_cell: an odd node moves up") {
  const Instance instance = open_space({{"base_number", 5}});
  const std::string leaves =
      "a0 = tanh(x + h); a1 = tanh(x + h); a2 = tanh(x + h); a3 = tanh(x + h); a4 = relu(x * h); ";
  const std::string notation = leaves +
                               "a4' = tanh(a4 + c); a5 = tanh(a0 + a1); a6 = tanh(a2 + a3); a7 = sigmoid(a5 + a6); "
                               "a8 = tanh(a7 * a4'); h = a8; c = pre a8";
  CHECK(weft::SpaceRef(instance.handle()).notation(weft::SpaceRef(instance.handle()).parse(notation)) == notation);
  const Cell cell = cell_of(decode(instance, notation));
  CHECK(cell.c.starts_with("(sigmoid("));
  CHECK(cell.c.ends_with(" * tanh((c + relu((W h * W x)))))"));
}

TEST_CASE("rnn_cell: memory may enter the root, and leave where it enters") {
  const Instance instance = open_space({{"base_number", 1}});
  const Cell cell = cell_of(decode(instance, "a0 = tanh(x + h); a0' = identity(a0 * c); h = a0'; c = pre a0"));
  CHECK(cell.h == "identity((c * tanh((W h + W x))))");
  CHECK(cell.c == "(W h + W x)");
}

TEST_CASE("rnn_cell: every cell has as many weights, matched to a number of parameters") {
  const Instance instance = open_space({{"base_number", 2}, {"match_parameters", 1000}});
  const weft::SpaceRef space(instance.handle());
  // Two layers of 2 leaves: 2 x 2 x 2 H^2, and 10 H + 10 H + 10 around them: 8 H^2 + 20 H + 10.
  weft::Rng rng(3);
  for (int i = 0; i < 5; ++i) CHECK(space.decode(space.sample(rng)).architecture.cost().parameters == 8 * 81 + 190);
}

TEST_CASE("rnn_cell: what is malformed is refused with its place") {
  const Instance instance = open_space({{"base_number", 2}});
  const weft::SpaceRef space(instance.handle());
  CHECK_THROWS_WITH(space.parse("a0 = sine(x + h)"),
                    ContainsSubstring("position 5") && ContainsSubstring("identity, tanh, sigmoid, relu"));
  CHECK_THROWS_WITH(space.parse("a0 = tanh(x - h)"), ContainsSubstring("expected \"+\" or \"*\", found \"- h)\""));
  CHECK_THROWS_WITH(space.parse("a0 = tanh(x + h); a1 = relu(x * h); a2 = tanh(a0 + a1); h = a2; c = pre a1"),
                    ContainsSubstring("expected a2', the last value that c can enter"));
  CHECK_THROWS_WITH(space.parse(figure.substr(0, figure.size() - 1) + "3"),
                    ContainsSubstring("the number of a node, one of 0, 1, 2"));
  CHECK_THROWS_WITH(space.parse(figure + ";"), ContainsSubstring("expected the end"));
  CHECK_THROWS_WITH(open_space(Json::object(), {{"input", {3, 32, 32}}, {"classes", 10}}),
                    ContainsSubstring("input is 3 x 32 x 32") && ContainsSubstring("one of texts"));
}
