#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/testing/update_rule_contract.hpp"

using namespace weft::testing;
using weft::Json;

namespace {

std::shared_ptr<const weft::UpdateRule> rule_of(const std::string& formula, Json args = Json::object()) {
  static const Plugin plugin = Plugin::open("update_rule", "expression");
  args["formula"] = formula;
  return update_rule_of(plugin, args);
}

// What a step with this gradient takes from w, by lr 1, in float64.
double taken(Descent& descent, double gradient, const weft::UpdateRule::Step& others = {}) {
  const double before = descent.values().item<double>();
  return before - descent.step(at::full({1}, gradient, at::kDouble), 1.0, others).item<double>();
}
double taken(const std::string& formula, double gradient, double w = 0.0, double progress = 0.0) {
  Descent descent(rule_of(formula), at::full({1}, w, at::kDouble));
  return taken(descent, gradient, {.progress = progress});
}

// A hundred steps down a valley of six dimensions, whose sides are steeper than a parabola; in float64.
at::Tensor descended(const std::shared_ptr<const weft::UpdateRule>& rule, double lr) {
  const at::Tensor steepness = at::tensor({1.0, 0.1, 3.0, 0.5, 2.0, 0.01}, at::kDouble);
  Descent descent(rule, at::tensor({1.0, -2.0, 0.5, -0.1, 1.5, 3.0}, at::kDouble));
  for (int step = 0; step < 100; ++step) {
    const at::Tensor w = descent.values();
    descent.step(steepness * w + 0.1 * w.pow(3) + 0.1 * w.roll(1), lr, {.progress = step / 100.0});
  }
  return descent.values();
}

}  // namespace

TEST_CASE("expression keeps the contract of update rules") {
  const Plugin plugin = Plugin::open("update_rule", "expression");
  for (const char* formula :
       {"exp(sign(g) * sign(m)) * g", "m / sqrt|v|", "0.9 * before + g", "rmsprop", "gamma + g", "drop(g, 0.3)",
        "g + linear * noise", "sign(m) + 0.001 * w", "(1 + cosine(0.5) * sign(g) * sign(m)) * g"})
    check_update_rule(plugin, {{"formula", formula}});
  check_update_rule(plugin, {{"formula", "exp(2) - noise^2"}}, {.descends = false});
}

