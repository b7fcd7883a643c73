// A WeightTransfer (weft/weight_transfer.hpp) executed on tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "weft/rng.hpp"
#include "weft/torch/network.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {

using NamedTensors = std::map<std::string, at::Tensor>;

struct Inherited {
  NamedTensors tensors;                 // by the child's names; each its own memory or the parent's
  std::vector<std::string> fresh;       // that the child begins with itself
  std::vector<std::string> calibrated;  // that are to be measured on a batch
};

// What becomes of the parent's tensors. Throws InvalidInput naming step, tensor and extents where a rule does not fit
// them: a source that is not there, an index out of range, a scale of another length.
Inherited inherit(const NamedTensors& parent, const WeightTransfer& transfer, Rng rng);

// The same for what an update rule keeps of each parameter, a moment of its gradients: where a parameter does not
// follow from the parent's, zeros; no noise.
NamedTensors inherit_moments(const NamedTensors& parent, const WeightTransfer& transfer);

// Takes them into the child, whose names and extents they must have. Throws InvalidInput naming all that differ, and
// leaves the child as it was.
void take_over(Network& child, const Inherited& inherited);

}  // namespace weft
