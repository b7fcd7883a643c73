// What a controller learns from a result: the reward, transformed, and the baseline it is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>
#include <string>

#include "weft/controllers/failure.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/objective.hpp"
#include "weft/trial.hpp"

namespace weft::controllers {

// R as a function of the trial's reward, an accuracy a or, for the inverses, a perplexity p to be minimised. The scale
// c makes shares of accuracies in percent.
class Reward {
 public:
  enum class Transform {
    identity,        // c a: Zoph et al. 2018
    cube,            // (c a)^3: Zoph & Le 2017, section 4.1
    tangent,         // tan(c a pi / 2): Cai et al. 2018, "Efficient Architecture Search by Network Transformation"
    inverse,         // c / p: Pham et al. 2018
    inverse_square,  // c / p^2: Zoph & Le 2017, section 4.2
  };

  Reward(Transform transform, double scale, Failure failure)
      : transform_(transform), scale_(scale), failure_(failure) {}
  // From the members "reward", "reward_scale" and "failure_reward" of a configuration. Throws InvalidInput where the
  // study's first objective goes in the other direction than the transform.
  Reward(const Json& configuration, const Json& study)
      : Reward(transform(configuration.at("reward").get<std::string>()), configuration.at("reward_scale").get<double>(),
               Failure(configuration.at("failure_reward"))) {
    check_direction(configuration.at("reward").get<std::string>(), study);
  }

  // Nothing if the trial came to no reward, nor was predicted one.
  std::optional<double> of(const TrialResult& result) {
    if (!result.told_reward()) return {};
    const double reward = transformed(*result.told_reward());
    failure_.completed(reward);
    return reward;
  }
  const Failure& failure() const { return failure_; }

 private:
  static Transform transform(const std::string& name) {
    static const std::map<std::string, Transform> known = {{"identity", Transform::identity},
                                                           {"cube", Transform::cube},
                                                           {"tangent", Transform::tangent},
                                                           {"inverse", Transform::inverse},
                                                           {"inverse_square", Transform::inverse_square}};
    const auto at = known.find(name);
    if (at == known.end()) throw InvalidInput("/reward is \"" + name + "\"; there is no such transform");
    return at->second;
  }

  void check_direction(const std::string& name, const Json& study) const {
    const std::optional<Direction> direction = first_direction(study);
    const bool of_accuracy = transform_ == Transform::tangent;
    const bool of_perplexity = transform_ == Transform::inverse || transform_ == Transform::inverse_square;
    if (of_accuracy && direction == Direction::minimize)
      throw InvalidInput("/reward is \"" + name +
                         "\", which is for shares to be maximised, but the first objective is "
                         "minimised: every candidate would earn the same; use \"inverse\" or \"identity\"");
    if (of_perplexity && direction == Direction::maximize)
      throw InvalidInput("/reward is \"" + name +
                         "\", which is for an objective to be minimised, but the first one is "
                         "maximised: the worst would earn most; use \"identity\" or \"cube\"");
  }

  double transformed(double reward) const {
    const double accuracy = scale_ * reward;
    // A perplexity, which arrives negated since it is minimised, is at least 1; a tangent must stay finite.
    const double perplexity = std::max(std::abs(reward), 1.0);
    switch (transform_) {
      case Transform::cube:
        return accuracy * accuracy * accuracy;
      case Transform::tangent:
        return std::tan(std::clamp(accuracy, 0.0, 0.999) * std::numbers::pi / 2.0);
      case Transform::inverse:
        return scale_ / perplexity;
      case Transform::inverse_square:
        return scale_ / (perplexity * perplexity);
      default:
        return accuracy;
    }
  }

  Transform transform_;
  double scale_;
  Failure failure_;
};

// b: the exponential moving average of past rewards. It begins where it is told to, not at 0, against which all
// children of the first batches would look good.
class Baseline {
 public:
  explicit Baseline(double decay) : decay_(decay) {}

  void begin(double reward) { average_ = reward; }
  void update(double reward) { average_ = average_ ? decay_ * *average_ + (1.0 - decay_) * reward : reward; }
  std::optional<double> value() const { return average_; }

 private:
  double decay_;
  std::optional<double> average_;
};

}  // namespace weft::controllers
