// Update rules as formulas: the language in which Bello et al. 2017, "Neural Optimizer Search with Reinforcement
// Learning", search them. A parameter w changes by -lr times the formula's value.
//
//   exp(sign(g) * sign(m)) * g        PowerSign
//   m / sqrt|v|                       Adam
//   0.9 * before + g                  stochastic gradient descent with momentum
//
// Operands
//   g                   the gradient; its powers are g^2 and g^3
//   m, v, gamma         moving averages of g, g^2 and g^3, corrected for their beginning at 0
//   w                   the parameter
//   noise               normally distributed, another draw wherever it stands
//   adam, rmsprop       m / (sqrt(v) + 1e-8); g over the same of v before it is corrected
//   before              what the formula was in the step before; 0 in the first
//   linear, cosine(n), restart(n)  decays over the training (weft/learning/decay.hpp)
//   2, 0.1, 1e-5        numbers
// Functions
//   -x, exp(x), ln|x|, sqrt|x|, sign(x)
//   clip(x, c)          from -c to c
//   drop(x, p)          0 with probability p, else x
//   x + y, x - y, x * y, x / y, x^y; the division is x / (y + 1e-8)
// ^ binds more than the sign of -x, that more than * and /, these more than + and -. a - b - c is (a - b) - c, and
// a^b^c is a^(b^c). "Keep left", which of two values takes the first, needs no sign.
//
// The space `update_rules` composes formulas, the update rule `expression` computes them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft::learning {

struct UpdateExpression {
  enum class Term {
    // operands; x and y stand for whatever a function is applied to
    number,
    gradient,
    first_moment,
    second_moment,
    third_moment,
    weight,
    noise,
    adam,
    rmsprop,
    before,
    linear,
    cosine,
    restart,
    x,
    y,
    // functions of one value
    negation,
    exp,
    ln,
    sqrt,
    sign,
    clip,
    drop,
    // and of two
    sum,
    difference,
    product,
    quotient,
    power
  };

  Term term = Term::number;
  double number = 0.0;  // of number, cosine, restart, clip and drop; at least 0
  std::vector<UpdateExpression> of = {};

  // `variables`: how many of x and y may stand in it. Throws InvalidInput that says where in the text what was
  // expected.
  static UpdateExpression parse(std::string_view text, int variables = 0);
  // As parse() reads it, without a parenthesis too many.
  std::string to_string() const { return text(0); }

  bool has(Term searched) const {
    return term == searched || std::any_of(of.begin(), of.end(), [&](const auto& part) { return part.has(searched); });
  }
  // With these in the places of x and y.
  UpdateExpression with(const UpdateExpression& x, const UpdateExpression& y) const;
  UpdateExpression with(const UpdateExpression& x) const { return with(x, x); }

  friend bool operator==(const UpdateExpression& one, const UpdateExpression& other) {
    return one.term == other.term && one.number == other.number && one.of == other.of;
  }

  // Of a number, as a person writes it.
  static std::string text_of(double number);

 private:
  static int precedence(Term term);
  std::string text(int least_precedence) const;
};

namespace detail {

using Term = UpdateExpression::Term;

struct NamedTerm {
  std::string_view name;
  Term term;
};

inline constexpr std::array<NamedTerm, 10> operand_names = {{{"g", Term::gradient},
                                                             {"m", Term::first_moment},
                                                             {"v", Term::second_moment},
                                                             {"gamma", Term::third_moment},
                                                             {"w", Term::weight},
                                                             {"noise", Term::noise},
                                                             {"adam", Term::adam},
                                                             {"rmsprop", Term::rmsprop},
                                                             {"before", Term::before},
                                                             {"linear", Term::linear}}};
inline constexpr std::array<NamedTerm, 8> function_names = {{{"cosine", Term::cosine},
                                                             {"restart", Term::restart},
                                                             {"exp", Term::exp},
                                                             {"ln", Term::ln},
                                                             {"sqrt", Term::sqrt},
                                                             {"sign", Term::sign},
                                                             {"clip", Term::clip},
                                                             {"drop", Term::drop}}};

template <typename Names>
std::string_view name_of(const Names& names, Term term) {
  return std::find_if(names.begin(), names.end(), [&](const NamedTerm& named) { return named.term == term; })->name;
}

// sum = product {("+" | "-") product}, product = factor {("*" | "/") factor}, factor = "-" factor | operand ["^"
// factor].
class FormulaReader {
 public:
  FormulaReader(std::string_view text, int variables) : text_(text), variables_(variables) {
    if (text.size() > longest)
      throw InvalidInput("the formula has " + std::to_string(text.size()) + " characters; at most " +
                         std::to_string(longest) + " can be read");
  }

