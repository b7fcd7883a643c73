// What a step descends, an ingredient of a recipe; and what is reported of a pass over the data.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "weft/torch/augmentation.hpp"
#include "weft/torch/ingredient.hpp"
#include "weft/torch/network.hpp"

namespace weft {

class Loss {
 public:
  using IngredientKind = Loss;
  static constexpr const char* kind = "loss";
  static constexpr const char* interface_id = "weft.torch.loss/1";

  struct Terms {
    Network& network;  // in training mode, its output computed
    const Batch& batch;
    const Network::Output& output;
    double progress;  // of the schedule, from 0 to 1
  };

  virtual ~Loss() = default;
  // A scalar, with its graph; undefined: nothing at present.
  virtual at::Tensor loss(const Terms& terms) const = 0;
  // Whether it only adds to what is learned from examples: a recipe must have a loss that does not.
  virtual bool is_penalty() const { return false; }
};

struct Score {
  double loss;      // mean cross-entropy, in nats; of a training what its steps descended, all losses together
  double accuracy;  // percent
};

// The mean over all answers. Logits [n, classes] and labels [n], or [n, positions, classes] and [n, positions].
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing);
// Of mixed examples that to both labels, by their shares (Zhang et al. 2018).
at::Tensor cross_entropy(const at::Tensor& logits, const Batch& batch, double label_smoothing = 0.0);

// Cross-entropy, of which `label_smoothing` is the share of the target that is spread over all classes (Szegedy et al.
// 2016, section 7); and that of the auxiliary classifier, where there is one, times `auxiliary_weight`.
class CrossEntropy : public Loss {
 public:
  explicit CrossEntropy(double label_smoothing = 0.0, double auxiliary_weight = 0.0)
      : label_smoothing_(label_smoothing), auxiliary_weight_(auxiliary_weight) {}
  at::Tensor loss(const Terms& terms) const override;

 private:
  double label_smoothing_, auxiliary_weight_;
};

// All of them added up; without any, cross-entropy.
at::Tensor training_loss(const Loss::Terms& terms, const std::vector<std::shared_ptr<const Loss>>& losses);

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
