// The parameters of a training, and how its steps change them: clipping, weight decay, and an update rule.
//
// The training loop makes one per training; then, per step: zero_grad(), backward, step(). While it lives, parameters
// and gradients are views of one buffer each, so that a step is a handful of operations, however many parameters there
// are. Unlike LibTorch's, it therefore decays parameters without a gradient too, unless it is told who took part.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weft/torch/recipe.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft {

// How large a step is.
struct Pace {
  double lr;
  double progress = 0.0;                // of the schedule, from 0 to 1
  std::optional<double> momentum = {};  // what the schedule wants of the rule's momentum
};

class Updates {
 public:
  // Whether every parameter takes part in every step, or each in those that are given it, counted for each: of a
  // network of which only a part is computed.
  enum class Parts { all, some };

  // `parameters` are dense leaves of one device and type float; others may hold handles to them. Of the recipe: the
  // update rule, weight decay and gradient_clip.
  Updates(std::vector<at::Tensor> parameters, const Recipe& recipe, Parts parts = Parts::all);
  // Gives each parameter memory of its own again, and no gradient.
  ~Updates();
  Updates(const Updates&) = delete;
  Updates& operator=(const Updates&) = delete;

  void zero_grad() { gradients_.zero_(); }
  // Of all parameters, side by side as in state()'s "parameters".
  const at::Tensor& gradients() const { return gradients_; }
  // Clips the gradients, changes the parameters.
  void step(const Pace& pace);
  void step(double lr) { step(Pace{lr}); }
  // With Parts::some: only those parameters that took part, by their order; the others keep their values and what is
  // remembered of them to the bit. Gradients are clipped by the norm of all.
  void step(const Pace& pace, const std::vector<bool>& took_part);
  void step(double lr, const std::vector<bool>& took_part) { step(Pace{lr}, took_part); }

  // All there is to store and, by copying into it, to restore: the parameters and what the rule remembers.
  const std::map<std::string, at::Tensor>& state() const { return state_; }

 private:
  // Parameters that lie side by side in the buffers, and have taken part in equally many steps, this one included.
  struct Range {
    std::int64_t first, size;
    std::int64_t steps;
  };
  void clip();
  void change(const Range& range, const Pace& pace);
  std::vector<Range> ranges(const std::vector<bool>& took_part);

  std::shared_ptr<const UpdateRule> rule_;
  double weight_decay_, gradient_clip_;
  std::vector<at::Tensor> parameters_;
  at::Tensor values_, gradients_;  // [all parameters' elements]
  at::Tensor decayed_;             // the same: 1 where weight decay applies, else 0; undefined: it applies to all
  std::map<std::string, at::Tensor> state_;
};

}  // namespace weft
