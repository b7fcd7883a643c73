// An update rule: how a step changes the parameters, an ingredient of a recipe.
//
// The training loop keeps all parameters side by side in one buffer, and their gradients in another
// (weft/torch/updates.hpp): a rule is arithmetic on whole buffers, however many parameters there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "weft/torch/ingredient.hpp"

namespace weft {

class UpdateRule {
 public:
  using IngredientKind = UpdateRule;
  static constexpr const char* kind = "update_rule";
  static constexpr const char* interface_id = "weft.torch.update_rule/1";

  struct Step {
    at::Tensor values;     // [elements]: the parameters, to be changed in place
    at::Tensor gradients;  // [elements]: clipped, and decayed unless the rule does that itself; may be overwritten
    std::map<std::string, at::Tensor> memory;  // [elements] each, by the names of memory(); to be changed in place
    std::int64_t count;                        // of the steps that these parameters took part in, this one included
    double lr;
    double progress = 0.0;                // of the schedule, from 0 to 1
    std::optional<double> momentum = {};  // what the schedule wants of the rule's momentum
    double weight_decay = 0.0;            // of a rule that decays by itself
    at::Tensor decayed = {};              // [elements], 1 where weight_decay applies, else 0; undefined: everywhere
  };

  virtual ~UpdateRule() = default;
  virtual void step(const Step& step) const = 0;
  // What it remembers of every element, and what each begins with.
  virtual std::map<std::string, double> memory() const { return {}; }
  // Whether it needs Step::count.
  virtual bool counts() const { return false; }
  // Whether it applies weight_decay itself; else weight_decay times the parameter is added to its gradient.
  virtual bool decays() const { return false; }
  // The m of a step x <- x - lr v, v <- m v + g, whose v it remembers as "momentum"; 0: none, or another kind of step.
  virtual double momentum() const { return 0.0; }
  // The change of a parameter w with gradient g, as one would write it down.
  virtual std::string formula() const = 0;
};

// v <- momentum v + g; w <- w - lr v, or with Nesterov w - lr (g + momentum v).
class Sgd : public UpdateRule {
 public:
  explicit Sgd(double momentum = 0.0, bool nesterov = false) : momentum_(momentum), nesterov_(nesterov) {}
  void step(const Step& step) const override;
  std::map<std::string, double> memory() const override { return {{"momentum", 0.0}}; }
  double momentum() const override { return momentum_; }
  std::string formula() const override;

 private:
  double momentum_;
  bool nesterov_;
};

// Kingma and Ba 2015, Algorithm 1. `decoupled`: weight decay is no part of the gradient, w <- w - lr weight_decay w
// (Loshchilov and Hutter 2019, AdamW, whose eta is lr and whose lambda is weight_decay).
class Adam : public UpdateRule {
 public:
  explicit Adam(std::array<double, 2> betas = {0.9, 0.999}, double eps = 1e-8, bool decoupled = false)
      : betas_(betas), eps_(eps), decoupled_(decoupled) {}
  void step(const Step& step) const override;
  std::map<std::string, double> memory() const override { return {{"first_moment", 0.0}, {"second_moment", 0.0}}; }
  bool counts() const override { return true; }
  bool decays() const override { return decoupled_; }
  std::string formula() const override;

 private:
  std::array<double, 2> betas_;
  double eps_;
  bool decoupled_;
};

}  // namespace weft
