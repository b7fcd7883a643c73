// A training recipe: everything about a training but the network and the data.
//
// An evaluator merges its own arguments with the candidate's recipe (a JSON merge patch) and reads the result with
// from_json; weft/torch/training.hpp follows it. There are no defaults here: they are in the evaluator's manifest.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "weft/json.hpp"
#include "weft/torch/batches.hpp"

namespace weft {

struct Recipe {
  enum class UpdateRuleKind { sgd, adam };
  enum class Schedule { constant, cosine, step, sgdr };
  enum class MixedPrecision { off, bf16 };

  int epochs;
  std::int64_t batch_size;

  UpdateRuleKind update_rule;
  double lr;
  double momentum;              // of sgd
  bool nesterov;                // of sgd
  std::array<double, 2> betas;  // of adam
  double eps;                   // of adam
  double weight_decay;          // times the parameter, added to its gradient; of all parameters
  double gradient_clip;         // largest norm of all gradients together; 0: off

  Schedule schedule;
  int schedule_epochs;          // how long the schedule takes, drop_path's too; 0: as long as the training
  double lr_min;                // where cosine ends, and each period of sgdr
  std::vector<int> milestones;  // of step: epochs that begin with lr multiplied by gamma
  double gamma;
  int restart_epochs;  // of sgdr: the first period
  int restart_factor;  // of sgdr: each period is so many times as long as the one before
  int warmup_epochs;   // during which lr rises linearly from 0

  double label_smoothing;
  double drop_path;         // probability in the last epoch, reached linearly (Zoph et al. 2018, ScheduledDropPath)
  double auxiliary_weight;  // of the auxiliary classifier's loss
  Augmentation augmentation;
  MixedPrecision mixed_precision;

  // `json` has exactly the members above, augmentation's among them. Throws InvalidInput naming the member, its value
  // and what it must be.
  static Recipe from_json(const Json& json);

  // The learning rate `elapsed` epochs after the start, a fraction within an epoch. Cosine (Loshchilov & Hutter 2017,
  // Eq. 5, without restarts): lr_min + (lr - lr_min) (1 + cos(pi t)) / 2, t from 0 to 1 over the schedule's epochs
  // after warm-up. SGDR (the same paper, with its T_0 and T_mult): t from 0 to 1 over each period after warm-up.
  double learning_rate(double elapsed) const;

  // Of an epoch, counted from 1.
  double drop_path_at(int epoch) const { return drop_path * progress(epoch - 1); }

  // Of the schedule, `elapsed` epochs after the start: from 0 to 1.
  double progress(double elapsed) const {
    return std::min(1.0, elapsed / (schedule_epochs > 0 ? schedule_epochs : epochs));
  }
};

}  // namespace weft
