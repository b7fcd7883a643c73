// Structure parameters: for each decision of a supernet one real number per option, of which softmax makes weights.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "weft/rng.hpp"
#include "weft/supernet.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"
#include "weft/torch/updates.hpp"

namespace weft {

class StructureParameters {
 public:
  // Over what the weights add up to 1: the options of a decision; or those of all decisions of one target, the edges
  // into one node (Wistuba et al. 2019, Eq. 16).
  enum class Softmax { per_decision, per_target };

  struct Options {
    double deviation = 1e-3;  // of the normal distribution, with mean 0, that they are drawn from
    Softmax softmax = Softmax::per_decision;
    c10::Device device = c10::kCPU;
    c10::ScalarType type = c10::ScalarType::Float;
  };
  StructureParameters(std::vector<SupernetChoice> choices, const Options& options, Rng rng);

  const std::vector<SupernetChoice>& choices() const { return choices_; }
  // By choice, [options]: leaves that require gradients.
  const std::vector<at::Tensor>& logits() const { return logits_; }
  // By choice, [options], with their graph.
  std::vector<at::Tensor> probabilities() const;
  // Every option, weighted by its probability.
  Gates gates() const;

  OptionWeights weights() const;  // the probabilities, as numbers
  double entropy() const;         // in nats: of each distribution, the mean over all

 private:
  std::vector<SupernetChoice> choices_;
  Options options_;
  std::vector<at::Tensor> logits_;
  std::vector<std::vector<std::size_t>> distributions_;  // choices whose options add up to 1 together
};

// Adam as strategies use it for what they learn besides the weights; clipped nowhere, at a constant rate.
Recipe adam(double lr, std::array<double, 2> betas, double weight_decay, double eps = 1e-8);

}  // namespace weft