TEST_CASE("expression reproduces momentum, Adam, RMSProp, PowerSign and AddSign over 100 steps") {
  struct Same {
    std::string formula;
    Json args;
    std::string name;
    Json of;
    double lr;
  };
  const std::vector<Same> cases = {
      {"g", {}, "sgd", {{"momentum", 0}}, 0.05},
      {"0.9 * before + g", {}, "sgd", {{"momentum", 0.9}, {"nesterov", false}}, 0.02},
      {"m / sqrt|v|", {}, "adam", {}, 0.02},
      {"adam", {}, "adam", {}, 0.02},
      {"adam", {{"betas", {0.8, 0.9, 0}}}, "adam", {{"betas", {0.8, 0.9}}}, 0.02},
      {"rmsprop", {{"betas", {0, 0.9, 0}}}, "rmsprop", {{"momentum", 0}, {"decay", 0.9}}, 0.01},
      {"0.9 * before + rmsprop", {{"betas", {0, 0.9, 0}}}, "rmsprop", {{"momentum", 0.9}, {"decay", 0.9}}, 0.002},
      {"exp(sign(g) * sign(m)) * g", {}, "power_sign", {}, 0.01},
      {"2^(linear * sign(g) * sign(m)) * g", {}, "power_sign", {{"base", 2}, {"decay", "linear"}}, 0.02},
      {"(1 + cosine(0.5) * sign(g) * sign(m)) * g", {}, "add_sign", {{"decay", "cosine"}}, 0.02},
      {"(2 + restart(5) * sign(g) * sign(m)) * g",
       {},
       "add_sign",
       {{"alpha", 2}, {"decay", "restart"}, {"periods", 5}},
       0.02},
  };
  for (const Same& same : cases) {
    INFO(same.formula << " for " << same.name << " " << same.of.dump());
    const Json args = same.args.is_null() ? Json::object() : same.args;
    const Json of = same.of.is_null() ? Json::object() : same.of;
    const at::Tensor ours = descended(rule_of(same.formula, args), same.lr);
    const at::Tensor theirs = descended(update_rule_of(Plugin::open("update_rule", same.name), of), same.lr);
    CHECK((ours - theirs).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("expression by hand: operands and functions in the first step") {
  // The formula, its gradient and its value; w is 10, a quarter of the training is over.
  const std::vector<std::tuple<std::string, double, double>> cases = {
      {"g", -2, -2},
      {"g^2", -2, 4},
      {"g^3", -2, -8},
      {"m", -2, -2},  // of one gradient the corrected means are its powers
      {"v", -2, 4},
      {"gamma", -2, -8},
      {"sign(g)", -2, -1},
      {"sign(g)", 0, 0},
      {"sign(m)", 0, 0},
      {"1", 5, 1},
      {"2", 5, 2},
      {"0.1 * w", 5, 1},
      {"0.0001 * w", 5, 0.001},
      {"adam", -2, -1},
      {"rmsprop", 2, 1 / std::sqrt(0.001)},
      {"before", 5, 0},
      {"linear", 5, 0.75},
      {"cosine(1)", 5, 0.5},
      {"restart(2)", 5, 0.5},
      {"-g", 3, -3},
      {"exp(g)", -2, std::exp(-2.0)},
      {"ln|g|", -std::exp(3.0), 3},
      {"sqrt|g|", -9, 3},
      {"clip(g, 0.001)", -2, -0.001},
      {"clip(g, 0.001)", 0.0005, 0.0005},
      {"drop(g, 0)", 3, 3},
      {"g + 2", 3, 5},
      {"g - 2", 3, 1},
      {"g * m", 3, 9},
      {"1 / g", 4, 0.25},
      {"g / (g - g)", 3, 3e8},  // by 1e-8
      {"2^g", 3, 8},
      {"g^-1", 4, 0.25},
  };
  for (const auto& [formula, gradient, value] : cases) {
    INFO(formula << " with gradient " << gradient);
    CHECK(taken(formula, gradient, 10, 0.25) == Approx(value).epsilon(1e-6));
  }
}

TEST_CASE("expression by hand: the second step, by decays of its own and one that the schedule wants") {
  Descent mean(rule_of("m"), at::zeros({1}, at::kDouble));
  taken(mean, 1.0);
  CHECK(taken(mean, 3.0) == Approx((0.9 * 0.1 + 0.1 * 3.0) / (1.0 - 0.81)));
  Descent own(rule_of("v", {{"betas", {0.9, 0.5, 0.999}}}), at::zeros({1}, at::kDouble));
  taken(own, 1.0);
  CHECK(taken(own, 3.0) == Approx((0.5 * 0.5 + 0.5 * 9.0) / 0.75));
  Descent wanted(rule_of("m"), at::zeros({1}, at::kDouble));
  taken(wanted, 1.0, {.momentum = 0.5});
  CHECK(taken(wanted, 3.0, {.momentum = 0.5}) == Approx((0.5 * 0.5 + 0.5 * 3.0) / 0.75));
  Descent before(rule_of("before + g"), at::zeros({1}, at::kDouble));
  taken(before, 1.0);
  taken(before, 2.0);
  CHECK(taken(before, 4.0) == Approx(7.0));
}

TEST_CASE("expression draws noise and what is dropped for each element, anew in each step") {
  const at::Tensor zeros = at::zeros({20000});
  const auto moved = [&](const std::string& formula) {
    at::manual_seed(7);
    Descent descent(rule_of(formula), zeros);
    const at::Tensor first = descent.step(at::ones({20000}), 1.0).clone();
    CHECK_FALSE(at::equal(descent.step(at::ones({20000}), 1.0) - first, first));
    return first;
  };
  const at::Tensor noise = moved("noise");
  CHECK(noise.std().item<double>() == Approx(0.1).epsilon(0.03));  // about 4 standard errors each
  CHECK(noise.mean().item<double>() == Approx(0.0).margin(0.003));
  const at::Tensor dropped = moved("drop(g, 0.3)");
  CHECK((dropped == 0.0).to(at::kFloat).mean().item<double>() == Approx(0.3).margin(0.015));
  CHECK(((dropped == 0.0) | (dropped == -1.0)).all().item<bool>());  // what is kept is no larger
  CHECK((moved("drop(1, 0.5)") == 0.0).to(at::kFloat).mean().item<double>() == Approx(0.5).margin(0.015));
}

TEST_CASE("expression hides nothing that is not a number") {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  for (const char* formula :
       {"g",     "m",      "v",     "gamma",   "sign(g)",      "sign(m)",      "adam",   "rmsprop",
        "-g",    "exp(g)", "ln|g|", "sqrt|g|", "clip(g, 0.1)", "drop(g, 0.9)", "g + 1",  "1 - g",
        "0 * g", "g / 2",  "1 / g", "g^0",     "1^g",          "g^2",          "0 * g^0"}) {
    INFO(formula);
    CHECK(std::isnan(taken(formula, none)));
  }
  CHECK(std::isnan(taken("g^0.5", -1)));
  CHECK(std::isnan(taken("g^m", -0.5)));
  CHECK(taken("ln|g|", 0) == -std::numeric_limits<double>::infinity());
  CHECK(taken("g^-1", 0) == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(taken("0 * ln|g|", 0)));
}

TEST_CASE("expression remembers what its formula needs, and says what it does") {
  const auto remembered = [](const char* formula) {
    std::string names;
    for (const auto& [name, first] : rule_of(formula)->memory()) names += name + " ";
    return names;
  };
  CHECK(remembered("g + w").empty());
  CHECK(remembered("adam") == "first_moment second_moment ");
  CHECK(remembered("rmsprop") == "second_moment ");
  CHECK(remembered("sign(m) * gamma + before") == "before first_moment third_moment ");
  CHECK(rule_of("m")->counts());
  CHECK_FALSE(rule_of("rmsprop * g")->counts());
  CHECK(rule_of("(sign(g)*m)")->formula() == "-lr (sign(g) * m)");
  CHECK_THROWS_WITH(rule_of("m / sqt|v|"),
                    ContainsSubstring("/formula is \"m / sqt|v|\": position 4: expected an operand or a function"));
}
