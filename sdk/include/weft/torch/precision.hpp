// Mixed precision: what of a step is computed in bfloat16.
#pragma once

#include <c10/core/Device.h>

#include "weft/torch/recipe.hpp"

namespace weft {

// Throws Error if the device cannot compute in that precision, or only slower than without.
void check_precision(Recipe::MixedPrecision precision, c10::Device device);

// Autocast while it lives, if the precision asks for it. The weights' copies that autocast keeps are dropped at its
// end: the next step changes the weights.
class Autocast {
 public:
  Autocast(Recipe::MixedPrecision precision, c10::Device device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  void set(bool on) const;

  bool on_;
  c10::Device device_;
};

}  // namespace weft
