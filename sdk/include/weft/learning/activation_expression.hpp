// Formulas of activation functions, such as "x * sigmoid(beta x)", and the functions that Ramachandran, Zoph, Le 2018,
// "Searching for Activation Functions", section 2, compose them of: core units b(u1(x1), u2(x2)) of a binary and two
// unary functions, whose inputs are the preactivation x or what earlier units make.
//
// The language: x; numbers; beta, beta2, beta3 .., which are trained; + - * /, and * may be left out behind what does
// not depend on x, as in "beta x"; ^2 and ^3; abs sqrt ln exp sin cos sinh cosh tanh asinh atan sinc sigmoid softplus
// erf; max(a, b) and min(a, b). sinc(a) is sin(a) / a. A minus before a product is of all of it.
//
// A formula is kept in a normal form, in which it is printed and read again as it was: operands of + * max min in one
// order, betas numbered as they come, max(a, max(a, b)) as max(a, b). Equal subexpressions are computed once.
//
// Every function is defined, and has a finite gradient, everywhere. The paper does not say how it kept functions within
// their domains; here
//   - x, every beta, products, quotients and powers are clamped to -bound .. bound, 1e6; exp, sinh and cosh clamp their
//     argument so that they stay within it, too;
//   - sqrt(a) is that of max(a, epsilon), ln(a) of max(a, 0) + epsilon, so that ln(abs(x)) is the paper's ln(|x| +
//   eps);
//   - a / b divides by what is at least epsilon from 0, on the side of b. The paper's a / (b + eps) has its pole beside
//   0.
// The gradient is that of the clamped function: 0 where a clamp is at work. Where an input is not finite itself, or the
// product of many derivatives leaves the range of float, what is no number goes on to the loss, at which a training
// fails.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft {

class ActivationExpression {
 public:
  static constexpr double bound = 1e6;
  static constexpr double epsilon = 1e-6;
  static constexpr std::size_t longest = 10000;  // characters of a formula

  enum class Function {
    variable,
    beta,
    number,
    negative,
    square,
    cube,
    sum,
    difference,
    product,
    quotient,
    maximum,
    minimum,
    abs,
    sqrt,
    ln,
    exp,
    sin,
    cos,
    sinh,
    cosh,
    tanh,
    asinh,
    atan,
    sinc,
    sigmoid,
    softplus,
    erf
  };
  // Terms come after their operands.
  struct Term {
    Function function = Function::variable;
    int first = -1, second = -1;  // operands
    int index = 0;                // of a variable or a beta: which
    double number = 0.0;          // of a number: its value
    bool clamped = false;         // whether its values may leave the bound, and are clamped

    friend bool operator==(const Term&, const Term&) = default;
  };

  // A formula, or one of named_activations(). `variables` are what it may be of. Throws InvalidInput naming the
  // position and what was expected there.
  explicit ActivationExpression(std::string_view formula, std::vector<std::string> variables = {"x"});

  // In its normal form.
  std::string text() const { return text_of(root()); }
  // How many different ones it has.
  int betas() const { return betas_; }
  // The last one is the whole.
  const std::vector<Term>& terms() const { return terms_; }
  int root() const { return static_cast<int>(terms_.size()) - 1; }
  std::string text_of(int term) const;
  // Whether a variable is part of it.
  bool varies(int term) const;

  // Throws InvalidInput where no gradient reaches x, as it is not part of the formula.
  void require_gradient() const;

  // The value at x, with all betas alike.
  double operator()(double x, double beta = 1.0) const;

  // The same for what numbers of another type there are, such as tensors: `variables` and `betas` by their index. Of
  // the type, functions of the standard library and operators are found where it is declared; the others are `with`'s:
  // see RealArithmetic.
  template <typename Value, typename Arithmetic>
  Value evaluate(const Arithmetic& with, std::span<const Value> variables, std::span<const Value> betas) const;

 private:
  class Reader;

