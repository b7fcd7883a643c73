// A learning curve: the reward after each epoch of a training, with what is trained. Stoppers judge them, predictors say
// where they end.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weft/candidate.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/json.hpp"
#include "weft/trial.hpp"

namespace weft {

struct LearningCurve {
  TrialId trial = -1;
  std::vector<std::int32_t> epochs = {};  // ascending, counted from 1
  std::vector<double> rewards = {};       // the first objective after each, to be maximised
  int horizon = 0;                        // epochs that the training is to have; 0: not known
  Json features = Json::object();         // of the candidate, as features_of() has them
  Fidelity fidelity = {};
  Json report = {};  // the last one, whole; null before the first

  bool empty() const { return epochs.empty(); }
  std::size_t size() const { return epochs.size(); }
};

// What a candidate is, in numbers and names: {"parameters", "multiply_adds", "layers": those with weights,
// "operations": the names of all nodes, inputs before their readers, "recipe"}.
inline Json features_of(const Candidate& candidate) {
  Json operations = Json::array();
  std::int64_t layers = 0;
  for (const Node& node : candidate.architecture.nodes()) {
    operations.push_back(node.operation);
    if (node.cost.parameters > 0) ++layers;
  }
  const Cost cost = candidate.architecture.cost();
  return {{"parameters", cost.parameters},
          {"multiply_adds", cost.multiply_adds},
          {"layers", layers},
          {"operations", std::move(operations)},
          {"recipe", candidate.recipe.is_null() ? Json::object() : candidate.recipe}};
}

namespace detail {

// A curve lent across the boundary.
class LentCurve {
 public:
  explicit LentCurve(const LearningCurve& curve)
      : features_(curve.features.dump()),
        fidelity_(curve.fidelity == Fidelity{} ? "" : curve.fidelity.to_json().dump()),
        report_(dump(curve.report)) {
    lent_ = {sizeof(weft_curve), curve.trial,   curve.epochs.data(), curve.rewards.data(), curve.epochs.size(),
             curve.horizon,      text(features_), text(fidelity_),     text(report_)};
  }
  LentCurve(const LentCurve&) = delete;
  LentCurve& operator=(const LentCurve&) = delete;
  operator const weft_curve*() const { return &lent_; }

 private:
  std::string features_, fidelity_, report_;
  weft_curve lent_;
};

inline LearningCurve to_curve(const weft_curve& lent) {
  LearningCurve curve;
  curve.trial = lent.trial;
  curve.epochs.assign(lent.epochs, lent.epochs + lent.count);
  curve.rewards.assign(lent.rewards, lent.rewards + lent.count);
  curve.horizon = lent.horizon;
  if (lent.features.size != 0) curve.features = parse_json(lent.features);
  if (lent.fidelity.size != 0) curve.fidelity = Fidelity::from_json(parse_json(lent.fidelity));
  curve.report = parse_json(lent.report);
  return curve;
}

}  // namespace detail

}  // namespace weft
