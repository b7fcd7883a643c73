// A surrogate with what it has learnt from: the last rewards, and when it is fitted to them.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "options.hpp"
#include "surrogate.hpp"
#include "value_network.hpp"
#include "weft/context.hpp"
#include "weft/rng.hpp"
#include "weft/space.hpp"

namespace mcts {

using Encoding = std::vector<float>;  // one for each feature of the space's encoding

class RewardModel {
 public:
  // Where a space's encoding cannot be had this throws as it does.
  RewardModel(const weft::Context& context, const Options& options, const weft::SpaceRef& space, weft::Rng& rng)
      : space_(space), refit_every_(options.refit_every), memory_(options.memory) {
    if (options.surrogate == "none") return;
    weft::Rng probe = context.rng().derive("probe");
    const std::size_t inputs = space_.encode(space_.sample(probe)).size();
    if (options.surrogate == "ridge") surrogate_ = std::make_unique<Ridge>(context.get<double>("ridge_penalty"));
    if (options.surrogate == "network") {
      const ValueNetwork::Options network{.hidden = context.get<std::vector<std::size_t>>("hidden"),
                                          .lr = context.get<double>("lr"),
                                          .batch_size = context.get<std::size_t>("batch_size"),
                                          .epochs = context.get<int>("epochs")};
      surrogate_ = std::make_unique<ValueNetwork>(inputs, network, rng);
    }
  }

  bool exists() const { return surrogate_ != nullptr; }
  bool fitted() const { return fitted_; }

  Encoding encode(const weft::Genotype& genotype) const {
    const std::vector<double> code = space_.encode(genotype);
    return {code.begin(), code.end()};
  }

  // Without a reward the candidate has failed, which is worth `failure`: that is to be predicted, too. Of failures
  // alone nothing is learnt.
  void learn(Encoding encoding, std::optional<double> reward, std::optional<double> failure, weft::Rng& rng) {
    if (reward) highest_ = std::max(highest_, *reward);
    remembered_.push_back({std::move(encoding), reward});
    if (remembered_.size() > memory_) remembered_.pop_front();
    if (++unlearnt_ < refit_every_ || !failure) return;
    unlearnt_ = 0;
    fitted_ = true;
    std::vector<Encoding> encodings;
    Eigen::VectorXf rewards(static_cast<Eigen::Index>(remembered_.size()));
    for (const Remembered& sample : remembered_) {
      rewards(static_cast<Eigen::Index>(encodings.size())) = static_cast<float>(sample.reward.value_or(*failure));
      encodings.push_back(sample.encoding);
    }
    surrogate_->fit(as_columns(encodings), rewards, rng);
  }

  // After a fit. One prediction for each.
  Eigen::VectorXf predict(const std::vector<Encoding>& encodings) const {
    Eigen::VectorXf predicted = surrogate_->predict(as_columns(encodings));
    if (!predicted.allFinite()) {
      throw weft::Error("the surrogate predicts a reward that is not finite: the rewards, up to " +
                        std::to_string(highest_) + ", are too large for it, or the network's /lr is");
    }
    return predicted;
  }

 private:
  struct Remembered {
    Encoding encoding;
    std::optional<double> reward;
  };

  // features x samples
  static Eigen::MatrixXf as_columns(const std::vector<Encoding>& encodings) {
    const auto features = static_cast<Eigen::Index>(encodings.front().size());
    Eigen::MatrixXf columns(features, static_cast<Eigen::Index>(encodings.size()));
    for (Eigen::Index i = 0; i < columns.cols(); ++i) {
      columns.col(i) = Eigen::Map<const Eigen::VectorXf>(encodings[static_cast<std::size_t>(i)].data(), features);
    }
    return columns;
  }

  weft::SpaceRef space_;
  std::size_t refit_every_;
  std::size_t memory_;
  std::unique_ptr<Surrogate> surrogate_;
  std::deque<Remembered> remembered_;
  std::size_t unlearnt_ = 0;  // rewards since the last fit
  bool fitted_ = false;
  double highest_ = -std::numeric_limits<double>::infinity();  // reward so far
};

}  // namespace mcts