  int add(Term term);
  int absorbed(const Term& term) const;
  std::size_t size(int term) const;
  bool comes_before(Function function, int one, int other) const;
  std::string print(int term, int precedence, bool numbered) const;
  std::string print_product(const Term& term, bool numbered) const;
  void number_betas(int term, std::map<int, int>& numbers) const;
  ActivationExpression normalised(int term) const;
  static double reach(const Term& term, const std::vector<double>& reaches);
  void mark_clamped();

  explicit ActivationExpression(std::vector<std::string> variables) : variables_(std::move(variables)) {}

  std::vector<std::string> variables_;
  std::vector<Term> terms_;
  int betas_ = 0;
};

// The paper's 25 unary functions, of x, and 10 binary functions, of x1 and x2, as formulas. Each time that one is used
// its beta is another.
const std::vector<std::string>& unary_functions();
const std::vector<std::string>& binary_functions();

// Names and formulas: what the paper found (section 3), the best first, what it compares with, and Swish without a
// beta.
const std::vector<std::pair<std::string, std::string>>& named_activations();

// The formula of b(u1(x1), u2(x2)) for formulas of its two inputs. Its betas are numbered after those of which `betas`
// is the count, which goes up.
std::string core_unit(const std::string& binary, const std::string& first_unary, const std::string& first_input,
                      const std::string& second_unary, const std::string& second_input, int& betas);

// What evaluate() needs of a type besides operators and the functions of <cmath>.
struct RealArithmetic {
  double number(double value) const { return value; }
  double clamp(double a, double low, double high) const { return std::clamp(a, low, high); }
  double at_least(double a, double low) const { return std::max(a, low); }
  double at_most(double a, double high) const { return std::min(a, high); }
  double maximum(double a, double b) const { return std::max(a, b); }
  double minimum(double a, double b) const { return std::min(a, b); }
  // `a`, but at least so far from 0, on its side.
  double away_from_zero(double a, double distance) const {
    return std::abs(a) >= distance ? a : a < 0.0 ? -distance : distance;
  }
  double sinc(double a) const { return a == 0.0 ? 1.0 : std::sin(a) / a; }
  double sigmoid(double a) const { return 1.0 / (1.0 + std::exp(-a)); }
  double softplus(double a) const { return std::max(a, 0.0) + std::log1p(std::exp(-std::abs(a))); }
};

// ---- implementation ---------------------------------------------------------------------------------------------

template <typename Value, typename Arithmetic>
Value ActivationExpression::evaluate(const Arithmetic& with, std::span<const Value> variables,
                                     std::span<const Value> betas) const {
  using std::abs, std::asinh, std::atan, std::cos, std::cosh, std::erf, std::exp, std::log, std::sin, std::sinh,
      std::sqrt, std::tanh;
  std::vector<Value> values;
  values.reserve(terms_.size());
  const auto compute = [&](const Term& term) -> Value {
    const auto operand = [&](int id) -> const Value& { return values[static_cast<std::size_t>(id)]; };
    const auto a = [&]() -> const Value& { return operand(term.first); };
    const auto b = [&]() -> const Value& { return operand(term.second); };
    switch (term.function) {
      case Function::variable:
        return variables[static_cast<std::size_t>(term.index)];
      case Function::beta:
        return betas[static_cast<std::size_t>(term.index)];
      case Function::number:
        return with.number(term.number);
      case Function::negative:
        return -a();
      case Function::square:
        return a() * a();
      case Function::cube:
        return a() * a() * a();
      case Function::sum:
        return a() + b();
      case Function::difference:
        return a() - b();
      case Function::product:
        return a() * b();
      case Function::quotient:
        return a() / with.away_from_zero(b(), epsilon);
      case Function::maximum:
        return with.maximum(a(), b());
      case Function::minimum:
        return with.minimum(a(), b());
      case Function::abs:
        return abs(a());
      case Function::sqrt:
        return sqrt(with.at_least(a(), epsilon));
      case Function::ln:
        return log(with.at_least(a(), 0.0) + epsilon);
      case Function::exp:
        return exp(with.at_most(a(), std::log(bound)));
      case Function::sin:
        return sin(a());
      case Function::cos:
        return cos(a());
      case Function::sinh:
        return sinh(with.clamp(a(), -std::asinh(bound), std::asinh(bound)));
      case Function::cosh:
        return cosh(with.clamp(a(), -std::acosh(bound), std::acosh(bound)));
      case Function::tanh:
        return tanh(a());
      case Function::asinh:
        return asinh(a());
      case Function::atan:
        return atan(a());
      case Function::sinc:
        return with.sinc(a());
      case Function::sigmoid:
        return with.sigmoid(a());
      case Function::softplus:
        return with.softplus(a());
      case Function::erf:
        return erf(a());
    }
    throw Error("an activation has a term of a function that does not exist");
  };
  for (const Term& term : terms_) {
    Value value = compute(term);
    values.push_back(term.clamped ? Value(with.clamp(value, -bound, bound)) : std::move(value));
  }
  return values.back();
}

