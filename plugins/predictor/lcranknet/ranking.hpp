// Trainings that were run to the end of one horizon, and the network that ranks them by what is seen of them early.
//
// Wistuba, Pedapati 2020, "Learning to Rank Learning Curves": cross-entropy over pairs, Adam. Curves are padded with
// their last value beside a channel that says what was observed; pairs are within a data set; both of a pair are cut
// after the same epoch, drawn anew each time (ours, as the paper's own sampling is not known to us).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rank_network.hpp"
#include "weft/controllers/ascent.hpp"
#include "weft/curve.hpp"
#include "weft/curves/features.hpp"
#include "weft/curves/scale.hpp"
#include "weft/rng.hpp"

namespace lcranknet {

using weft::Json;
using weft::LearningCurve;
using weft::curves::Standardised;

// The points of a curve up to the horizon, from 0 to 1.
struct Observed {
  std::vector<int> epochs = {};
  std::vector<double> rewards = {};

  Observed(const LearningCurve& curve, int horizon, const weft::curves::Scale& scale) {
    for (std::size_t i = 0; i < curve.size(); ++i) {
      if (curve.epochs[i] < 1 || curve.epochs[i] > horizon || !std::isfinite(curve.rewards[i])) continue;
      epochs.push_back(curve.epochs[i]);
      rewards.push_back(std::clamp(scale.to_unit(curve.rewards[i]), 0.0, 1.0));
    }
  }

  // Reward and mask of each epoch, cut after epoch `cut`. Epochs without a point have the reward before, the first ones
  // that of the first point.
  Vector cut_after(int cut, Eigen::Index positions) const {
    const auto seen = static_cast<std::size_t>(std::upper_bound(epochs.begin(), epochs.end(), cut) - epochs.begin());
    Vector column = Vector::Zero(CurveEncoder::channels * positions);
    if (seen == 0) return column;
    std::size_t at = 0;
    for (Eigen::Index position = 0; position < positions; ++position) {
      while (at + 1 < seen && epochs[at + 1] <= position + 1) ++at;
      column[CurveEncoder::channels * position] = rewards[at];
      column[CurveEncoder::channels * position + 1] = position < epochs[seen - 1] ? 1.0 : 0.0;
    }
    return column;
  }
};

class Ranking {
 public:
  struct Options {
    RankNetwork::Sizes sizes;  // those of the network; how many operations and the like there are is found
    std::size_t operations;    // the first of an architecture that are read
    int epochs;
    std::size_t pairs, batch_size;
    double lr, tie;
  };
  struct Training {
    Observed observed;
    double end;  // the reward after the horizon
    std::string dataset;
  };

  // Of those that came to the horizon.
  Ranking(std::span<const LearningCurve> curves, int horizon, const weft::curves::Scale& scale, const Options& options,
          const Rng& rng)
      : options_(options), horizon_(horizon), positions_(horizon) {
    for (const Eigen::Index kernel : options.sizes.kernels) positions_ = std::max(positions_, kernel);
    std::vector<LearningCurve> used;
    for (const LearningCurve& curve : curves) {
      Observed observed(curve, horizon, scale);
      if (observed.epochs.empty() || curve.epochs.back() < horizon) continue;
      const double end = observed.rewards.back();
      trainings_.push_back({std::move(observed), end, dataset_of(curve)});
      used.push_back(curve);
    }
    standardised_ = Standardised(used);
    for (const LearningCurve& curve : used) learn_names(curve);
    for (const LearningCurve& curve : used) add_sample(curve);
    learn(rng);
  }

  std::span<const Training> trainings() const { return trainings_; }
  // Of the data sets of which there are two trainings or more, none: no pair was there to learn from.
  bool learned() const { return network_.has_value(); }

