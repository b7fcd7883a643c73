// Classical recurrent cells, and the language model around them.

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

constexpr std::int64_t vocabulary = 10;
const Json text = {{"input", {5, 1}}, {"classes", vocabulary}};

Instance open_space(const Json& args, const Json& task = text) {
  return Instance(Plugin::open("space", "recurrent_baseline"), args, {.study = {{"task", task}}});
}

weft::Architecture network(const Json& args) {
  const Instance instance = open_space(args);
  return weft::SpaceRef(instance.handle()).decode({}).architecture;
}

// "group: operation" of each node but the input, in order.
std::vector<std::string> outline(const weft::Architecture& network) {
  std::vector<std::string> lines;
  for (const weft::Node& node : network.nodes()) {
    if (node.operation != "input") lines.push_back(node.group + ": " + node.operation);
  }
  return lines;
}

}  // namespace

TEST_CASE("recurrent_baseline keeps the contract of spaces") {
  for (const char* cell : {"tanh", "lstm"}) {
    weft::testing::check_space(Plugin::open("space", "recurrent_baseline"), {{"cell", cell}, {"features", 4}},
                               {{"task", text}});
  }
}

TEST_CASE("recurrent_baseline: a tied network has the embedding's weights once") {
  const Json args = {{"layers", 1}, {"features", 4}};
  Json tied = args;
  tied["tied"] = true;
  CHECK(network(args).cost().parameters - network(tied).cost().parameters == vocabulary * 4);
  CHECK(network(args).cost().multiply_adds == network(tied).cost().multiply_adds);
  CHECK(outline(network(tied)).back() == "decoder: tied_linear");
  tied["match_parameters"] = 2 * network(tied).cost().parameters;
  CHECK(network(tied).cost().parameters <= tied["match_parameters"]);
  CHECK(network(tied).cost().parameters > network(args).cost().parameters);
  tied["embedding_features"] = 3;
  CHECK_THROWS_WITH(network(tied), ContainsSubstring("/tied is true and /embedding_features is 3; tied weights have as "
                                                     "many features as the hidden layers"));
}

TEST_CASE("recurrent_baseline: what a network costs") {
  const std::int64_t f = 3, h = 4;
  const std::int64_t around = vocabulary * f + (h * vocabulary + vocabulary);
  const Json sizes = {{"layers", 1}, {"features", h}, {"embedding_features", f}};
  const auto cost = [&](const char* cell) {
    Json args = sizes;
    args["cell"] = cell;
    return network(args).cost();
  };
  const std::int64_t gate = f * h + h * h + h;
  CHECK(cost("tanh").parameters == around + gate);
  CHECK(cost("tanh").multiply_adds == 5 * (f * h + h * h + h * vocabulary));
  // PyTorch's has 4 h more, its second bias.
  CHECK(cost("lstm").parameters == around + 4 * (f * h + h * h + 2 * h) - 4 * h);
}

TEST_CASE("recurrent_baseline: the language model, and where its dropout is") {
  const std::vector<std::string> plain = {"embedding: embedding", "layer 1: recurrent", "layer 2: recurrent",
                                          "decoder: linear"};
  CHECK(outline(network(Json::object())) == plain);
  const weft::Architecture dropped = network({{"dropout", 0.5}, {"embedding_dropout", 0.1}, {"state_dropout", 0.25}});
  const std::vector<std::string> expected = {"embedding: embedding", "embedding: dropout", "layer 1: recurrent",
                                             "layer 1: dropout",     "layer 2: recurrent", "layer 2: dropout",
                                             "decoder: linear"};
  CHECK(outline(dropped) == expected);
  for (const weft::Node& node : dropped.nodes()) {
    if (node.operation == "embedding") CHECK(node.attributes.at("dropout") == 0.1);
    if (node.operation == "dropout") CHECK(node.attributes.at("probability") == 0.5);
    if (node.operation == "recurrent") CHECK(node.attributes.at("state_dropout") == 0.25);
  }
  CHECK(outline(network({{"dropout", 0.5}, {"dropout_kind", "locked"}})).at(1) == "embedding: locked_dropout");
}

TEST_CASE("recurrent_baseline: as many features as a number of parameters allows") {
  for (const Json& args : {Json{{"cell", "tanh"}}, Json{{"cell", "lstm"}, {"layers", 3}, {"embedding_features", 7}}}) {
    Json sized = args;
    sized["features"] = 9;
    const std::int64_t nine = network(sized).cost().parameters;
    Json matched = args;
    for (const auto& [limit, parameters] : {std::pair(nine, nine), std::pair(nine + 1, nine)}) {
      matched["match_parameters"] = limit;
      CHECK(network(matched).cost().parameters == parameters);
    }
    sized["features"] = 8;
    matched["match_parameters"] = nine - 1;
    CHECK(network(matched).cost().parameters == network(sized).cost().parameters);
  }
  // One feature: 10 of the embedding, 2 x 3 of the layers, 20 of the decoder.
  CHECK(network({{"cell", "tanh"}, {"match_parameters", 36}}).cost().parameters == 36);
  CHECK_THROWS_WITH(network({{"cell", "tanh"}, {"match_parameters", 35}}),
                    ContainsSubstring("/match_parameters is 35; must be at least 36"));
}

TEST_CASE("recurrent_baseline: a task that is no text, and genotypes of other spaces, are refused") {
  CHECK_THROWS_WITH(open_space(Json::object(), {{"input", {3, 32, 32}}, {"classes", 10}}),
                    ContainsSubstring("input is 3 x 32 x 32") && ContainsSubstring("one of texts"));
  CHECK_THROWS_WITH(open_space(Json::object(), {{"input", {35, 200}}, {"classes", 10}}),
                    ContainsSubstring("input is 35 x 200") && ContainsSubstring("positions x 1"));
  const Instance instance = open_space({{"cell", "lstm"}});
  const weft::SpaceRef space(instance.handle());
  CHECK(space.notation(space.parse("lstm")) == "lstm");
  CHECK_THROWS_WITH(space.parse("tanh"), ContainsSubstring("is not \"lstm\""));
  CHECK_THROWS_WITH(space.decode(weft::Genotype({0})), ContainsSubstring("the empty one, not [0]"));
}