#ifndef WEFT_DECLARED_ONLY
namespace detail {

struct NamedFunction {
  const char* name;
  ActivationExpression::Function function;
  int operands = 1;
};

inline std::span<const NamedFunction> named_functions() {
  using F = ActivationExpression::Function;
  static constexpr NamedFunction all[] = {{"abs", F::abs},        {"sqrt", F::sqrt},       {"ln", F::ln},
                                          {"exp", F::exp},        {"sin", F::sin},         {"cos", F::cos},
                                          {"sinh", F::sinh},      {"cosh", F::cosh},       {"tanh", F::tanh},
                                          {"asinh", F::asinh},    {"atan", F::atan},       {"sinc", F::sinc},
                                          {"erf", F::erf},        {"sigmoid", F::sigmoid}, {"softplus", F::softplus},
                                          {"max", F::maximum, 2}, {"min", F::minimum, 2}};
  return all;
}

inline bool begins_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool in_word(char c) { return begins_word(c) || is_digit(c) || c == '_'; }

// With every word that is a key replaced, in parentheses.
inline std::string with_words_replaced(std::string_view formula, const std::map<std::string, std::string>& words) {
  std::string text;
  for (std::size_t at = 0; at < formula.size();) {
    std::size_t end = at;
    while (end < formula.size() && in_word(formula[end])) ++end;
    if (end == at || !begins_word(formula[at])) end = std::max(end, at + 1);
    const std::string part(formula.substr(at, end - at));
    const auto found = words.find(part);
    text += found == words.end() ? part : "(" + found->second + ")";
    at = end;
  }
  return text;
}

}  // namespace detail

// By recursive descent: a sum of terms; a term with or without a minus; a product; a power; what is a whole by itself.
class ActivationExpression::Reader {
 public:
  Reader(std::string_view text, ActivationExpression& into) : text_(text), into_(into) {}

  int read() {
    if (text_.size() > longest)
      throw InvalidInput("a formula has at most " + std::to_string(longest) + " characters, not " +
                         std::to_string(text_.size()));
    const int whole = sum();
    if (peek() != '\0') fail("an operator, or the end");
    return whole;
  }

 private:
  static constexpr int deepest = 200;

  [[noreturn]] void fail(const std::string& expected) const {
    const std::string_view rest = text_.substr(at_);
    throw InvalidInput("the formula \"" + std::string(text_.substr(0, 200)) + "\": position " + std::to_string(at_) +
                       ": expected " + expected + ", found " +
                       (rest.empty() ? "the end" : "\"" + std::string(rest.substr(0, 20)) + "\"") +
                       "; the form is x * sigmoid(beta x)");
  }