  UpdateExpression read() {
    UpdateExpression formula = sum();
    if (!at_end()) fail("an operator, or the end");
    return formula;
  }

 private:
  static constexpr std::size_t longest = 10000;  // with `deepest`, what a stack has room for
  static constexpr int deepest = 100;

  UpdateExpression sum() {
    UpdateExpression left = product();
    for (;;) {
      if (accept('+')) {
        left = pair(Term::sum, std::move(left), product());
      } else if (accept('-')) {
        left = pair(Term::difference, std::move(left), product());
      } else {
        return left;
      }
    }
  }

  UpdateExpression product() {
    UpdateExpression left = factor();
    for (;;) {
      if (accept('*')) {
        left = pair(Term::product, std::move(left), factor());
      } else if (accept('/')) {
        left = pair(Term::quotient, std::move(left), factor());
      } else {
        return left;
      }
    }
  }

  UpdateExpression factor() {
    if (++depth_ > deepest) fail("fewer signs, powers and parentheses within each other, " + std::to_string(deepest));
    UpdateExpression value;
    if (accept('-')) {
      value = {Term::negation, 0.0, {factor()}};
    } else {
      value = operand();
      if (accept('^')) value = pair(Term::power, std::move(value), factor());
    }
    --depth_;
    return value;
  }

  UpdateExpression operand() {
    if (accept('(')) {
      UpdateExpression value = sum();
      expect(')');
      return value;
    }
    if (!at_end() && is_digit(text_[at_])) return {Term::number, number()};
    const std::size_t begin = at_;
    const std::string_view name = word();
    for (const NamedTerm& operand : operand_names) {
      if (operand.name == name) return {operand.term};
    }
    if (variables_ > 0 && name == "x") return {Term::x};
    if (variables_ > 1 && name == "y") return {Term::y};
    for (const NamedTerm& function : function_names) {
      if (function.name == name) return applied(function.term);
    }
    at_ = begin;
    fail("an operand or a function, one of " + known());
  }

  UpdateExpression applied(Term term) {
    const bool of_magnitude = term == Term::ln || term == Term::sqrt;
    const bool is_decay = term == Term::cosine || term == Term::restart;
    expect(of_magnitude ? '|' : '(');
    UpdateExpression value{term};
    if (!is_decay) value.of.push_back(sum());
    if (term == Term::clip || term == Term::drop) expect(',');
    if (term == Term::clip) value.number = number("above what to clip, more than 0", [](double c) { return c > 0.0; });
    if (term == Term::drop)
      value.number = number("with which probability to drop, at least 0 and less than 1",
                            [](double probability) { return probability < 1.0; });
    if (is_decay) value.number = number("a number of periods, more than 0", [](double n) { return n > 0.0; });
    expect(of_magnitude ? '|' : ')');
    return value;
  }

  static UpdateExpression pair(Term term, UpdateExpression left, UpdateExpression right) {
    UpdateExpression value{term};
    value.of.push_back(std::move(left));
    value.of.push_back(std::move(right));
    return value;
  }

  template <typename Rule>
  double number(const std::string& what, Rule&& allowed) {
    skip_blanks();
    const std::size_t begin = at_;
    if (!at_end() && is_digit(text_[at_])) {
      const double value = number();
      if (allowed(value)) return value;
    }
    at_ = begin;
    fail(what);
  }