  // f of each training, and last of this curve, all of them cut where this curve ends.
  Vector scores(const LearningCurve& curve, const Observed& observed) const {
    Samples samples = samples_of(every_training());
    std::vector<Tokens> tokens = tokens_;
    tokens.push_back(tokens_of(curve));
    const Eigen::Index last = samples.hyperparameters.cols();
    samples.curves.resize(CurveEncoder::channels * positions_, last + 1);
    for (Eigen::Index i = 0; i < last; ++i) {
      samples.curves.col(i) =
          trainings_[static_cast<std::size_t>(i)].observed.cut_after(observed.epochs.back(), positions_);
    }
    samples.curves.col(last) = observed.cut_after(observed.epochs.back(), positions_);
    samples.hyperparameters.conservativeResize(Eigen::NoChange, last + 1);
    samples.hyperparameters.col(last) = standardised_.of(curve);
    samples.architectures.push_back(tokens.size() - 1);
    samples.datasets.push_back(number_of(datasets_, dataset_of(curve)));
    return network_->scores(samples, tokens);
  }

  static std::string dataset_of(const LearningCurve& curve) {
    return curve.features.is_object() && curve.features.contains("dataset") ? curve.features.at("dataset").dump() : "";
  }

 private:
  using Numbers = std::map<std::string, Eigen::Index>;
  struct Pair {
    std::size_t first, second;
    double target;
  };

  static Eigen::Index number_of(const Numbers& numbers, const std::string& name) {
    const auto at = numbers.find(name);
    return at == numbers.end() ? -1 : at->second;
  }
  static void learn_name(Numbers& numbers, const std::string& name) {
    numbers.emplace(name, static_cast<Eigen::Index>(numbers.size()));
  }
  // The first operations of the architecture.
  std::vector<std::string> operations_of(const LearningCurve& curve) const {
    std::vector<std::string> operations;
    if (!curve.features.is_object() || !curve.features.contains("operations")) return operations;
    for (const Json& operation : curve.features.at("operations")) {
      if (operations.size() == options_.operations) break;
      operations.push_back(operation.is_string() ? operation.get<std::string>() : operation.dump());
    }
    return operations;
  }
  void learn_names(const LearningCurve& curve) {
    learn_name(datasets_, dataset_of(curve));
    for (const std::string& operation : operations_of(curve)) learn_name(operations_, operation);
  }
  Tokens tokens_of(const LearningCurve& curve) const {
    Tokens tokens;
    for (const std::string& operation : operations_of(curve)) tokens.push_back(number_of(operations_, operation));
    return tokens;
  }

  // What does not depend on where the curve is cut; equal architectures are read once.
  void add_sample(const LearningCurve& curve) {
    const Tokens tokens = tokens_of(curve);
    const auto [known, is_new] = places_.emplace(tokens, tokens_.size());
    architectures_.push_back(known->second);
    if (is_new) tokens_.push_back(tokens);
    hyperparameters_.push_back(standardised_.of(curve));
  }
  std::vector<std::size_t> every_training() const {
    std::vector<std::size_t> every(trainings_.size());
    for (std::size_t i = 0; i < every.size(); ++i) every[i] = i;
    return every;
  }
  // Without curves.
  Samples samples_of(const std::vector<std::size_t>& chosen) const {
    Samples samples;
    samples.hyperparameters.resize(standardised_.size(), static_cast<Eigen::Index>(chosen.size()));
    for (const std::size_t training : chosen) {
      const auto column = static_cast<Eigen::Index>(samples.datasets.size());
      samples.hyperparameters.col(column) = hyperparameters_[training];
      samples.architectures.push_back(architectures_[training]);
      samples.datasets.push_back(number_of(datasets_, trainings_[training].dataset));
    }
    return samples;
  }

  // All pairs of a data set's trainings by number: of the k-th of its trainings with each before it.
  struct Peers {
    std::vector<std::size_t> trainings;
    std::size_t first_pair;
  };

  Pair pair(const std::vector<Peers>& groups, std::size_t number) const {
    const auto after = std::upper_bound(groups.begin(), groups.end(), number,
                                        [](std::size_t n, const Peers& peers) { return n < peers.first_pair; });
    const Peers& peers = *(after - 1);
    const std::size_t within = number - peers.first_pair;
    auto later = static_cast<std::size_t>((1.0 + std::sqrt(1.0 + 8.0 * static_cast<double>(within))) / 2.0);
    while (later * (later - 1) / 2 > within) --later;
    while ((later + 1) * later / 2 <= within) ++later;
    const std::size_t i = peers.trainings[later], j = peers.trainings[within - later * (later - 1) / 2];
    const double difference = trainings_[i].end - trainings_[j].end;
    return {i, j, std::abs(difference) < options_.tie ? 0.5 : (difference > 0.0 ? 1.0 : 0.0)};
  }

