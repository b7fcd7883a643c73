// Update rules that are formulas: Bello, Zoph, Vasudevan, Le 2017, "Neural Optimizer Search with Reinforcement
// Learning". The language is that of weft/learning/update_expression.hpp; w <- w - lr f.
//
// What is not finite is never put right, so that a rule which breaks down is seen: the loss is not finite, and the
// trial fails. ln|0| and 0^-1 are infinite, a negative number to a broken power is none; x / (y + 1e-8) is infinite
// where y is -1e-8. What is not a number stays so through every function: LibTorch's sign would make 0 of it, and x^0
// or 1^x one; drop hides none, as what is dropped is multiplied by 0. What is infinite may come back by exp, clip, sign
// or division, as arithmetic has it.
//
// Random numbers are LibTorch's, as those of dropout are: a training seeds them anew in every epoch. drop leaves the
// values that it keeps as they are; dropout would enlarge them.

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "weft/learning/decay.hpp"
#include "weft/learning/update_expression.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/update_rule.hpp"

namespace {

using weft::learning::Decay;
using weft::learning::UpdateExpression;
using Term = UpdateExpression::Term;

constexpr double epsilon = 1e-8;  // of divisions, and of the operands adam and rmsprop

struct Moment {
  const char* name;
  Term operand;
  int power;  // of the gradient
};
constexpr std::array<Moment, 3> moments = {{{"first_moment", Term::first_moment, 1},
                                            {"second_moment", Term::second_moment, 2},
                                            {"third_moment", Term::third_moment, 3}}};

bool is_needed(const Moment& moment, const UpdateExpression& formula) {
  if (formula.has(moment.operand)) return true;
  return (moment.power <= 2 && formula.has(Term::adam)) || (moment.power == 2 && formula.has(Term::rmsprop));
}

at::Tensor kept_not_a_number(const at::Tensor& result, const at::Tensor& of) {
  return at::where(of.isnan(), of, result);
}

at::Tensor power(const at::Tensor& base, const at::Tensor& exponent) {
  return kept_not_a_number(kept_not_a_number(at::pow(base, exponent), base), exponent);
}

// The values of a formula in one step: [elements], or [] where all elements have the same.
class Evaluation {
 public:
  Evaluation(const weft::UpdateRule::Step& step, const std::array<double, 3>& betas, double noise)
      : step_(step), betas_(betas), noise_(noise) {}

  at::Tensor value(const UpdateExpression& formula) const {
    switch (formula.term) {
      case Term::number:
        return constant(formula.number);
      case Term::gradient:
        return step_.gradients;
      case Term::first_moment:
        return mean(0);
      case Term::second_moment:
        return mean(1);
      case Term::third_moment:
        return mean(2);
      case Term::weight:
        return step_.values;
      case Term::noise:
        return at::empty_like(step_.values).normal_(0.0, noise_);
      case Term::adam:
        return mean(0) / (mean(1).sqrt() + epsilon);
      case Term::rmsprop:
        return step_.gradients / (step_.memory.at(moments[1].name).sqrt() + epsilon);
      case Term::before:
        return step_.memory.at("before");
      case Term::linear:
        return constant(Decay(Decay::Shape::linear).at(step_.progress));
      case Term::cosine:
        return constant(Decay(Decay::Shape::cosine, formula.number).at(step_.progress));
      case Term::restart:
        return constant(Decay(Decay::Shape::restart, formula.number).at(step_.progress));
      default:
        return formula.of.size() == 1 ? of_one(formula, value(formula.of[0])) : of_two(formula, value(formula.of[0]));
    }
  }

 private:
  at::Tensor of_one(const UpdateExpression& formula, const at::Tensor& x) const {
    switch (formula.term) {
      case Term::negation:
        return -x;
      case Term::exp:
        return x.exp();
      case Term::ln:
        return x.abs().log_();
      case Term::sqrt:
        return x.abs().sqrt_();
      case Term::sign:
        return kept_not_a_number(x.sign(), x);
      case Term::clip:
        return x.clamp(-formula.number, formula.number);
      default:  // drop
        return x * at::empty_like(step_.values).bernoulli_(1.0 - formula.number);
    }
  }

  at::Tensor of_two(const UpdateExpression& formula, const at::Tensor& x) const {
    const UpdateExpression& second = formula.of[1];
    // The common powers, without a logarithm.
    if (formula.term == Term::power && second.term == Term::number && second.number > 0.0)
      return at::pow(x, second.number);
    const at::Tensor y = value(second);
    switch (formula.term) {
      case Term::sum:
        return x + y;
      case Term::difference:
        return x - y;
      case Term::product:
        return x * y;
      case Term::quotient:
        return x / (y + epsilon);
      default:
        return power(x, y);
    }
  }

  at::Tensor constant(double value) const { return at::full({}, value, step_.values.options()); }

  // As if it had not begun with 0.
  at::Tensor mean(std::size_t index) const {
    return step_.memory.at(moments[index].name) / (1.0 - std::pow(betas_[index], static_cast<double>(step_.count)));
  }

  const weft::UpdateRule::Step& step_;
  const std::array<double, 3>& betas_;
  double noise_;
};

UpdateExpression formula_of(const weft::Context& context) {
  try {
    return UpdateExpression::parse(context.get<std::string>("formula"));
  } catch (const weft::InvalidInput& error) {
    throw weft::InvalidInput("/formula is " + context.configuration().at("formula").dump() + ": " + error.what());
  }
}

class Expression final : public weft::UpdateRule {
 public:
  explicit Expression(const weft::Context& context)
      : formula_(formula_of(context)),
        betas_(context.get<std::array<double, 3>>("betas")),
        noise_(context.get<double>("noise")) {}

  std::map<std::string, double> memory() const override {
    std::map<std::string, double> memory;
    for (const Moment& moment : moments) {
      if (is_needed(moment, formula_)) memory[moment.name] = 0.0;
    }
    if (formula_.has(Term::before)) memory["before"] = 0.0;
    return memory;
  }
  bool counts() const override {
    return formula_.has(Term::adam) || std::any_of(moments.begin(), moments.end(),
                                                   [&](const Moment& moment) { return formula_.has(moment.operand); });
  }

  void step(const Step& step) const override {
    std::array<double, 3> betas = betas_;
    betas[0] = step.momentum.value_or(betas[0]);
    for (std::size_t i = 0; i < moments.size(); ++i) {
      const auto found = step.memory.find(moments[i].name);
      if (found == step.memory.end()) continue;
      at::Tensor mean = found->second;
      mean.mul_(betas[i]).add_(step.gradients.pow(moments[i].power), 1.0 - betas[i]);
    }
    const at::Tensor update = Evaluation(step, betas, noise_).value(formula_);
    if (formula_.has(Term::before)) at::Tensor(step.memory.at("before")).copy_(update);
    at::Tensor(step.values).sub_(update, step.lr);
  }

  std::string formula() const override { return "-lr (" + formula_.to_string() + ")"; }

 private:
  UpdateExpression formula_;
  std::array<double, 3> betas_;
  double noise_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Expression>("expression"))
