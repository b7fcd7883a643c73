// What a step descends, and what is reported of a pass over the data.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"

namespace weft {

struct Score {
  double loss;      // mean cross-entropy, in nats
  double accuracy;  // percent
};

// The mean over all answers. Logits [n, classes] and labels [n], or [n, positions, classes] and [n, positions].
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing);

// The recipe's: label smoothing, and the auxiliary classifier's loss where the output has one.
at::Tensor training_loss(const Network::Output& output, const at::Tensor& labels, const Recipe& recipe);

// Sums of a pass over the data, kept on the device so that no step waits for it.
class Totals {
 public:
  explicit Totals(c10::Device device);

  void add(const at::Tensor& mean_loss, const at::Tensor& logits, const at::Tensor& labels);
  bool finite() const;  // waits for the device
  Score score() const;

 private:
  at::Tensor sums_;  // double: of losses, of correct answers
  std::int64_t answers_ = 0;
};

}  // namespace weft
