// What steers a training of which each step computes a part of the network: which part, and what is learned beside the
// weights.
//
// The training loop (weft/torch/training.hpp) calls it in this order, per step: before_step, passes, for each pass
// after_pass, moves, after_step. It may run the network itself in between, and leaves it in training mode.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/updates.hpp"

namespace weft {

// Once forward and backward. The gradients of a step's passes add up.
struct Pass {
  Gates gates;
  double weight = 1.0;  // of its loss
  std::int64_t first = 0;
  std::int64_t count = -1;  // of the batch's examples, from the first; below 0: all that follow
};

struct Step {
  int epoch;           // from 1
  std::size_t index;   // in the epoch, from 0
  std::size_t count;   // of the epoch's steps
  double elapsed;      // epochs since the start
  Pace pace;           // of the weights
  const Batch& batch;  // of the weights
};

class Guide {
 public:
  virtual ~Guide() = default;

  // Once: `weights` are the network's, and live as long as the training.
  virtual void begin(const Updates& /*weights*/) {}
  // `rng` is the epoch's own; whatever it draws comes of it.
  virtual void begin_epoch(int /*epoch*/, const Rng& /*rng*/) {}
  // What it leaves in the weights' gradients is cleared.
  virtual void before_step(const Step& /*step*/) {}
  virtual std::vector<Pass> passes(const Step& step) = 0;
  // `loss` is the pass's, not weighted; its gradients are there.
  virtual void after_pass(const Step& /*step*/, const Pass& /*pass*/, const at::Tensor& /*loss*/) {}
  // Which of the weights that took part in the step are moved, by the order of parameters().
  virtual std::vector<bool> moves(std::vector<bool> took_part) { return took_part; }
  virtual void after_step(const Step& /*step*/) {}
  // After the epoch's last step, before it is validated: chooses what of the network is.
  virtual void end_epoch(int /*epoch*/) {}
  // What the epoch's report has besides.
  virtual Json report() { return Json::object(); }
  // All that is learned besides the weights, by names of its own; what is copied into it is what it goes on from.
  // Called anew for every checkpoint.
  virtual NamedTensors state() = 0;
};

}  // namespace weft
