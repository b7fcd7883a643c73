// LC-Net: a Bayesian neural network maps a candidate's features to the parameters of its learning curve.
//
// Klein, Falkner, Springenberg, Hutter 2017, "Learning Curve Prediction with Bayesian Neural Networks". Networks are
// sampled from the posterior by one Markov chain; a prediction is the mixture of the normal distributions that they
// predict at the end of the horizon.
//
// The network reads features and time, no curve. As in the authors' code (automl/pybnn) what is known of a curve enters
// as points that the chain is trained on: those of the finished curves and those of the curve that is asked about. So
// each question has a chain of its own, and fit() takes no time. The answer to the last question is kept, for another
// threshold. Rewards beyond the range count as its ends; points beyond the horizon are left out.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adaptive_sghmc.hpp"
#include "curve_network.hpp"
#include "weft/curves/features.hpp"
#include "weft/curves/scale.hpp"
#include "weft/plugin.hpp"

namespace {

using lcnet::CurveNetwork;
using lcnet::Points;
using weft::LearningCurve;
using weft::Prediction;
using weft::Rng;

// The points of curves in turn, as they come, and then as matrices.
class Collected {
 public:
  explicit Collected(Eigen::Index features) : features_(features) {}

  void add(const LearningCurve& curve, const Eigen::VectorXd& features, int horizon, const weft::curves::Scale& scale) {
    for (std::size_t i = 0; i < curve.size(); ++i) {
      if (curve.epochs[i] < 1 || curve.epochs[i] > horizon || !std::isfinite(curve.rewards[i])) continue;
      columns_.push_back(features);
      times_.push_back(static_cast<double>(curve.epochs[i]) / horizon);
      rewards_.push_back(std::clamp(scale.to_unit(curve.rewards[i]), 0.0, 1.0));
    }
  }
  bool empty() const { return times_.empty(); }

  Points points() const {
    const auto count = static_cast<Eigen::Index>(times_.size());
    Points points{Eigen::MatrixXd(features_, count), Eigen::Map<const Eigen::VectorXd>(times_.data(), count),
                  Eigen::Map<const Eigen::VectorXd>(rewards_.data(), count)};
    for (Eigen::Index i = 0; i < count; ++i) points.features.col(i) = columns_[static_cast<std::size_t>(i)];
    return points;
  }

 private:
  Eigen::Index features_;
  std::vector<Eigen::VectorXd> columns_;
  std::vector<double> times_, rewards_;
};

// Batches of points without end: in a new order on each pass, of which the last batch is what is left.
class Batches {
 public:
  Batches(const Points& points, Eigen::Index size, Rng rng)
      : points_(points), size_(size), rng_(rng), order_(static_cast<std::size_t>(points.times.size())) {
    std::iota(order_.begin(), order_.end(), Eigen::Index{0});
  }

  Points next() {
    if (at_ == 0) rng_.shuffle(order_);
    const auto count = std::min(static_cast<std::size_t>(size_), order_.size() - at_);
    const std::vector<Eigen::Index> chosen(order_.begin() + static_cast<std::ptrdiff_t>(at_),
                                           order_.begin() + static_cast<std::ptrdiff_t>(at_ + count));
    at_ = (at_ + count) % order_.size();
    return {points_.features(Eigen::all, chosen), points_.times(chosen), points_.rewards(chosen)};
  }

 private:
  const Points& points_;
  Eigen::Index size_;
  Rng rng_;
  std::vector<Eigen::Index> order_;
  std::size_t at_ = 0;
};

class LcNet final : public weft::Predictor {
 public:
  explicit LcNet(const weft::Context& context)
      : scale_(context),
        rng_(context.rng()),
        hidden_(context.get<std::vector<Eigen::Index>>("hidden")),
        steps_(context.get<int>("steps")),
        burn_in_(context.get<int>("burn_in")),
        keep_every_(context.get<int>("keep_every")),
        batch_size_(context.get<int>("batch_size")),
        lr_(context.get<double>("lr")),
        mdecay_(context.get<double>("mdecay")),
        initial_variance_(context.get<double>("initial_variance")),
        prior_{.log_variance_mean = std::log(context.get<double>("noise_prior_variance")),
               .log_variance_spread = context.get<double>("noise_prior_spread"),
               .weight_precision = context.get<double>("weight_prior_precision"),
               .mean_over_weights = context.get<bool>("mean_weight_prior")} {
    if (burn_in_ >= steps_) {
      throw weft::InvalidInput("/burn_in is " + std::to_string(burn_in_) + "; must be less than steps, " +
                               std::to_string(steps_) + ", which include it");
    }
    if (keep_every_ > steps_ - burn_in_) {
      throw weft::InvalidInput("/keep_every is " + std::to_string(keep_every_) + "; must not exceed steps - burn_in, " +
                               std::to_string(steps_ - burn_in_) + ", or no network is kept");
    }
  }