  // Digits with a fraction and an exponent, if any.
  double number() {
    const std::size_t begin = at_;
    const auto digits = [&](std::size_t at) {
      while (at < text_.size() && is_digit(text_[at])) ++at;
      return at;
    };
    at_ = digits(at_);
    if (at_ < text_.size() && text_[at_] == '.' && digits(at_ + 1) > at_ + 1) at_ = digits(at_ + 1);
    if (at_ < text_.size() && text_[at_] == 'e') {
      const bool has_sign = at_ + 1 < text_.size() && (text_[at_ + 1] == '-' || text_[at_ + 1] == '+');
      const std::size_t first = at_ + (has_sign ? 2 : 1);
      if (digits(first) > first) at_ = digits(first);
    }
    const Json value = Json::parse(text_.substr(begin, at_ - begin), nullptr, false);
    if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
    at_ = begin;
    fail("a number such as 0.1 or 1e-05");
  }

  std::string_view word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || (at_ > begin && is_digit(text_[at_])))) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string known() const {
    std::string names = variables_ > 1 ? "x, y, " : variables_ > 0 ? "x, " : "";
    for (const NamedTerm& operand : operand_names) names += std::string(operand.name) + ", ";
    for (const NamedTerm& function : function_names) names += std::string(function.name) + ", ";
    return names + "or a number";
  }

  bool at_end() {
    skip_blanks();
    return at_ == text_.size();
  }
  bool accept(char token) {
    if (at_end() || text_[at_] != token) return false;
    ++at_;
    return true;
  }
  void expect(char token) {
    if (!accept(token)) fail("\"" + std::string(1, token) + "\"");
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

  [[noreturn]] void fail(const std::string& expected) const {
    const std::string_view rest = text_.substr(at_);
    throw InvalidInput("position " + std::to_string(at_) + ": expected " + expected + ", found " +
                       (rest.empty() ? "the end" : "\"" + std::string(rest.substr(0, 20)) + "\"") +
                       "; a formula is such as exp(sign(g) * sign(m)) * g");
  }

  std::string_view text_;
  int variables_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace detail

inline UpdateExpression UpdateExpression::parse(std::string_view text, int variables) {
  return detail::FormulaReader(text, variables).read();
}

inline UpdateExpression UpdateExpression::with(const UpdateExpression& x, const UpdateExpression& y) const {
  if (term == Term::x) return x;
  if (term == Term::y) return y;
  UpdateExpression result{term, number};
  for (const UpdateExpression& part : of) result.of.push_back(part.with(x, y));
  return result;
}

inline std::string UpdateExpression::text_of(double number) {
  std::string text = Json(number).dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

inline int UpdateExpression::precedence(Term term) {
  switch (term) {
    case Term::sum:
    case Term::difference:
      return 1;
    case Term::product:
    case Term::quotient:
      return 2;
    case Term::negation:
      return 3;
    case Term::power:
      return 4;
    default:
      return 5;
  }
}

inline std::string UpdateExpression::text(int least_precedence) const {
  const int own = precedence(term);
  if (own < least_precedence) return "(" + text(0) + ")";
  const auto joined = [&](const char* sign) { return of[0].text(own) + sign + of[1].text(own + 1); };
  switch (term) {
    case Term::number:
      return text_of(number);
    case Term::x:
      return "x";
    case Term::y:
      return "y";
    case Term::sum:
      return joined(" + ");
    case Term::difference:
      return joined(" - ");
    case Term::product:
      return joined(" * ");
    case Term::quotient:
      return joined(" / ");
    case Term::negation:
      return "-" + of[0].text(own);
    case Term::power:
      return of[0].text(own + 1) + "^" + of[1].text(own - 1);
    case Term::cosine:
    case Term::restart:
      return std::string(detail::name_of(detail::function_names, term)) + "(" + text_of(number) + ")";
    case Term::ln:
    case Term::sqrt:
      return std::string(detail::name_of(detail::function_names, term)) + "|" + of[0].text(0) + "|";
    case Term::exp:
    case Term::sign:
      return std::string(detail::name_of(detail::function_names, term)) + "(" + of[0].text(0) + ")";
    case Term::clip:
    case Term::drop:
      return std::string(detail::name_of(detail::function_names, term)) + "(" + of[0].text(0) + ", " + text_of(number) +
             ")";
    default:
      return std::string(detail::name_of(detail::operand_names, term));
  }
}

}  // namespace weft::learning
