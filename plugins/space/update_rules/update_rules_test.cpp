#include <string>

#include "tests/catch.hpp"
#include "weft/learning/update_expression.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

using weft::Json;
using weft::testing::Company;
using weft::testing::Instance;
using weft::testing::Plugin;

namespace {

const Json study = {{"task", {{"input", {1, 8, 8}}, {"classes", 10}}}};
const Json child = {
    {"name", "zoph_le"},
    {"args",
     {{"layers", 2}, {"minimum_layers", 2}, {"filters", {4}}, {"filter_heights", {3}}, {"filter_widths", {3}}}}};
const Json network = {{"architecture", child}, {"genotype", "3x3:4 3x3:4@1"}};

// Of the two-layer network, unless the arguments say otherwise.
class Open {
 public:
  explicit Open(Json args = Json::object()) : Open(Plugin::open("space", "update_rules"), with_network(args)) {}
  const weft::SpaceRef* operator->() const { return &space_; }

 private:
  static Json with_network(const Json& args) {
    Json all = network;
    for (const auto& [name, value] : args.items()) all[name] = value;
    if (args.contains("architecture")) all.erase("genotype");
    return all;
  }
  Open(const Plugin& plugin, const Json& args)
      : company_(plugin, args, {.study = study}),
        instance_(plugin, args, company_.surroundings()),
        space_(instance_.handle()) {}

  Company company_;
  Instance instance_;
  weft::SpaceRef space_;
};

Json recipe_of(const Open& space, const std::string& notation) { return space->decode(space->parse(notation)).recipe; }

}  // namespace

TEST_CASE("update_rules keeps the contract of spaces, for one network and together with networks") {
  const Plugin plugin = Plugin::open("space", "update_rules");
  weft::testing::check_space(plugin, network, study);
  Json together = network;
  together.erase("genotype");
  together["architecture"]["args"]["filters"] = {4, 8};
  together["depth"] = 3;
  together["decays"] = Json::array();
  together["learning_rates"] = {0.1};
  weft::testing::check_space(plugin, together, study);
}

TEST_CASE("update_rules by hand: what is decided, and the recipe that it makes") {
  const Open space;
  std::string names;
  std::vector<std::int32_t> taken;
  while (const auto decision = space->next(taken)) {
    names += decision->name + " " + std::to_string(decision->options.size()) + "; ";
    taken.push_back(0);
  }
  CHECK(names ==
        "step 1/operand 1 17; step 1/operand 2 17; step 1/unary 1 12; step 1/unary 2 12; step 1/binary 6; "
        "step 2/operand 1 18; step 2/operand 2 18; step 2/unary 1 12; step 2/unary 2 12; step 2/binary 6; "
        "decay 4; learning rate 7; ");
  // sign(g) * sign(m), then exp(result 1) * g, without decay, at 0.1.
  const weft::Genotype power_sign({6, 7, 0, 0, 2, 17, 0, 2, 0, 2, 0, 4});
  CHECK(space->notation(power_sign) == "exp(sign(g) * sign(m)) * g, lr 0.1");
  CHECK(space->decode(power_sign).recipe ==
        Json{{"update_rule", {{"name", "expression"}, {"args", {{"formula", "exp(sign(g) * sign(m)) * g"}}}}},
             {"lr", 0.1}});
  const weft::Genotype decayed({6, 7, 0, 0, 2, 17, 0, 0, 1, 1, 2, 0});
  CHECK(space->notation(decayed) == "(sign(g) * sign(m) - -g) * cosine(0.5), lr 1e-05");
}

TEST_CASE("update_rules finds the decisions of formulas that are written") {
  const Open space(Json{{"depth", 3}});
  for (const char* formula :
       {"g", "m / sqrt|v|", "exp(sign(g) * sign(m)) * g", "(1 + sign(g) * sign(m)) * g", "adam * linear", "(g^2)^-g",
        "drop(g + 0.1 * w, 0.5)", "(m + g) * (m + g)", "-exp(-g)", "(m - g) / (m + g)"}) {
    const std::string notation = std::string(formula) + ", lr 0.01";
    INFO(notation);
    CHECK(space->notation(space->parse(notation)) == notation);
    CHECK(recipe_of(space, notation).at("lr") == 0.01);
  }
  // x^y of the operands g and 2 is the operand g^2: one rule, one candidate.
  const weft::Genotype operand({1, 0, 0, 0, 5, 0, 0, 0, 0, 5, 17, 0, 0, 0, 5, 0, 0});
  const weft::Genotype power({0, 9, 0, 0, 4, 0, 0, 0, 0, 5, 17, 0, 0, 0, 5, 0, 0});
  CHECK(space->notation(operand) == "g^2, lr 1e-05");
  CHECK(space->decode(operand).hash() == space->decode(power).hash());
}

TEST_CASE("update_rules refuses what it cannot make, and says where") {
  const Open space;
  CHECK_THROWS_WITH(space->parse("m / sqrt|v|"), ContainsSubstring("is not FORMULA, lr RATE"));
  CHECK_THROWS_WITH(space->parse("m / , lr 0.1"), ContainsSubstring("position 4: expected an operand"));
  CHECK_THROWS_WITH(space->parse("m, lr 0.3"), ContainsSubstring("lr is \"0.3\"; must be one of [1e-05,0.0001,0.001,"));
  CHECK_THROWS_WITH(space->parse("0.9 * before + g, lr 0.1"), ContainsSubstring("is not made of /operands"));
  CHECK_THROWS_WITH(space->parse("g * m * v * g, lr 0.1"), ContainsSubstring("in 2 steps"));
  CHECK_THROWS_WITH(Open(Json{{"operands", {"g", "h"}}}),
                    ContainsSubstring("/operands/1 is \"h\": position 0: expected"));
  CHECK_THROWS_WITH(Open(Json{{"unary", {"x * y"}}}), ContainsSubstring("/unary/0 is \"x * y\": position 4: expected"));
}

TEST_CASE("update_rules leaves the rest of a recipe to the space below it") {
  Json fixed = {{"name", "fixed"}, {"args", {{"recipe", {{"lr", 5}, {"weight_decay", 0.1}}}}}};
  fixed["args"]["architecture"] = Open()->decode(weft::Genotype(std::vector<std::int32_t>(12))).architecture.to_json();
  const Open space(Json{{"architecture", fixed}});
  const Json recipe = space->decode(weft::Genotype(std::vector<std::int32_t>(12))).recipe;
  CHECK(recipe.at("weight_decay") == 0.1);
  CHECK(recipe.at("lr") == 1e-5);
  CHECK(space->notation(weft::Genotype(std::vector<std::int32_t>(12))) == "g + g, lr 1e-05");
}
