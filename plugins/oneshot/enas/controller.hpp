// ENAS's controller: a policy over the decisions of a space that learns by REINFORCE, and can be stored whole.
//
// Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing", section 2.2; details
// as in the authors' published code (melodyguan/enas, micro_controller.py): the policy's entropy counts as a part of
// the reward, and is no term of the objective; Adam has epsilon beside the root of the second moment as it is, without
// the correction of its bias, as TensorFlow's has. Deviations: the baseline begins at the mean reward of the first
// step, not at 0, and does not know the reward that it is compared with; the code's bias towards separable
// convolutions, at the start and in sampling normal cells, is left out.
#pragma once

#include <ATen/ATen.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "weft/controllers/policy.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"
#include "weft/torch/network.hpp"

namespace enas {

// An architecture that was sampled, and how well it did on a batch: of images, the share that it classified correctly.
struct Sample {
  weft::controllers::Episode episode;
  double score = 0.0;
};

class Controller {
 public:
  struct Options {
    weft::controllers::Policy::Options policy;  // without an entropy_weight; how it moves is said here
    double lr;
    std::array<double, 2> betas;
    double eps;
    double entropy_weight;  // of the policy's entropy in the reward
    double baseline_decay;
  };

  // `space` is referred to, and must live longer.
  Controller(const Options& options, const weft::Decisions& space, const weft::Rng& rng)
      : options_(options), space_(space), policy_(options.policy, rng) {
    meet_options(rng.derive("options"));
  }
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  weft::controllers::Episode sample(weft::Rng& rng) { return policy_.sample(space_, rng); }

  // One step along  1/m sum_k (R_k - b) grad log P(a_k),  R = score + entropy_weight H,  of m samples that were
  // drawn since the last one. Returns the mean entropy H, in nats.
  double learn(const std::vector<Sample>& samples) {
    const auto count = static_cast<double>(samples.size());
    std::vector<double> rewards;
    double mean_reward = 0.0, mean_entropy = 0.0;
    for (const Sample& sample : samples) {
      const double entropy = policy_.evaluate(sample.episode).entropy;
      rewards.push_back(sample.score + options_.entropy_weight * entropy);
      mean_entropy += entropy / count;
      mean_reward += rewards.back() / count;
    }
    const bool first = steps_ == 0;
    if (first) baseline_ = mean_reward;
    for (std::size_t k = 0; k < samples.size(); ++k) {
      const double advantage = rewards[k] - baseline_;
      policy_.accumulate(samples[k].episode, [&](std::size_t, double) { return advantage; });
      if (!first) baseline_ += (1.0 - options_.baseline_decay) * advantage;
    }
    ascend(1.0 / count);
    return mean_entropy;
  }

  double baseline() const { return baseline_; }  // 0 before the first step

  // All that it goes on from. The tensors share its memory until it learns or samples.
  weft::NamedTensors state() {
    grow();
    const auto view = [](std::vector<double>& numbers) {
      return at::from_blob(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, at::kDouble);
    };
    return {{"controller", view(policy_.parameters().values())},
            {"controller_first_moment", view(first_moment_)},
            {"controller_second_moment", view(second_moment_)},
            {"controller_steps", at::from_blob(&steps_, {}, at::kLong)},
            {"baseline", at::from_blob(&baseline_, {}, at::kDouble)}};
  }

 private:
  using Array = Eigen::Array<double, Eigen::Dynamic, 1>;

  // An option gets its parameters when it is first met. All must be there before a state is restored, in the same
  // order: so each is met at once, as far as sampling tells.
  void meet_options(weft::Rng rng) {
    constexpr int enough = 50;
    std::size_t known = 0;
    for (int without_a_new_one = 0; without_a_new_one < enough; ++without_a_new_one) {
      sample(rng);
      const std::size_t now = policy_.parameters().values().size();
      if (now != known) without_a_new_one = 0;
      known = now;
    }
  }

  // Parameters that are new begin without a history.
  void grow() {
    first_moment_.resize(policy_.parameters().values().size());
    second_moment_.resize(policy_.parameters().values().size());
  }

  // Moves along `scale` times the gradient, and clears it.
  void ascend(double scale) {
    grow();
    const auto map = [](std::vector<double>& numbers) {
      return Eigen::Map<Array>(numbers.data(), static_cast<Eigen::Index>(numbers.size()));
    };
    auto values = map(policy_.parameters().values()), gradient = map(policy_.parameters().gradient());
    auto m = map(first_moment_), v = map(second_moment_);
    const auto [beta1, beta2] = options_.betas;
    const auto t = static_cast<double>(++steps_);
    gradient *= scale;
    m = beta1 * m + (1.0 - beta1) * gradient;
    v = beta2 * v + (1.0 - beta2) * gradient.square();
    const double rate = options_.lr * std::sqrt(1.0 - std::pow(beta2, t)) / (1.0 - std::pow(beta1, t));
    values += rate * m / (v.sqrt() + options_.eps);
    gradient.setZero();
  }

  Options options_;
  const weft::Decisions& space_;
  weft::controllers::Policy policy_;
  std::vector<double> first_moment_, second_moment_;  // of the gradient, as long as the parameters
  std::int64_t steps_ = 0;
  double baseline_ = 0.0;
};

// Layers make one skip decision for each layer before them: how many, on average over the layers that make any.
inline double skips_per_step(const weft::Decisions& space) {
  std::set<int> steps;
  std::size_t skips = 0;
  std::vector<std::int32_t> taken;
  while (const std::optional<weft::Decision> decision = space.next(taken)) {
    taken.push_back(0);
    if (!weft::controllers::is_skip(*decision)) continue;
    ++skips;
    steps.insert(decision->step);
  }
  return skips > 0 ? static_cast<double>(skips) / static_cast<double>(steps.size()) : 1.0;
}

}  // namespace enas