  void fit(std::span<const LearningCurve> curves) override {
    finished_.assign(curves.begin(), curves.end());
    standardised_ = weft::curves::Standardised(finished_);
    answered_.reset();
  }

  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    if (!answered_ || !answered_->is(partial, horizon)) answered_ = {partial, horizon, sample(partial, horizon)};
    return mixture(answered_->networks, threshold);
  }

 private:
  // What a network says of the reward at the end: a normal distribution.
  struct Normal {
    double mean, variance;
  };
  struct Answered {
    LearningCurve curve;
    int horizon;
    std::vector<Normal> networks;

    bool is(const LearningCurve& other, int other_horizon) const {
      return curve.trial == other.trial && curve.epochs == other.epochs && curve.rewards == other.rewards &&
             curve.features == other.features && horizon == other_horizon;
    }
  };

  // None where there is nothing to learn from.
  std::vector<Normal> sample(const LearningCurve& partial, int horizon) const {
    Collected collected(standardised_.size());
    for (const LearningCurve& curve : finished_) collected.add(curve, standardised_.of(curve), horizon, scale_);
    if (collected.empty()) return {};
    const Eigen::VectorXd features = standardised_.of(partial);
    collected.add(partial, features, horizon, scale_);
    return run_chain(collected.points(), features,
                     rng_.derive("trial", static_cast<std::uint64_t>(partial.trial)).derive("points", partial.size()));
  }

  std::vector<Normal> run_chain(const Points& points, const Eigen::VectorXd& features, const Rng& rng) const {
    CurveNetwork network(features.size(), hidden_, initial_variance_, rng.derive("network"));
    const auto count = static_cast<Eigen::Index>(network.parameters.values().size());
    Eigen::Map<Eigen::ArrayXd> values(network.parameters.values().data(), count);
    Eigen::Map<Eigen::ArrayXd> gradient(network.parameters.gradient().data(), count);
    lcnet::AdaptiveSghmc sampler(count, lr_, mdecay_, burn_in_);
    Batches batches(points, batch_size_, rng.derive("batches"));
    Rng noise = rng.derive("noise");
    const auto data = static_cast<double>(points.times.size());
    const Eigen::VectorXd end = Eigen::VectorXd::Ones(1);

    std::vector<Normal> networks;
    for (int step = 1; step <= steps_; ++step) {
      gradient.setZero();
      network.loss(batches.next(), prior_, data);
      gradient *= data;
      sampler.step(values, gradient, noise);
      if (step <= burn_in_ || (step - burn_in_) % keep_every_ != 0) continue;
      const CurveNetwork::Output output = network.output(features, end);
      if (std::isfinite(output.means[0]) && std::isfinite(output.variance))
        networks.push_back({output.means[0], output.variance});
    }
    return networks;
  }

  std::optional<Prediction> mixture(const std::vector<Normal>& networks, double threshold) const {
    if (networks.empty()) return {};
    const auto count = static_cast<double>(networks.size());
    Prediction mixture;
    double mean = 0.0, variance = 0.0;
    for (const Normal& network : networks) {
      const double reward = scale_.to_reward(network.mean);
      const double deviation = scale_.to_reward_width(std::sqrt(network.variance));
      mean += network.mean / count;
      mixture.probability_above += Prediction::normal(reward, deviation, threshold).probability_above / count;
    }
    // The law of total variance.
    for (const Normal& network : networks) {
      variance += (network.variance + (network.mean - mean) * (network.mean - mean)) / count;
    }
    mixture.mean = scale_.to_reward(mean);
    mixture.deviation = scale_.to_reward_width(std::sqrt(variance));
    mixture.probability_above = std::min(1.0, mixture.probability_above);
    return mixture;
  }

  weft::curves::Scale scale_;
  Rng rng_;
  std::vector<Eigen::Index> hidden_;
  int steps_, burn_in_, keep_every_, batch_size_;
  double lr_, mdecay_, initial_variance_;
  lcnet::Prior prior_;
  std::vector<LearningCurve> finished_;
  weft::curves::Standardised standardised_;
  std::optional<Answered> answered_;
};

}  // namespace

WEFT_PLUGIN(weft::component<LcNet>("lcnet"))
