// Formulas of activations: read, printed and read again as they were; what the functions are; what is refused.
#include "weft/learning/activation_expression.hpp"

#include <cmath>
#include <set>

#include "tests/catch.hpp"
#include "weft/architecture.hpp"
#include "weft/rng.hpp"

using weft::ActivationExpression;
using weft::InvalidInput;

namespace {

std::string normal(std::string_view formula) { return ActivationExpression(formula).text(); }

weft::Node made(const weft::Json& attributes, const weft::Shape& shape) {
  weft::ArchitectureBuilder graph;
  const weft::NodeId id = graph.add("activation_unit", attributes, {graph.input(shape)}, "subject");
  const weft::Architecture built = std::move(graph).build(id);
  return built.node(built.output());
}

}  // namespace

TEST_CASE("activation formulas: each of the 25 unary and 10 binary functions, by hand at 1.5, and 0.5 with it") {
  const double values[] = {1.5,
                           -1.5,
                           1.5,
                           2.25,
                           3.375,
                           1.224744871391589,
                           3.0,
                           3.5,
                           std::log(1.5 + 1e-6),
                           4.4816890703380645,
                           0.9974949866040544,
                           0.0707372016677029,
                           2.1292794550948173,
                           2.352409615243247,
                           0.9051482536448664,
                           1.1947632172871094,
                           0.982793723247329,
                           0.6649966577360363,
                           1.5,
                           0.0,
                           0.8175744761936437,
                           1.7014132779827524,
                           0.10539922456186433,
                           0.9661051464753108,
                           2.0};
  REQUIRE(weft::unary_functions().size() == std::size(values));
  for (std::size_t i = 0; i < std::size(values); ++i) {
    const std::string& function = weft::unary_functions()[i];
    INFO(function);
    CHECK(ActivationExpression(function)(1.5, 2.0) == Approx(values[i]).epsilon(1e-12));
    CHECK(normal(function) == function);
  }
  // beta 2: exp(-2), exp(-2), and 2 * 1.5 - 0.5.
  const double of_two[] = {2.0, 0.75, 1.0, 3.0, 1.5, 0.5, 0.8175744761936437 / 2, std::exp(-2.0), std::exp(-2.0), 2.5};
  REQUIRE(weft::binary_functions().size() == std::size(of_two));
  for (std::size_t i = 0; i < std::size(of_two); ++i) {
    INFO(weft::binary_functions()[i]);
    const ActivationExpression function(weft::binary_functions()[i], {"x1", "x2"});
    const std::vector<double> both = {1.5, 0.5}, betas(static_cast<std::size_t>(function.betas()), 2.0);
    CHECK(function.evaluate(weft::RealArithmetic(), std::span(both), std::span(betas)) ==
          Approx(of_two[i]).epsilon(1e-12));
  }
}

TEST_CASE("activation formulas: what is written differently and is the same is printed alike") {
  CHECK(normal("sigmoid(x * beta)*x") == "x * sigmoid(beta x)");
  CHECK(normal("swish") == "x * sigmoid(beta x)");
  CHECK(normal("beta7 x + beta3") == "beta x + beta2");
  CHECK(normal("max(max(0, x), x)") == "max(x, 0)");
  CHECK(normal("min(sin(x), sin(x))") == "sin(x)");
  CHECK(normal("-(beta x^2)") == "-beta x^2");
  CHECK(normal("x - (x - 1) / (2 x)") == "x - (x - 1) / (2 x)");
  CHECK(normal("(-x)^3 * (x + 0.5)") == "(-x)^3 * (x + 0.5)");
  CHECK(normal("1.702x") == "1.702 x");
  CHECK(ActivationExpression("beta x + beta sin(x)").betas() == 1);
  CHECK(ActivationExpression("beta x + beta2 sin(x)").betas() == 2);
  CHECK(ActivationExpression("sin(x) + sin(x)^2").terms().size() == 4);  // sin(x) once
}

TEST_CASE("activation formulas: 500 random compositions are read as they are printed, with the same values") {
  weft::Rng rng(7);
  for (int i = 0; i < 500; ++i) {
    int betas = 0;
    std::vector<std::string> values = {"x"};
    for (std::size_t unit = 0; unit <= rng.below(3); ++unit) {
      values.push_back(weft::core_unit(rng.choice(weft::binary_functions()), rng.choice(weft::unary_functions()),
                                       rng.choice(values), rng.choice(weft::unary_functions()), rng.choice(values),
                                       betas));
    }
    const ActivationExpression expression(values.back());
    INFO(values.back());
    const ActivationExpression again(expression.text());
    CHECK(again.text() == expression.text());
    CHECK(again.betas() == expression.betas());
    for (const double x : {-2.5, -0.3, 0.0, 1.7}) {
      CHECK(std::isfinite(expression(x, 0.8)));
      CHECK(again(x, 0.8) == Approx(expression(x, 0.8)).epsilon(1e-9).margin(1e-9));
    }
  }
}

