#include <cmath>

#include "tests/catch.hpp"
#include "weft/testing/update_rule_contract.hpp"

using namespace weft::testing;

namespace {

const Plugin& power_sign() {
  static const Plugin plugin = Plugin::open("update_rule", "power_sign");
  return plugin;
}

double moved(Descent& descent, double gradient, const weft::UpdateRule::Step& others = {}) {
  const double before = descent.values().item<double>();
  return before - descent.step(at::full({1}, gradient, at::kDouble), 0.1, others).item<double>();
}

at::Tensor zero() { return at::zeros({1}, at::kDouble); }

}  // namespace

TEST_CASE("power_sign keeps the contract of update rules") {
  check_update_rule(power_sign());
  check_update_rule(power_sign(), {{"base", 2}, {"decay", "restart"}, {"periods", 3}});
}

// m <- 0.9 m + 0.1 g: 0.1, then -0.01, then 0.041, then 0.0359.
TEST_CASE("power_sign by hand: the sign of the mean after it took the gradient in") {
  Descent descent(update_rule_of(power_sign()), zero());
  const double e = std::exp(1.0);
  CHECK(moved(descent, 1.0) == Approx(0.1 * e));
  CHECK(moved(descent, -1.0) == Approx(-0.1 * e));
  CHECK(descent.memory().at("first_moment").item<double>() == Approx(-0.01));
  CHECK(moved(descent, 0.5) == Approx(0.05 * e));
  CHECK(moved(descent, -0.01) == Approx(-0.001 / e));  // they disagree
  CHECK(moved(descent, 0.0) == 0.0);                   // sign(0) = 0
}

// m: 0.5, then 0.25 - 0.375, of the gradient's sign; with the rule's own 0.9 it would be 0.09 - 0.075.
TEST_CASE("power_sign by hand: a momentum that the schedule wants is the share of the mean that is kept") {
  Descent descent(update_rule_of(power_sign(), {{"base", 2}}), zero());
  moved(descent, 1.0, {.momentum = 0.5});
  CHECK(moved(descent, -0.75, {.momentum = 0.5}) == Approx(-0.15));
  CHECK(descent.memory().at("first_moment").item<double>() == Approx(-0.125));
}

TEST_CASE("power_sign by hand: base, and what is left of the exponent half way and at the end") {
  const auto first = [](const weft::Json& args, double progress) {
    Descent descent(update_rule_of(power_sign(), args), zero());
    return moved(descent, 1.0, {.progress = progress}) / 0.1;
  };
  CHECK(first({{"base", 4}}, 0.5) == Approx(4.0));
  CHECK(first({{"base", 4}, {"decay", "linear"}}, 0.5) == Approx(2.0));
  CHECK(first({{"base", 16}, {"decay", "linear"}}, 0.75) == Approx(2.0));
  CHECK(first({{"base", 4}, {"decay", "cosine"}}, 0.5) == Approx(2.0));                    // half a period
  CHECK(first({{"base", 4}, {"decay", "cosine"}, {"periods", 2}}, 0.25) == Approx(1.0));   // cos(pi) = -1
  CHECK(first({{"base", 4}, {"decay", "restart"}, {"periods", 2}}, 0.25) == Approx(2.0));  // half of the first
  CHECK(first({{"base", 4}, {"decay", "restart"}, {"periods", 2}}, 0.5) == Approx(4.0));   // it begins anew
  CHECK(first({{"base", 4}, {"decay", "linear"}}, 1.0) == Approx(1.0));                    // stochastic descent
  CHECK(update_rule_of(power_sign(), {{"base", 2}, {"decay", "cosine"}})->formula() ==
        "m <- 0.9 m + (1 - 0.9) g; -lr 2^(cosine(0.5) sign(g) sign(m)) g");
}