  // The next character that is no blank; 0 at the end.
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail("\"" + std::string(1, c) + "\"");
  }

  int sum() {
    if (++depth_ > deepest) fail("fewer than " + std::to_string(deepest) + " parentheses within each other");
    int left = term();
    while (peek() == '+' || peek() == '-') {
      const Function function = text_[at_++] == '+' ? Function::sum : Function::difference;
      left = into_.add({.function = function, .first = left, .second = term()});
    }
    --depth_;
    return left;
  }

  int term() {
    if (!accept('-')) return product();
    if (++depth_ > deepest) fail("fewer than " + std::to_string(deepest) + " signs");
    const int negated = into_.add({.function = Function::negative, .first = term()});
    --depth_;
    return negated;
  }

  int product() {
    int left = power();
    while (true) {
      const char next = peek();
      const bool implied = detail::begins_word(next) || detail::is_digit(next) || next == '(';
      if (next != '*' && next != '/' && !implied) return left;
      if (!implied) ++at_;
      const Function function = next == '/' ? Function::quotient : Function::product;
      left = into_.add({.function = function, .first = left, .second = power()});
    }
  }

  int power() {
    const int base = whole();
    if (!accept('^')) return base;
    const char exponent = peek();
    if (exponent != '2' && exponent != '3') fail("2 or 3, the exponents that there are");
    ++at_;
    return into_.add({.function = exponent == '2' ? Function::square : Function::cube, .first = base});
  }

  int whole() {
    const char next = peek();
    if (accept('(')) {
      const int inner = sum();
      expect(')');
      return inner;
    }
    if (detail::is_digit(next)) return number();
    if (!detail::begins_word(next)) fail("x, a number, beta, a function or \"(\"");
    const std::size_t begin = at_;
    while (at_ < text_.size() && detail::in_word(text_[at_])) ++at_;
    return word(text_.substr(begin, at_ - begin), begin);
  }

  int number() {
    const std::size_t begin = at_;
    const auto digits = [&] {
      while (at_ < text_.size() && detail::is_digit(text_[at_])) ++at_;
    };
    digits();
    if (at_ + 1 < text_.size() && text_[at_] == '.' && detail::is_digit(text_[at_ + 1])) ++at_, digits();
    if (at_ < text_.size() && text_[at_] == 'e') {
      const std::size_t sign = at_ + 1 < text_.size() && (text_[at_ + 1] == '-' || text_[at_ + 1] == '+') ? 2 : 1;
      if (at_ + sign < text_.size() && detail::is_digit(text_[at_ + sign])) at_ += sign, digits();
    }
    const Json value = Json::parse(text_.substr(begin, at_ - begin), nullptr, false);
    if (value.is_number() && value.get<double>() <= bound)
      return into_.add({.function = Function::number, .number = value.get<double>()});
    at_ = begin;
    fail("a number up to 1e6");
  }

  int word(std::string_view name, std::size_t begin) {
    for (std::size_t i = 0; i < into_.variables_.size(); ++i) {
      if (name == into_.variables_[i]) return into_.add({.function = Function::variable, .index = static_cast<int>(i)});
    }
    if (name.starts_with("beta")) {
      const std::string_view digits = name.substr(4);
      if (digits.empty()) return into_.add({.function = Function::beta});
      int index = 0;
      for (const char c : digits) index = index < 100000 && detail::is_digit(c) ? 10 * index + (c - '0') : 1000000;
      if (index > 0 && index < 1000000 && digits.front() != '0')
        return into_.add({.function = Function::beta, .index = index - 1});
    }
    for (const detail::NamedFunction& known : detail::named_functions()) {
      if (name != known.name) continue;
      expect('(');
      Term term{.function = known.function, .first = sum()};
      if (known.operands == 2) {
        expect(',');
        term.second = sum();
      }
      expect(')');
      return into_.add(term);
    }
    at_ = begin;
    std::string names;
    for (const std::string& variable : into_.variables_) names += variable + ", ";
    for (const detail::NamedFunction& known : detail::named_functions()) names += std::string(known.name) + ", ";
    fail("one of " + names + "beta");
  }

  std::string_view text_;
  ActivationExpression& into_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