  // So many different numbers below `count`, or all there are, in random order.
  static std::vector<std::size_t> drawn(std::size_t most, std::size_t count, Rng& rng) {
    std::vector<std::size_t> numbers;
    if (count <= 2 * most) {
      for (std::size_t number = 0; number < count; ++number) numbers.push_back(number);
      rng.shuffle(numbers);
      numbers.resize(std::min(most, count));
      return numbers;
    }
    std::set<std::size_t> taken;
    while (numbers.size() < most) {
      const std::size_t number = rng.below(count);
      if (taken.insert(number).second) numbers.push_back(number);
    }
    return numbers;
  }

  void learn(const Rng& rng) {
    std::map<std::string, Peers> by_dataset;
    for (std::size_t i = 0; i < trainings_.size(); ++i) by_dataset[trainings_[i].dataset].trainings.push_back(i);
    std::vector<Peers> groups;
    std::size_t pairs = 0;
    for (auto& [dataset, peers] : by_dataset) {
      const std::size_t count = peers.trainings.size();
      if (count < 2) continue;
      groups.push_back({std::move(peers.trainings), pairs});
      pairs += count * (count - 1) / 2;
    }
    if (pairs == 0) return;
    RankNetwork::Sizes sizes = options_.sizes;
    sizes.operations = static_cast<Eigen::Index>(operations_.size());
    sizes.datasets = static_cast<Eigen::Index>(datasets_.size());
    sizes.hyperparameters = standardised_.size();
    network_.emplace(sizes, rng.derive("network"));
    weft::controllers::Ascent adam(weft::controllers::Ascent::Rule::adam, options_.lr);
    Rng order = rng.derive("order");
    std::uint64_t steps = 0;
    for (int epoch = 0; epoch < options_.epochs; ++epoch) {
      std::vector<Pair> chosen;
      for (const std::size_t number : drawn(options_.pairs, pairs, order)) chosen.push_back(pair(groups, number));
      for (std::size_t at = 0; at < chosen.size(); at += options_.batch_size) {
        const std::size_t size = std::min(options_.batch_size, chosen.size() - at);
        step(std::span<const Pair>(chosen).subspan(at, size), rng.derive("step", steps++));
        adam.step(network_->parameters, -1.0);
      }
    }
  }

  // The gradient of a batch's loss.
  void step(std::span<const Pair> batch, const Rng& rng) {
    const auto count = static_cast<Eigen::Index>(batch.size());
    Rng cuts = rng.derive("cuts");
    Vector targets(count);
    std::vector<std::size_t> chosen(2 * batch.size());
    Matrix curves(CurveEncoder::channels * positions_, 2 * count);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto column = static_cast<Eigen::Index>(i);
      const int cut = 1 + static_cast<int>(cuts.below(static_cast<std::size_t>(horizon_)));
      targets[column] = batch[i].target;
      chosen[i] = batch[i].first;
      chosen[batch.size() + i] = batch[i].second;
      curves.col(column) = trainings_[batch[i].first].observed.cut_after(cut, positions_);
      curves.col(count + column) = trainings_[batch[i].second].observed.cut_after(cut, positions_);
    }
    Samples samples = samples_of(chosen);
    samples.curves = std::move(curves);
    network_->loss(samples, tokens_, targets, rng.derive("dropout"));
  }

  Options options_;
  int horizon_;
  Eigen::Index positions_;
  std::vector<Training> trainings_;
  Standardised standardised_;
  Numbers operations_, datasets_;
  std::vector<Tokens> tokens_;
  std::map<Tokens, std::size_t> places_;  // in tokens_
  std::vector<std::size_t> architectures_;
  std::vector<Vector> hyperparameters_;
  std::optional<RankNetwork> network_;
};

}  // namespace lcranknet
