// Searched activations: the space of formulas, notation and back, and the network in which they come.

#include <cmath>
#include <map>
#include <set>

#include "core_units.hpp"
#include "tests/catch.hpp"
#include "weft/space.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

using weft::Genotype;
using weft::Json;
using weft::SpaceRef;
using weft::testing::Company;
using weft::testing::Instance;
using weft::testing::Plugin;

const Json task = {{"input", {3, 8, 8}}, {"classes", 5}};
const char* const residual_cell = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";
const Json small = {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}};

// The space over the one network, with other arguments besides.
class Opened {
 public:
  explicit Opened(const Json& args)
      : plugin_(Plugin::open("space", "activation_units")),
        args_(completed(args)),
        company_(plugin_, args_, {.study = {{"task", task}}}),
        instance_(plugin_, args_, company_.surroundings()) {}
  SpaceRef space() const { return SpaceRef(instance_.handle()); }

 private:
  static Json completed(Json args) {
    if (!args.contains("architecture")) args.update({{"architecture", small}, {"genotype", residual_cell}});
    return args;
  }

  Plugin plugin_;
  Json args_;
  Company company_;
  Instance instance_;
};

std::string normal(const std::string& notation) { return weft::ActivationExpression(notation).text(); }

}  // namespace

TEST_CASE("activation_units keeps the contract of spaces") {
  const Plugin plugin = Plugin::open("space", "activation_units");
  const Json study = {{"task", task}};
  weft::testing::check_space(plugin, {{"architecture", small}, {"genotype", residual_cell}}, study);
  weft::testing::check_space(plugin, {{"architecture", small}, {"genotype", residual_cell}, {"core_units", 3}}, study);
  weft::testing::check_space(plugin,
                             {{"architecture", small},
                              {"core_units", 2},
                              {"unary", {"beta", "x", "max(x, 0)"}},
                              {"binary", {"max(x1, x2)", "x1 * x2"}}},
                             study);
}

// 25 x 25 pairs of unary functions but for two constants, with 10 binary functions each.
TEST_CASE("activation_units: one core unit has 6240 genotypes, all of which depend on x") {
  const Opened opened{Json::object()};
  const SpaceRef space = opened.space();
  std::size_t count = 0;
  const std::vector<std::string> first = space.next({})->options;
  REQUIRE(first.size() == 25);
  CHECK(first.back() == "beta");
  for (std::int32_t unary = 0; unary < 25; ++unary) {
    const std::int32_t one[] = {unary};
    const auto second = static_cast<std::int32_t>(space.next(one)->options.size());
    const std::int32_t two[] = {unary, second - 1};
    count += static_cast<std::size_t>(second) * space.next(two)->options.size();
  }
  CHECK(count == 6240);
}

// The grid of the pipeline ramachandran2018: sums and maxima have the same value in both orders, and max(x, max(x, 0))
// is max(x, 0).
TEST_CASE("activation_units: 4 unary and 3 binary functions make 35 functions of 48 genotypes, each one candidate") {
  const Opened opened(
      {{"unary", {"x", "beta x", "sin(x)", "max(x, 0)"}}, {"binary", {"x1 + x2", "max(x1, x2)", "sigmoid(x1) * x2"}}});
  const SpaceRef space = opened.space();
  std::map<std::string, std::uint64_t> found;
  for (std::int32_t i = 0; i < 48; ++i) {
    const Genotype genotype(std::vector<std::int32_t>{i / 12, i / 3 % 4, i % 3});
    const auto [at, first] = found.emplace(space.notation(genotype), space.decode(genotype).hash());
    CHECK(at->second == space.decode(genotype).hash());
  }
  CHECK(found.size() == 35);
  CHECK(found.contains(normal("relu")));
  CHECK(found.contains(normal("swish")));
}

TEST_CASE("activation_units: decisions of a second unit point at the first") {
  const Opened opened(Json{{"core_units", 2}});
  const SpaceRef space = opened.space();
  std::vector<std::int32_t> taken = {0, 0, 0};
  const auto input = space.next(taken);
  CHECK(input->name == "unit 2/input 1");
  CHECK(input->kind == weft::Decision::Kind::reference);
  CHECK(input->options == std::vector<std::string>{"x", "unit 1"});
  CHECK(input->named_steps == std::vector<int>{weft::Decision::no_step, 0});
  CHECK(input->step == 1);
  // (x + x)^2 - sin(x): unit 1 is x + x.
  const Genotype genotype({0, 0, 0, 1, 3, 0, 10, 2});
  CHECK(space.notation(genotype) == "(x + x)^2 - sin(x)");
}