WEFT_INLINE ActivationExpression::ActivationExpression(std::string_view formula, std::vector<std::string> variables)
    : variables_(std::move(variables)) {
  for (const auto& [name, meaning] : named_activations()) {
    if (name == formula) formula = meaning;
  }
  const int whole = Reader(formula, *this).read();
  *this = normalised(whole);
}

// Only what the term needs, with betas numbered as they are read from left to right.
WEFT_INLINE ActivationExpression ActivationExpression::normalised(int term) const {
  std::map<int, int> numbers;
  number_betas(term, numbers);
  ActivationExpression normal(variables_);
  std::map<int, int> renamed;
  std::vector<int> needed = {term};
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const Term& one = terms_[static_cast<std::size_t>(needed[i])];
    for (const int operand : {one.first, one.second}) {
      if (operand >= 0 && std::find(needed.begin(), needed.end(), operand) == needed.end()) needed.push_back(operand);
    }
  }
  std::sort(needed.begin(), needed.end());
  for (const int id : needed) {
    Term one = terms_[static_cast<std::size_t>(id)];
    if (one.function == Function::beta) one.index = numbers.at(one.index);
    if (one.first >= 0) one.first = renamed.at(one.first);
    if (one.second >= 0) one.second = renamed.at(one.second);
    renamed[id] = static_cast<int>(normal.terms_.size());
    normal.terms_.push_back(one);
  }
  normal.betas_ = static_cast<int>(numbers.size());
  normal.mark_clamped();
  return normal;
}

WEFT_INLINE void ActivationExpression::number_betas(int term, std::map<int, int>& numbers) const {
  const Term& one = terms_[static_cast<std::size_t>(term)];
  if (one.function == Function::beta) numbers.try_emplace(one.index, static_cast<int>(numbers.size()));
  if (one.first >= 0) number_betas(one.first, numbers);
  if (one.second >= 0) number_betas(one.second, numbers);
}

// The largest magnitude that the term may have, by those of its operands.
WEFT_INLINE double ActivationExpression::reach(const Term& term, const std::vector<double>& reaches) {
  const double a = term.first < 0 ? 0.0 : reaches[static_cast<std::size_t>(term.first)];
  const double b = term.second < 0 ? 0.0 : reaches[static_cast<std::size_t>(term.second)];
  switch (term.function) {
    case Function::variable:
    case Function::beta:
      return std::numeric_limits<double>::infinity();
    case Function::number:
      return std::abs(term.number);
    case Function::square:
      return a * a;
    case Function::cube:
      return a * a * a;
    case Function::sum:
    case Function::difference:
      return a + b;
    case Function::product:
      return a * b;
    case Function::quotient:
      return a / epsilon;
    case Function::negative:
    case Function::abs:
    case Function::maximum:
    case Function::minimum:
      return std::max(a, b);
    case Function::sqrt:
    case Function::softplus:
      return a + 1.0;
    case Function::exp:
    case Function::sinh:
    case Function::cosh:
      return bound;
    case Function::ln:
    case Function::asinh:
    case Function::atan:
      return 100.0;
    default:
      return 1.0;
  }
}

// Of what may leave the bound: x sigmoid(x) is no larger than x.
WEFT_INLINE void ActivationExpression::mark_clamped() {
  std::vector<double> reaches;
  for (Term& term : terms_) {
    const double own = reach(term, reaches);
    const bool grows = term.function <= Function::beta || term.function == Function::square ||
                       term.function == Function::cube || term.function == Function::product ||
                       term.function == Function::quotient;
    term.clamped = grows && own > bound;
    reaches.push_back(term.clamped ? bound : own);
  }
}

