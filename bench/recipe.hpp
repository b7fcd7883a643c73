// How the benchmarks train: SGD with momentum, no augmentation.
#pragma once

#include <cstdint>

#include "weft/torch/recipe.hpp"

namespace weft::bench {

// `changes` is a merge patch.
inline Recipe recipe(std::int64_t batch_size, const Json& changes) {
  Json json = {{"epochs", 1},
               {"batch_size", batch_size},
               {"update_rule", "sgd"},
               {"lr", 0.01},
               {"momentum", 0.9},
               {"nesterov", false},
               {"betas", {0.9, 0.999}},
               {"eps", 1e-8},
               {"weight_decay", 5e-4},
               {"gradient_clip", 0},
               {"schedule", "constant"},
               {"lr_min", 0},
               {"milestones", Json::array()},
               {"gamma", 1},
               {"restart_epochs", 1},
               {"restart_factor", 1},
               {"warmup_epochs", 0},
               {"label_smoothing", 0},
               {"drop_path", 0},
               {"auxiliary_weight", 0},
               {"crop_padding", 0},
               {"flip", false},
               {"cutout", 0},
               {"mixed_precision", "off"}};
  json.merge_patch(changes);
  return Recipe::from_json(json);
}

}  // namespace weft::bench
