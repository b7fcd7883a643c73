// The language of update rules: formulas come back as they were written, and what is wrong with one is said.

#include "weft/learning/update_expression.hpp"

#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/learning/decay.hpp"
#include "weft/rng.hpp"

namespace {

using weft::learning::Decay;
using weft::learning::UpdateExpression;
using Term = UpdateExpression::Term;

std::string read(const std::string& text) { return UpdateExpression::parse(text).to_string(); }

UpdateExpression random_formula(weft::Rng& rng, int depth) {
  const auto any = [&](Term first, Term last) {
    const int low = static_cast<int>(first);
    return static_cast<Term>(low +
                             static_cast<int>(rng.below(static_cast<std::size_t>(static_cast<int>(last) - low) + 1)));
  };
  UpdateExpression formula;
  const std::size_t functions = depth == 0 ? 0 : rng.below(3);
  formula.term = functions == 0   ? any(Term::number, Term::restart)
                 : functions == 1 ? any(Term::negation, Term::drop)
                                  : any(Term::sum, Term::power);
  for (std::size_t i = 0; i < functions; ++i) formula.of.push_back(random_formula(rng, depth - 1));
  const std::vector<double> numbers = {1, 2, 0.1, 1e-5, 0.30000000000000004, 12345678, 1e-300};
  if (formula.term == Term::number || formula.term == Term::cosine || formula.term == Term::restart ||
      formula.term == Term::clip)
    formula.number = rng.choice(numbers);
  if (formula.term == Term::drop) formula.number = rng.uniform();
  return formula;
}

}  // namespace

TEST_CASE("200 random update formulas come back as they were written") {
  weft::Rng rng(8);
  std::size_t longest = 0;
  for (int i = 0; i < 200; ++i) {
    const UpdateExpression formula = random_formula(rng, 6);
    const std::string text = formula.to_string();
    INFO(text);
    CHECK(UpdateExpression::parse(text) == formula);
    CHECK(read(text) == text);
    longest = std::max(longest, text.size());
  }
  CHECK(longest > 100);
}

TEST_CASE("update formulas are printed without a parenthesis too many") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"((m))/(sqrt|v|)", "m / sqrt|v|"},
      {"exp((sign(g)*sign(m)))*g", "exp(sign(g) * sign(m)) * g"},
      {"(g - m) - v", "g - m - v"},
      {"g - (m - v)", "g - (m - v)"},
      {"g + (m * v)", "g + m * v"},
      {"(g + m) * v", "(g + m) * v"},
      {"g / (m / v)", "g / (m / v)"},
      {"-g^2", "-g^2"},
      {"-(g^2)", "-g^2"},
      {"(-g)^2", "(-g)^2"},
      {"(-g) * m", "-g * m"},
      {"-(g * m)", "-(g * m)"},
      {"g^(m^v)", "g^m^v"},
      {"(g^m)^v", "(g^m)^v"},
      {"2^(-g)", "2^-g"},
      {"2^(g + m)", "2^(g + m)"},
      {"g - (-m)", "g - -m"},
      {"ln|sqrt|g|*ln|m||", "ln|sqrt|g| * ln|m||"},
      {"clip( g , 1e-5 )", "clip(g, 1e-05)"},
      {"drop(g,0)", "drop(g, 0)"},
      {"1.0*linear+cosine(0.50)-restart(10)", "1 * linear + cosine(0.5) - restart(10)"},
      {"0.9*before+g", "0.9 * before + g"},
  };
  for (const auto& [text, printed] : cases) {
    CHECK(read(text) == printed);
    CHECK(UpdateExpression::parse(text) == UpdateExpression::parse(printed));
  }
  // They mean different things.
  CHECK_FALSE(UpdateExpression::parse("g - m - v") == UpdateExpression::parse("g - (m - v)"));
  CHECK_FALSE(UpdateExpression::parse("-g^2") == UpdateExpression::parse("(-g)^2"));
}

