// What a controller learns from a result: the reward, transformed, and the baseline it is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>

#include "weft/controllers/failure.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/trial.hpp"

namespace weft::controllers {

// The reward as a function of the trial's own, which is an accuracy or, for the inverses, a perplexity to be minimised.
class Reward {
 public:
  enum class Transform {
    identity,        // Zoph et al. 2018
    cube,            // of the accuracy: Zoph & Le 2017, section 4.1
    tangent,         // tan(accuracy pi / 2): Cai et al. 2018, "Efficient Architecture Search by Network Transformation"
    inverse,         // scale / perplexity: Pham et al. 2018
    inverse_square,  // scale / perplexity^2: Zoph & Le 2017, section 4.2
  };

  Reward(Transform transform, double scale, Failure failure)
      : transform_(transform), scale_(scale), failure_(failure) {}
  // From the members "reward", "reward_scale" and "failure_reward" of a configuration.
  explicit Reward(const Json& configuration)
      : Reward(transform(configuration.at("reward").get<std::string>()), configuration.at("reward_scale").get<double>(),
               Failure(configuration.at("failure_reward"))) {}

  // Nothing if the result is not to be learned from.
  std::optional<double> of(const TrialResult& result) {
    if (!result.complete()) return failure_.reward();
    const double reward = scale_ * transformed(result.reward);
    failure_.completed(reward);
    return reward;
  }

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

  double transformed(double reward) const {
    // A perplexity, which arrives negated since it is minimised, is at least 1; a tangent must stay finite.
    const double perplexity = std::max(std::abs(reward), 1.0);
    switch (transform_) {
      case Transform::cube:
        return reward * reward * reward;
      case Transform::tangent:
        return std::tan(std::clamp(reward, 0.0, 0.999) * 1.57079632679489662);
      case Transform::inverse:
        return 1.0 / perplexity;
      case Transform::inverse_square:
        return 1.0 / (perplexity * perplexity);
      default:
        return reward;
    }
  }

  Transform transform_;
  double scale_;
  Failure failure_;
};

// b: the exponential moving average of past rewards. It begins at the first one, not at 0, against which all children
// of the first batches would look good.
class Baseline {
 public:
  explicit Baseline(double decay) : decay_(decay) {}

  void update(double reward) { average_ = average_ ? decay_ * *average_ + (1.0 - decay_) * reward : reward; }
  std::optional<double> value() const { return average_; }

 private:
  double decay_;
  std::optional<double> average_;
};

}  // namespace weft::controllers