// An equal one where there is one already; operands in their order.
WEFT_INLINE int ActivationExpression::add(Term term) {
  const bool commutes = term.function == Function::sum || term.function == Function::product ||
                        term.function == Function::maximum || term.function == Function::minimum;
  if (commutes && comes_before(term.function, term.second, term.first)) std::swap(term.first, term.second);
  if (const int absorbing = absorbed(term); absorbing >= 0) return absorbing;
  const auto known = std::find(terms_.begin(), terms_.end(), term);
  if (known != terms_.end()) return static_cast<int>(known - terms_.begin());
  terms_.push_back(term);
  return root();
}

// The term that max(a, a), max(a, max(a, b)) or the like is; -1 where it is a new one.
WEFT_INLINE int ActivationExpression::absorbed(const Term& term) const {
  if (term.function != Function::maximum && term.function != Function::minimum) return -1;
  if (term.first == term.second) return term.first;
  for (const auto& [inner, outer] : {std::pair(term.first, term.second), std::pair(term.second, term.first)}) {
    const Term& one = terms_[static_cast<std::size_t>(inner)];
    if (one.function == term.function && (one.first == outer || one.second == outer)) return inner;
  }
  return -1;
}

// As one reads it: factors that are constant before x, other constants behind it, what is shorter first. What differs
// in the numbers of its betas alone stays as it was.
WEFT_INLINE bool ActivationExpression::comes_before(Function function, int one, int other) const {
  if (varies(one) != varies(other)) return varies(one) != (function == Function::product);
  if (size(one) != size(other)) return size(one) < size(other);
  return print(one, 0, false) < print(other, 0, false);
}

WEFT_INLINE bool ActivationExpression::varies(int term) const {
  const Term& one = terms_[static_cast<std::size_t>(term)];
  return one.function == Function::variable || (one.first >= 0 && varies(one.first)) ||
         (one.second >= 0 && varies(one.second));
}

WEFT_INLINE std::size_t ActivationExpression::size(int term) const {
  const Term& one = terms_[static_cast<std::size_t>(term)];
  return 1 + (one.first >= 0 ? size(one.first) : 0) + (one.second >= 0 ? size(one.second) : 0);
}

WEFT_INLINE std::string ActivationExpression::text_of(int term) const { return print(term, 0, true); }

// In parentheses where it binds less than `precedence`: 1 sums, 2 a minus, 3 products, 4 powers, 5 what is whole.
WEFT_INLINE std::string ActivationExpression::print(int term, int precedence, bool numbered) const {
  const Term& one = terms_[static_cast<std::size_t>(term)];
  int own = 5;
  std::string text;
  switch (one.function) {
    case Function::variable:
      text = variables_[static_cast<std::size_t>(one.index)];
      break;
    case Function::beta:
      text = one.index == 0 || !numbered ? "beta" : "beta" + std::to_string(one.index + 1);
      break;
    case Function::number:
      text = one.number == std::floor(one.number) ? std::to_string(static_cast<std::int64_t>(one.number))
                                                  : Json(one.number).dump();
      break;
    case Function::sum:
    case Function::difference:
      own = 1;
      text = print(one.first, 1, numbered) + (one.function == Function::sum ? " + " : " - ") +
             print(one.second, 2, numbered);
      break;
    case Function::negative:
      own = 2;
      text = "-" + print(one.first, 2, numbered);
      break;
    case Function::product:
      own = 3;
      text = print_product(one, numbered);
      break;
    case Function::quotient:
      own = 3;
      text = print(one.first, 3, numbered) + " / " + print(one.second, 4, numbered);
      break;
    case Function::square:
    case Function::cube:
      own = 4;
      text = print(one.first, 5, numbered) + (one.function == Function::square ? "^2" : "^3");
      break;
    default:
      for (const detail::NamedFunction& known : detail::named_functions()) {
        if (known.function == one.function) text = known.name;
      }
      text += "(" + print(one.first, 0, numbered) +
              (one.second >= 0 ? ", " + print(one.second, 0, numbered) : std::string()) + ")";
  }
  return own < precedence ? "(" + text + ")" : text;
}