TEST_CASE("activation formulas: nothing leaves the bounds, and nothing is undefined") {
  const double bound = ActivationExpression::bound;
  CHECK(ActivationExpression("x")(1e300) == bound);
  CHECK(ActivationExpression("exp(x)")(1e9) == Approx(bound));
  CHECK(ActivationExpression("sinh(x)")(-1e9) == Approx(-bound));
  CHECK(ActivationExpression("x^3")(-1e5) == -bound);
  CHECK(ActivationExpression("sqrt(x)")(-4.0) == Approx(1e-3));
  CHECK(ActivationExpression("ln(x)")(-4.0) == Approx(std::log(1e-6)));
  CHECK(ActivationExpression("1 / x")(0.0) == Approx(bound));
  CHECK(ActivationExpression("1 / x")(-1e-9) == Approx(-bound));
  CHECK(ActivationExpression("sinc(x)")(0.0) == 1.0);
  CHECK(ActivationExpression("exp(exp(exp(x)))^3 - exp(exp(x))^3")(5.0) == 0.0);
}

TEST_CASE("activation formulas: what cannot be read is refused with its position and what was expected") {
  const auto refusal = [](std::string_view formula) -> std::string {
    try {
      return ActivationExpression(formula).text();
    } catch (const InvalidInput& error) {
      return error.what();
    }
  };
  CHECK_THAT(refusal("x * sigmoid(beta x"), ContainsSubstring("position 18: expected \")\", found the end"));
  CHECK_THAT(refusal("x + tangent(x)"), ContainsSubstring("position 4: expected one of x, abs, sqrt"));
  CHECK_THAT(refusal("sin x"), ContainsSubstring("position 4: expected \"(\", found \"x\""));
  CHECK_THAT(refusal("x^4"), ContainsSubstring("position 2: expected 2 or 3"));
  CHECK_THAT(refusal("max(x)"), ContainsSubstring("position 5: expected \",\""));
  CHECK_THAT(refusal("x ) x"), ContainsSubstring("position 2: expected an operator, or the end"));
  CHECK_THAT(refusal("1e7 x"), ContainsSubstring("expected a number up to 1e6"));
  CHECK_THAT(refusal("beta0 x"), ContainsSubstring("position 0"));
  CHECK_THAT(refusal(""), ContainsSubstring("found the end"));
  CHECK_THAT(refusal(std::string(5000, '(')), ContainsSubstring("fewer than 200 parentheses"));
  CHECK_THAT(refusal(std::string(5000, '-') + "x"), ContainsSubstring("fewer than 200 signs"));
  CHECK_THAT(refusal(std::string(20000, 'x')), ContainsSubstring("at most 10000 characters, not 20000"));
}

TEST_CASE("activation_unit: its formula in normal form, a beta for every channel, no constants") {
  const weft::Shape image = weft::Shape::image(6, 10, 8);
  const weft::Node swish = made({{"formula", "swish"}}, image);
  CHECK(swish.shape == image);
  CHECK(swish.cost == weft::Cost{.parameters = 6, .activation_bytes = 4 * 480});
  CHECK(swish.attributes == weft::Json{{"formula", "x * sigmoid(beta x)"}, {"beta", 1.0}});
  CHECK(made({{"formula", "beta x + beta2"}, {"beta", 2}}, image).cost.parameters == 12);
  CHECK(made({{"formula", "beta x"}}, weft::Shape::features(5)).cost.parameters == 1);
  CHECK(made({{"formula", "sin(x)"}, {"beta", 2}}, image).attributes ==
        made({{"formula", "sin(x)"}}, image).attributes);
  CHECK_THROWS_WITH(made({{"formula", "exp(beta) - beta2"}}, image),
                    ContainsSubstring("node subject (activation_unit)") &&
                        ContainsSubstring("does not depend on x, so that no gradient"));
  CHECK_THROWS_WITH(made({{"formula", 3}}, image), ContainsSubstring("formula must be a text such as"));
  CHECK_THROWS_WITH(made({{"formula", "x"}, {"beta", 1e9}}, image), ContainsSubstring("beta must be in [-1e6, 1e6]"));
}
