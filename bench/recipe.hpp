// How the benchmarks train: SGD with momentum, at a constant rate, no augmentation.
#pragma once

#include <cstdint>
#include <memory>

#include "weft/torch/recipe.hpp"

namespace weft::bench {

inline Recipe recipe(std::int64_t batch_size) {
  Recipe recipe{};
  recipe.epochs = 1;
  recipe.batch_size = batch_size;
  recipe.update_rule = std::make_shared<Sgd>(0.9);
  recipe.lr = 0.01;
  recipe.weight_decay = 5e-4;
  return recipe;
}

}  // namespace weft::bench
