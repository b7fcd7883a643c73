#include "tests/catch.hpp"
#include "weft/testing/update_rule_contract.hpp"

using namespace weft::testing;

namespace {

const Plugin& add_sign() {
  static const Plugin plugin = Plugin::open("update_rule", "add_sign");
  return plugin;
}

double moved(Descent& descent, double gradient, const weft::UpdateRule::Step& others = {}) {
  const double before = descent.values().item<double>();
  return before - descent.step(at::full({1}, gradient, at::kDouble), 0.1, others).item<double>();
}

at::Tensor zero() { return at::zeros({1}, at::kDouble); }

}  // namespace

TEST_CASE("add_sign keeps the contract of update rules") {
  check_update_rule(add_sign());
  check_update_rule(add_sign(), {{"alpha", 2}, {"decay", "cosine"}, {"periods", 20}});
}

// m <- 0.9 m + 0.1 g: 0.1, then 0.08. With alpha 1 a step is twice as long where the signs agree, and none where not.
TEST_CASE("add_sign by hand: alpha and the signs of gradient and mean") {
  Descent one(update_rule_of(add_sign()), zero());
  CHECK(moved(one, 1.0) == Approx(0.2));
  CHECK(moved(one, -0.1) == Approx(0.0).margin(1e-12));
  CHECK(moved(one, 0.0) == 0.0);
  Descent two(update_rule_of(add_sign(), {{"alpha", 2}}), zero());
  CHECK(moved(two, 1.0) == Approx(0.3));
  CHECK(moved(two, -0.1) == Approx(-0.01));
}

// m: 0.5, then 0.25 - 0.375, of the gradient's sign; with the rule's own 0.9 it would be 0.09 - 0.075.
TEST_CASE("add_sign by hand: a momentum that the schedule wants is the share of the mean that is kept") {
  Descent descent(update_rule_of(add_sign()), zero());
  moved(descent, 1.0, {.momentum = 0.5});
  CHECK(moved(descent, -0.75, {.momentum = 0.5}) == Approx(-0.15));
  CHECK(descent.memory().at("first_moment").item<double>() == Approx(-0.125));
}

TEST_CASE("add_sign by hand: with decay it ends as stochastic descent at alpha times the rate") {
  const auto first = [](const weft::Json& args, double progress) {
    Descent descent(update_rule_of(add_sign(), args), zero());
    return moved(descent, 1.0, {.progress = progress}) / 0.1;
  };
  CHECK(first({{"decay", "linear"}}, 0.25) == Approx(1.75));
  CHECK(first({{"decay", "linear"}}, 1.0) == Approx(1.0));
  CHECK(first({{"alpha", 2}, {"decay", "restart"}}, 0.5) == Approx(2.5));
  CHECK(update_rule_of(add_sign(), {{"decay", "linear"}})->formula() ==
        "m <- 0.9 m + (1 - 0.9) g; -lr (1 + linear sign(g) sign(m)) g");
}
