// Core units b(u1(x1), u2(x2)): the formula that they make, and the units that make a formula.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weft/learning/activation_expression.hpp"

namespace activation_units {

using weft::ActivationExpression;

// Those that may be taken, in the order of the paper's table, in which a constant beta is the last.
struct Functions {
  std::vector<std::string> unary, binary;

  // Which unary function is the constant; -1 where there is none.
  int constant() const { return unary.back() == "beta" ? static_cast<int>(unary.size()) - 1 : -1; }
};

// Functions by their index; inputs: 0 is x, others are earlier units, counted from 1.
struct Unit {
  int first_input = 0, first_unary = 0;
  int second_input = 0, second_unary = 0;
  int binary = 0;
};

// Of the last unit.
inline std::string formula_of(const std::vector<Unit>& units, const Functions& functions) {
  std::vector<std::string> values = {"x"};
  int betas = 0;
  const auto at = [](const std::vector<std::string>& list, int index) { return list[static_cast<std::size_t>(index)]; };
  for (const Unit& unit : units) {
    values.push_back(weft::core_unit(at(functions.binary, unit.binary), at(functions.unary, unit.first_unary),
                                     at(values, unit.first_input), at(functions.unary, unit.second_unary),
                                     at(values, unit.second_input), betas));
  }
  return ActivationExpression(values.back()).text();
}

// Finds units for a formula: every term that is a unit's output is taken apart into a binary function, two unary ones
// and their inputs, which are x or, once more, terms that are a unit's output; where that leads nowhere, into others.
class Decomposition {
 public:
  Decomposition(const ActivationExpression& formula, const Functions& functions, std::size_t count)
      : formula_(formula), functions_(functions), count_(count) {
    for (const std::string& function : functions.unary) unary_.emplace_back(function);
    for (const std::string& function : functions.binary)
      binary_.emplace_back(function, std::vector<std::string>{"x1", "x2"});
  }

  // As many as `count`, the first of which may be of no use; nothing where no units make it.
  std::optional<std::vector<Unit>> units() {
    if (!formula_.varies(formula_.root()) || !take_apart({formula_.root()})) return {};
    return found_;
  }

 private:
  using Function = ActivationExpression::Function;

  // What the variables and the beta of a function stand for: terms of the formula; -1: nothing yet.
  struct Meaning {
    std::array<int, 2> variables = {-1, -1};
    int beta = -1;
  };
  using Then = std::function<bool(const Meaning&)>;

  struct Parts {
    int binary, first_unary, first_input, second_unary, second_input;  // inputs: terms
  };

  static const ActivationExpression::Term& term_of(const ActivationExpression& expression, int term) {
    return expression.terms()[static_cast<std::size_t>(term)];
  }

  // Whether the function can be that term in a way that `then` agrees to.
  bool matches(const ActivationExpression& function, int part, int term, Meaning meaning, const Then& then) const {
    const ActivationExpression::Term& wanted = term_of(function, part);
    const ActivationExpression::Term& given = term_of(formula_, term);
    const bool is_beta = wanted.function == Function::beta;
    if (wanted.function == Function::variable || is_beta) {
      int& known = is_beta ? meaning.beta : meaning.variables[static_cast<std::size_t>(wanted.index)];
      if ((is_beta && given.function != Function::beta) || (known >= 0 && known != term)) return false;
      known = term;
      return then(meaning);
    }
    if (wanted.function != given.function) return false;
    if (wanted.first < 0) return wanted.number == given.number && then(meaning);
    if (wanted.second < 0) return matches(function, wanted.first, given.first, meaning, then);
    const auto both = [&](int first, int second) {
      return matches(function, wanted.first, first, meaning,
                     [&](const Meaning& left) { return matches(function, wanted.second, second, left, then); });
    };
    const bool commutes = wanted.function == Function::sum || wanted.function == Function::product ||
                          wanted.function == Function::maximum || wanted.function == Function::minimum;
    return both(given.first, given.second) || (commutes && both(given.second, given.first));
  }

  // The two operands of a binary function that is this term. Of maxima the normal form may have left out what the other
  // operand had in it already, or was.
  bool for_operands(std::size_t binary, int term, const std::function<bool(int first, int second)>& then) const {
    const ActivationExpression& function = binary_[binary];
    if (matches(function, function.root(), term, {},
                [&](const Meaning& meaning) { return then(meaning.variables[0], meaning.variables[1]); }))
      return true;
    const Function kind = term_of(function, function.root()).function;
    if (kind != Function::maximum && kind != Function::minimum) return false;
    if (then(term, term)) return true;
    const ActivationExpression::Term& whole = term_of(formula_, term);
    return whole.function == kind && (then(whole.first, term) || then(whole.second, term));
  }

  // The unary functions, each with its input, that are this term; the input may be x, or a part of `within`.
  bool for_unary(int term, int within, const std::function<bool(int unary, int input)>& then) const {
    for (std::size_t i = 0; i < unary_.size(); ++i) {
      const auto with = [&](const Meaning& meaning) {
        const int input = meaning.variables[0];  // of the constant none
        const bool fits = input < 0 || (input != within && formula_.varies(input));
        return fits && then(static_cast<int>(i), input);
      };
      if (matches(unary_[i], unary_[i].root(), term, {}, with)) return true;
    }
    return false;
  }

  bool is_unit(int input) const { return input >= 0 && term_of(formula_, input).function != Function::variable; }

  bool take_apart(std::vector<int> pending) {
    while (!pending.empty() && parts_.contains(pending.back())) pending.pop_back();
    if (pending.empty()) return finish();
    if (parts_.size() == count_) return false;
    const int term = pending.back();
    pending.pop_back();
    for (std::size_t binary = 0; binary < binary_.size(); ++binary) {
      const auto with_operands = [&](int first, int second) {
        return for_unary(first, term, [&](int first_unary, int first_input) {
          return for_unary(second, term, [&](int second_unary, int second_input) {
            parts_[term] = {static_cast<int>(binary), first_unary, first_input, second_unary, second_input};
            std::vector<int> next = pending;
            for (const int input : {first_input, second_input}) {
              if (is_unit(input)) next.push_back(input);
            }
            const bool done = take_apart(next);
            if (!done) parts_.erase(term);
            return done;
          });
        });
      };
      if (for_operands(binary, term, with_operands)) return true;
    }
    return false;
  }

  // Terms come after their parts, and so do units. That all is as it was says that no beta stands in two places.
  bool finish() {
    found_.assign(count_ - parts_.size(), Unit{});
    std::map<int, int> numbers;
    for (const auto& [term, parts] : parts_) {
      const auto number = [&](int input) { return is_unit(input) ? numbers.at(input) : 0; };
      found_.push_back(
          {number(parts.first_input), parts.first_unary, number(parts.second_input), parts.second_unary, parts.binary});
      numbers[term] = static_cast<int>(found_.size());
    }
    return formula_of(found_, functions_) == formula_.text();
  }

  const ActivationExpression& formula_;
  const Functions& functions_;
  std::size_t count_;
  std::vector<ActivationExpression> unary_, binary_;
  std::map<int, Parts> parts_;  // by term
  std::vector<Unit> found_;
};

}  // namespace activation_units