WEFT_INLINE std::string ActivationExpression::print_product(const Term& term, bool numbered) const {
  const std::string right = print(term.second, 4, numbered);
  const bool implied = !varies(term.first) && !detail::is_digit(right.front());
  return print(term.first, 3, numbered) + (implied ? " " : " * ") + right;
}

WEFT_INLINE void ActivationExpression::require_gradient() const {
  if (varies(root())) return;
  throw InvalidInput(
      "the formula \"" + text() +
      "\" does not depend on x, so that no gradient would reach what comes before it; must have x in it");
}

WEFT_INLINE double ActivationExpression::operator()(double x, double beta) const {
  const std::vector<double> variables(variables_.size(), x), betas(static_cast<std::size_t>(betas_), beta);
  return evaluate(RealArithmetic(), std::span(variables), std::span(betas));
}

WEFT_INLINE const std::vector<std::string>& unary_functions() {
  static const std::vector<std::string> all = {"x",          "-x",          "abs(x)",    "x^2",        "x^3",
                                               "sqrt(x)",    "beta x",      "x + beta",  "ln(abs(x))", "exp(x)",
                                               "sin(x)",     "cos(x)",      "sinh(x)",   "cosh(x)",    "tanh(x)",
                                               "asinh(x)",   "atan(x)",     "sinc(x)",   "max(x, 0)",  "min(x, 0)",
                                               "sigmoid(x)", "softplus(x)", "exp(-x^2)", "erf(x)",     "beta"};
  return all;
}

WEFT_INLINE const std::vector<std::string>& binary_functions() {
  static const std::vector<std::string> all = {"x1 + x2",
                                               "x1 * x2",
                                               "x1 - x2",
                                               "x1 / x2",
                                               "max(x1, x2)",
                                               "min(x1, x2)",
                                               "sigmoid(x1) * x2",
                                               "exp(-beta (x1 - x2)^2)",
                                               "exp(-beta abs(x1 - x2))",
                                               "beta x1 + (1 - beta) x2"};
  return all;
}

WEFT_INLINE const std::vector<std::pair<std::string, std::string>>& named_activations() {
  static const std::vector<std::pair<std::string, std::string>> all = {{"swish", "x * sigmoid(beta x)"},
                                                                       {"max_sigmoid", "max(x, sigmoid(x))"},
                                                                       {"cos_minus_x", "cos(x) - x"},
                                                                       {"min_sin", "min(x, sin(x))"},
                                                                       {"atan_squared_minus_x", "atan(x)^2 - x"},
                                                                       {"max_tanh", "max(x, tanh(x))"},
                                                                       {"sinc_plus_x", "x + sinc(x)"},
                                                                       {"x_asinh_squared", "x * asinh(x)^2"},
                                                                       {"swish_1", "x * sigmoid(x)"},
                                                                       {"relu", "max(x, 0)"},
                                                                       {"softplus", "softplus(x)"}};
  return all;
}

WEFT_INLINE std::string core_unit(const std::string& binary, const std::string& first_unary,
                                  const std::string& first_input, const std::string& second_unary,
                                  const std::string& second_input, int& betas) {
  const auto applied = [&](const std::string& function, std::map<std::string, std::string> words) {
    const std::string beta = "beta" + std::to_string(betas + 1);
    words["beta"] = beta;
    const std::string text = detail::with_words_replaced(function, words);
    if (text.find("(" + beta + ")") != std::string::npos) ++betas;
    return text;
  };
  const std::string first = applied(first_unary, {{"x", first_input}});
  const std::string second = applied(second_unary, {{"x", second_input}});
  return applied(binary, {{"x1", first}, {"x2", second}});
}
#endif

}  // namespace weft