TEST_CASE("an update formula that cannot be read is refused with the place in the text") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "position 0: expected an operand or a function, one of g, m, v, gamma, w, noise, adam"},
      {"m /", "position 3: expected an operand or a function"},
      {"sign(g) * sine(m)", "position 10: expected an operand or a function, one of"},
      {"sign(g) sign(m)", "position 8: expected an operator, or the end, found \"sign(m)\""},
      {"(g + m", "position 6: expected \")\", found the end"},
      {"ln(g)", "position 2: expected \"|\", found \"(g)\""},
      {"sqrt|g", "position 6: expected \"|\", found the end"},
      {"clip(g)", "position 6: expected \",\", found \")\""},
      {"clip(g, 0)", "position 8: expected above what to clip, more than 0, found \"0)\""},
      {"drop(g, 1)", "position 8: expected with which probability to drop, at least 0 and less than 1, found \"1)\""},
      {"cosine(0)", "position 7: expected a number of periods, more than 0"},
      {"1e999 * g", "position 0: expected a number such as 0.1 or 1e-05"},
      {"x * y", "position 0: expected an operand or a function"},
      {"\x01\xff", "position 0: expected an operand"},
  };
  for (const auto& [text, message] : cases) {
    INFO(text);
    CHECK_THROWS_WITH(UpdateExpression::parse(text), ContainsSubstring(message));
  }
  CHECK_THROWS_WITH(UpdateExpression::parse(std::string(1000, '(')), ContainsSubstring("position 100: expected fewer"));
  CHECK_THROWS_WITH(UpdateExpression::parse(std::string(1000, '-') + "g"), ContainsSubstring("expected fewer"));
  CHECK_THROWS_WITH(UpdateExpression::parse(std::string(10001, ' ')), ContainsSubstring("at most 10000"));
}

TEST_CASE("functions of x and y take formulas in their places") {
  const auto of = [](const char* text, int variables) { return UpdateExpression::parse(text, variables); };
  CHECK(of("sqrt|x|", 1).with(of("g + m", 0)).to_string() == "sqrt|g + m|");
  CHECK(of("x^y", 2).with(of("-g", 0), of("2", 0)).to_string() == "(-g)^2");
  CHECK(of("x", 2).with(of("m", 0), of("v", 0)).to_string() == "m");
  CHECK_THROWS_WITH(of("x * y", 1), ContainsSubstring("position 4: expected an operand or a function, one of x, g, m"));
}

// max(0, 1 - t); (1 + cos(2 pi n t)) / 2; (1 + cos(pi (n t mod 1))) / 2.
TEST_CASE("the internal decays of update rules by hand") {
  CHECK(Decay().at(0.7) == 1.0);
  CHECK(Decay::named("linear").at(0.25) == 0.75);
  CHECK(Decay::named("linear").at(1.5) == 0.0);
  CHECK(Decay::named("cosine").at(0.5) == Approx(0.5));
  CHECK(Decay::named("cosine").at(1.0) == Approx(0.0).margin(1e-12));
  CHECK(Decay::named("cosine", 3).at(1.0 / 9.0) == Approx(0.25));  // cos(2 pi / 3) = -1/2
  for (const double t : {0.1, 0.5, 0.9}) CHECK(Decay::named("restart").at(t) == Approx(Decay::named("cosine").at(t)));
  CHECK(Decay::named("restart", 4).at(0.25) == 1.0);
  CHECK(Decay::named("restart", 4).at(0.375) == Approx(0.5));
  // Progress as a training has it, whose rounding comes short of 1/5 after 6 of 30 steps.
  CHECK((0 + 6 / 10.0) / 3 * 5 < 1.0);
  for (const int periods : {3, 5}) {
    for (int step = 0; step < 30; ++step) {
      const double progress = (step / 10 + step % 10 / 10.0) / 3;
      INFO(periods << " periods, step " << step);
      const double within = step * periods % 30 / 30.0;
      CHECK(Decay::named("restart", periods).at(progress) == Approx((1 + std::cos(std::numbers::pi * within)) / 2));
    }
  }
  CHECK_THROWS_WITH(Decay::named("step"), ContainsSubstring("\"step\" is no decay"));
}
