// How likely the labels of a batch are under a distribution of architectures, and its gradient, by samples: Casale,
// Gordon, Fusi 2019, section 3.
//
// The evidence p(y|X, v, pi) is the sum over all paths a of p(y|X, v, a) p(a|pi), where p(a|pi) is the product of
// independent categoricals, one for each decision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <vector>

#include "weft/rng.hpp"
#include "weft/supernet.hpp"

namespace parsec {

// A path of one option for each decision.
struct Sample {
  weft::SupernetPath path;
  double share;  // of the draws that came out as this path
};

// `count` draws from p(a|pi); each path once.
inline std::vector<Sample> draw(const weft::OptionWeights& probabilities, int count, weft::Rng& rng) {
  std::map<weft::SupernetPath, int> drawn;
  for (int i = 0; i < count; ++i) {
    weft::SupernetPath path;
    for (const auto& [decision, of_options] : probabilities)
      path[decision] = {static_cast<int>(rng.weighted(of_options))};
    ++drawn[path];
  }
  std::vector<Sample> samples;
  for (const auto& [path, times] : drawn) samples.push_back({path, times / static_cast<double>(count)});
  return samples;
}

// What each sample has of the posterior: omega_k = share_k exp(l_k) / sum_j share_j exp(l_j), of log likelihoods l.
inline std::vector<double> posterior(const std::vector<Sample>& samples, const std::vector<double>& log_likelihoods) {
  const double most = std::ranges::max(log_likelihoods);  // exp of the rest cannot overflow
  std::vector<double> weights;
  double sum = 0.0;
  for (std::size_t k = 0; k < samples.size(); ++k) {
    weights.push_back(samples[k].share * std::exp(log_likelihoods[k] - most));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// How many samples the weights amount to, of `count` draws: all where they weigh the same, 1 where one has all.
inline double effective(const std::vector<Sample>& samples, const std::vector<double>& weights, int count) {
  double squares = 0.0;
  for (std::size_t k = 0; k < samples.size(); ++k) squares += weights[k] * weights[k] / (samples[k].share * count);
  return 1.0 / squares;
}

// The gradient of the log evidence in the logits of the categoricals, sum_k omega_k d log p(a_k|pi): of each option how
// much more probable the posterior has it than the prior.
inline weft::OptionWeights gradient(const weft::OptionWeights& probabilities, const std::vector<Sample>& samples,
                                    const std::vector<double>& weights) {
  weft::OptionWeights gradient = probabilities;
  for (auto& [decision, of_options] : gradient) {
    for (double& number : of_options) number = -number;
    for (std::size_t k = 0; k < samples.size(); ++k)
      of_options[static_cast<std::size_t>(samples[k].path.at(decision).front())] += weights[k];
  }
  return gradient;
}

}  // namespace parsec
