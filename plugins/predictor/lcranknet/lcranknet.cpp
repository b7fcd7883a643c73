// LCRankNet: which of two trainings will end better, from what is seen of them early.
//
// Wistuba, Pedapati 2020, "Learning to Rank Learning Curves": P(i ends above j) = sigmoid(f(i) - f(j)), of a network f
// that is learned from pairs of finished trainings. The probability of ending above the threshold is that of beating
// the finished training whose end is nearest to it: for the threshold of a stop rule, the best reward so far, that is
// the best training. Both are seen up to the same epoch.
//
// The paper predicts no reward. Ours: a least-squares line from the finished trainings' f to their ends says the mean,
// and its residuals, those of the data that f was learned from, the deviation. Where the line would fall, f tells
// nothing, and the mean is that of all. Trainings on the same data set are compared; on all, where fewer than 3 were.
//
// The network is trained when it is first asked for a horizon, of those trainings that came so far.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ranking.hpp"
#include "weft/curves/scale.hpp"
#include "weft/plugin.hpp"

namespace {

using lcranknet::Observed;
using lcranknet::Ranking;
using lcranknet::Vector;
using weft::LearningCurve;
using weft::Prediction;

// end = intercept + slope f, with a slope of at least 0.
struct Line {
  double intercept, slope, deviation;

  Line(const Eigen::ArrayXd& f, const Eigen::ArrayXd& ends) {
    const Eigen::ArrayXd off = f - f.mean();
    const double squares = off.square().sum();
    slope = squares > 0.0 ? std::max(0.0, (off * ends).sum() / squares) : 0.0;
    intercept = ends.mean() - slope * f.mean();
    const auto freedom = static_cast<double>(f.size() - 2);
    deviation = std::sqrt((ends - intercept - slope * f).square().sum() / freedom);
  }
};

class LcRankNet final : public weft::Predictor {
 public:
  explicit LcRankNet(const weft::Context& context)
      : scale_(context),
        rng_(context.rng()),
        options_{.sizes = {.kernels = context.get<std::vector<Eigen::Index>>("kernels"),
                           .filters = context.get<int>("filters"),
                           .token = context.get<int>("token"),
                           .units = context.get<int>("units"),
                           .dataset = context.get<int>("dataset"),
                           .hidden = context.get<int>("hidden"),
                           .leak = context.get<double>("leak"),
                           .dropout = context.get<double>("dropout"),
                           .operations = 0,
                           .datasets = 0,
                           .hyperparameters = 0},
                 .operations = context.get<std::size_t>("operations"),
                 .epochs = context.get<int>("epochs"),
                 .pairs = context.get<std::size_t>("pairs"),
                 .batch_size = context.get<std::size_t>("batch_size"),
                 .lr = context.get<double>("lr"),
                 .tie = context.get<double>("tie")} {
    if (options_.sizes.token > options_.sizes.units) {
      throw weft::InvalidInput("/token is " + std::to_string(options_.sizes.token) + "; must not exceed units, " +
                               std::to_string(options_.sizes.units) + ", which the LSTM reads");
    }
  }

  void fit(std::span<const LearningCurve> curves) override {
    finished_.assign(curves.begin(), curves.end());
    rankings_.clear();
  }

  std::optional<Prediction> predict(const LearningCurve& partial, int horizon, double threshold) override {
    const Observed observed(partial, horizon, scale_);
    if (observed.epochs.empty()) return {};
    const Ranking& ranking = ranking_for(horizon);
    const std::vector<Eigen::Index> peers = peers_of(partial, ranking);
    if (peers.size() < least_trainings || !ranking.learned()) return {};

    const Vector f = ranking.scores(partial, observed);
    if (!f.allFinite()) return {};
    Eigen::ArrayXd ends(static_cast<Eigen::Index>(peers.size()));
    for (std::size_t i = 0; i < peers.size(); ++i) {
      ends[static_cast<Eigen::Index>(i)] = ranking.trainings()[static_cast<std::size_t>(peers[i])].end;
    }
    const Eigen::ArrayXd peers_f = f(peers).array();
    const double own = f[f.size() - 1];
    const Line line(peers_f, ends);
    return Prediction{.mean = scale_.to_reward(std::clamp(line.intercept + line.slope * own, 0.0, 1.0)),
                      .deviation = scale_.to_reward_width(line.deviation),
                      .probability_above = 1.0 / (1.0 + std::exp(peers_f[nearest(ends, threshold)] - own))};
  }

 private:
  static constexpr std::size_t least_trainings = 3;  // for a line with residuals

  const Ranking& ranking_for(int horizon) {
    const auto known = rankings_.find(horizon);
    if (known != rankings_.end()) return known->second;
    return rankings_
        .try_emplace(horizon, finished_, horizon, scale_, options_,
                     rng_.derive("horizon", static_cast<std::uint64_t>(horizon)))
        .first->second;
  }

  static std::vector<Eigen::Index> peers_of(const LearningCurve& partial, const Ranking& ranking) {
    const std::string dataset = Ranking::dataset_of(partial);
    std::vector<Eigen::Index> same, all;
    for (const Ranking::Training& training : ranking.trainings()) {
      const auto number = static_cast<Eigen::Index>(all.size());
      all.push_back(number);
      if (training.dataset == dataset) same.push_back(number);
    }
    return same.size() < least_trainings ? all : same;
  }

  // The best, where the threshold is above all.
  Eigen::Index nearest(const Eigen::ArrayXd& ends, double threshold) const {
    const double wanted = std::clamp(scale_.to_unit(threshold), ends.minCoeff(), ends.maxCoeff());
    Eigen::Index nearest = 0;
    (ends - wanted).abs().minCoeff(&nearest);
    return nearest;
  }

  weft::curves::Scale scale_;
  weft::Rng rng_;
  Ranking::Options options_;
  std::vector<LearningCurve> finished_;
  std::map<int, Ranking> rankings_;  // by horizon
};

}  // namespace

WEFT_PLUGIN(weft::component<LcRankNet>("lcranknet"))