TEST_CASE("activation_units: the paper's functions are formulas of the space, with their names") {
  const Opened one{Json::object()}, two(Json{{"core_units", 2}});
  for (const auto& [name, formula] : weft::named_activations()) {
    INFO(name);
    const SpaceRef space = two.space();
    CHECK(space.notation(space.parse(name)) == normal(formula));
    CHECK(space.decode(space.parse(name)).hash() == space.decode(space.parse(formula)).hash());
  }
  for (const char* name :
       {"swish", "max_sigmoid", "cos_minus_x", "min_sin", "max_tanh", "sinc_plus_x", "swish_1", "relu", "softplus"}) {
    INFO(name);
    CHECK(one.space().notation(one.space().parse(name)) == normal(name));
  }
  CHECK_THROWS_WITH(one.space().parse("atan(x)^2 - x"),
                    ContainsSubstring("\"atan(x)^2 - x\" is no formula of 1 core unit(s)"));
  // One beta in two places is no composition: every use has its own.
  CHECK_THROWS_WITH(one.space().parse("beta x + beta"), ContainsSubstring("is no formula of 1 core unit(s)"));
  CHECK(one.space().notation(one.space().parse("beta + beta7 x")) == "beta x + beta2");
}

TEST_CASE("activation_units: 300 random formulas of up to four units are taken apart into units that make them") {
  const activation_units::Functions functions{weft::unary_functions(), weft::binary_functions()};
  for (const int count : {1, 2, 3, 4}) {
    const Opened opened(Json{{"core_units", count}});
    weft::Rng rng(23);
    for (int i = 0; i < 75; ++i) {
      const std::string notation = opened.space().notation(opened.space().sample(rng));
      const weft::ActivationExpression formula(notation);
      INFO(notation);
      const auto units = activation_units::Decomposition(formula, functions, static_cast<std::size_t>(count)).units();
      REQUIRE(units);
      CHECK(units->size() == static_cast<std::size_t>(count));
      CHECK(activation_units::formula_of(*units, functions) == notation);
    }
  }
}

TEST_CASE("activation_units: the network is the given one but for the activations that are replaced") {
  const Opened opened(Json{{"initial_beta", 0.5}});
  const weft::Architecture found = opened.space().decode(opened.space().parse("swish")).architecture;
  const Plugin plugin = Plugin::open("space", "nas_bench_201");
  const Instance instance(plugin, small.at("args"), {.study = {{"task", task}}});
  const SpaceRef inner(instance.handle());
  Json expected = inner.decode(inner.parse(residual_cell)).architecture.to_json();
  int replaced = 0;
  std::int64_t channels = 0;
  for (Json& node : expected.at("nodes")) {
    if (node.at("operation") != "activation") continue;
    node["operation"] = "activation_unit";
    node["attributes"] = {{"formula", "x * sigmoid(beta x)"}, {"beta", 0.5}};
    ++replaced;
  }
  CHECK(replaced > 5);
  CHECK(found.to_json() == expected);
  for (const weft::Node& node : found.nodes()) {
    if (node.operation == "activation_unit") channels += node.shape.channels;
  }
  CHECK(found.cost().parameters == inner.decode(inner.parse(residual_cell)).architecture.cost().parameters + channels);
}

TEST_CASE("activation_units: cells of recurrent networks have activations, too") {
  const Json cell = {{"name", "recurrent_baseline"}, {"args", {{"cell", "lstm"}, {"features", 6}}}};
  const Plugin plugin = Plugin::open("space", "activation_units");
  const Json args = {{"architecture", cell}, {"replaces", {"tanh"}}};
  const Company company(plugin, args, {.study = {{"task", {{"input", {5, 1}}, {"classes", 9}}}}});
  const Instance instance(plugin, args, company.surroundings());
  const SpaceRef space(instance.handle());
  const std::string text = space.decode(space.parse("max_tanh")).architecture.to_json().dump();
  CHECK(text.find("\"max(x, tanh(x))\"") != std::string::npos);
  CHECK(text.find("\"function\":\"tanh\"") == std::string::npos);
  CHECK(text.find("\"function\":\"sigmoid\"") != std::string::npos);
}

TEST_CASE("activation_units: network and activation are searched together where no network is given") {
  const Opened opened(Json{{"architecture", small}});
  const SpaceRef space = opened.space();
  const Genotype genotype = space.parse(std::string("relu @ ") + residual_cell);
  CHECK(genotype.decisions.size() == 3 + 6);
  CHECK(space.notation(genotype) == std::string("max(x, 0) @ ") + residual_cell);
  CHECK_THROWS_WITH(space.parse("relu"), ContainsSubstring("is not RECIPE @ ARCHITECTURE"));
}

TEST_CASE("activation_units: arguments that make nothing are refused") {
  CHECK_THROWS_WITH(Opened(Json{{"unary", {"beta"}}}),
                    ContainsSubstring("/unary is [\"beta\"], which makes constants"));
  CHECK_THROWS_WITH(Opened(Json{{"replaces", {"elu"}}}),
                    ContainsSubstring("/replaces is [\"elu\"], but the architecture has no such activation"));
}
