// The contract suite of update rules: what every plugin of kind `update_rule` must do, whatever a step of it is.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/update_rule_contract.hpp"
#endif

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weft/testing/library.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft::testing {

// An instance of the plugin; it lives as long as what is returned.
inline std::shared_ptr<const UpdateRule> update_rule_of(const Plugin& plugin, const Json& args = Json::object()) {
  return ingredient_of<UpdateRule>(plugin, args);
}

// Parameters that follow a rule step by step, and what it remembers of them. A copy goes on by itself.
class Descent {
 public:
  Descent(std::shared_ptr<const UpdateRule> rule, const at::Tensor& start)
      : rule_(std::move(rule)), values_(start.clone()) {
    for (const auto& [name, first] : rule_->memory()) memory_[name] = at::full_like(values_, first);
  }
  Descent(const Descent& other) : rule_(other.rule_), values_(other.values_.clone()), count_(other.count_) {
    for (const auto& [name, tensor] : other.memory_) memory_[name] = tensor.clone();
  }
  Descent& operator=(const Descent&) = delete;

  // `others`: progress, momentum, weight_decay and decayed. Returns the parameters, which the next step changes.
  const at::Tensor& step(const at::Tensor& gradients, double lr, const UpdateRule::Step& others = {}) {
    UpdateRule::Step step = others;
    step.values = values_;
    step.gradients = gradients.clone();
    step.memory = memory_;
    step.count = ++count_;
    step.lr = lr;
    rule_->step(step);
    return values_;
  }

  const at::Tensor& values() const { return values_; }
  const std::map<std::string, at::Tensor>& memory() const { return memory_; }
  void count_from(std::int64_t steps) { count_ = steps; }

 private:
  std::shared_ptr<const UpdateRule> rule_;
  at::Tensor values_;
  std::map<std::string, at::Tensor> memory_;
  std::int64_t count_ = 0;
};

struct UpdateRuleCheck {
  bool descends = true;  // a bowl, by small steps
};

namespace update_rule_contract {

// Of six elements, in the course of so many steps.
inline at::Tensor gradients(int step) {
  return at::tensor({0.5f, -1.5f, 0.25f, 1.0f, -0.125f, 2.0f}).roll(step).mul(step % 3 == 2 ? -0.5 : 1.0);
}

inline at::Tensor start() { return at::tensor({1.0f, -0.5f, 0.25f, 2.0f, -1.0f, 0.125f}); }

inline void follow(Descent& descent, int first, int last, const UpdateRule::Step& others = {}) {
  for (int step = first; step < last; ++step) descent.step(gradients(step), 0.01, others);
}

inline void check_steps(const std::shared_ptr<const UpdateRule>& rule, const std::shared_ptr<const UpdateRule>& twin) {
  const auto seeded = [](Descent& descent, int first, int last) {
    at::manual_seed(4);
    follow(descent, first, last);
  };
  Descent one(rule, start()), other(twin, start());
  const void* const place = one.values().data_ptr();
  std::map<std::string, const void*> places;
  for (const auto& [name, tensor] : one.memory()) places[name] = tensor.data_ptr();
  seeded(one, 0, 3);
  INFO("parameters and memory are changed in place, and finite");
  REQUIRE(one.values().data_ptr() == place);
  REQUIRE(one.values().isfinite().all().item<bool>());
  for (const auto& [name, tensor] : one.memory()) {
    REQUIRE(tensor.data_ptr() == places.at(name));
    REQUIRE(tensor.isfinite().all().item<bool>());
  }
  INFO("what it remembers lies in its memory alone: another instance goes on from that");
  seeded(other, 0, 3);
  Descent copy(other);
  seeded(one, 3, 6);
  seeded(copy, 3, 6);
  REQUIRE(at::equal(one.values(), copy.values()));
}

// As where of a network only a part takes part in a step.
inline void check_elements(const std::shared_ptr<const UpdateRule>& rule) {
  Descent whole(rule, start()), again(rule, start());
  at::manual_seed(4);
  follow(whole, 0, 4);
  at::manual_seed(5);
  follow(again, 0, 4);
  if (!at::equal(whole.values(), again.values())) return;  // it draws random numbers
  INFO("an element goes its way whatever is beside it");
  Descent left(rule, start().narrow(0, 0, 2)), right(rule, start().narrow(0, 2, 4));
  for (int step = 0; step < 4; ++step) {
    left.step(gradients(step).narrow(0, 0, 2), 0.01);
    right.step(gradients(step).narrow(0, 2, 4), 0.01);
  }
  REQUIRE(at::cat({left.values(), right.values()}).allclose(whole.values(), 1e-5, 1e-6));
}

// What a rule says of itself.
inline void check_claims(const std::shared_ptr<const UpdateRule>& rule) {
  REQUIRE(!rule->formula().empty());
  REQUIRE(rule->momentum() >= 0.0);
  REQUIRE(rule->momentum() <= 1.0);
  REQUIRE((rule->momentum() == 0.0 || rule->memory().contains("momentum")));

  const auto after = [&](std::int64_t count, const UpdateRule::Step& others, double gradient) {
    at::manual_seed(4);
    Descent descent(rule, start());
    descent.count_from(count);
    return descent.step(at::full({6}, gradient), 0.01, others).clone();
  };
  const at::Tensor plain = after(0, {}, 0.5);
  INFO("a rule that does not ask for the number of steps needs none");
  REQUIRE((rule->counts() || at::equal(after(1000, {}, 0.5), plain)));

  const UpdateRule::Step partly{.weight_decay = 0.5, .decayed = at::tensor({1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 0.0f})};
  const at::Tensor kept = after(0, {}, 0.0), decayed = after(0, partly, 0.0);
  if (rule->decays()) {
    INFO("weight decay shrinks what it applies to, and nothing else");
    REQUIRE((decayed.abs() < kept.abs()).narrow(0, 0, 3).all().item<bool>());
    REQUIRE(at::equal(decayed.narrow(0, 3, 3), kept.narrow(0, 3, 3)));
  } else {
    INFO("weight decay is in the gradient already, unless the rule says that it decays");
    REQUIRE(at::equal(decayed, kept));
  }
  INFO("what a schedule wants of the momentum is taken");
  REQUIRE(after(0, {.momentum = 0.5}, 0.5).isfinite().all().item<bool>());
  INFO("a learning rate of 0 moves nothing");
  at::manual_seed(4);
  Descent still(rule, start());
  still.step(gradients(0), 0.0);
  REQUIRE(at::equal(still.values(), start()));
}

}  // namespace update_rule_contract

inline void check_update_rule(const Plugin& plugin, const Json& args = Json::object(),
                              const UpdateRuleCheck& check = {}) {
  INFO("update rule " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == UpdateRule::kind);
  REQUIRE(plugin.component->find_interface("weft.no such interface/1") == nullptr);
  const auto rule = update_rule_of(plugin, args), twin = update_rule_of(plugin, args);
  REQUIRE(rule->memory() == twin->memory());
  update_rule_contract::check_steps(rule, twin);
  update_rule_contract::check_elements(rule);
  update_rule_contract::check_claims(rule);
  if (!check.descends) return;
  INFO("it descends a bowl");
  const auto height = [](const at::Tensor& at) { return at.square().sum().item<double>(); };
  at::manual_seed(4);
  Descent descent(rule, update_rule_contract::start());
  for (int step = 0; step < 300; ++step) descent.step(descent.values(), 0.01);
  REQUIRE(height(descent.values()) < 0.5 * height(update_rule_contract::start()));
}

}  // namespace weft::testing
