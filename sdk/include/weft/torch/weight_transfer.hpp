// A WeightTransfer (weft/weight_transfer.hpp) executed on tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "weft/rng.hpp"
#include "weft/torch/network.hpp"
#include "weft/weight_transfer.hpp"

namespace weft {

struct Inherited {
  NamedTensors tensors;                 // by the child's names; each its own memory or the parent's
  std::vector<std::string> fresh;       // that the child begins with itself
  std::vector<std::string> calibrated;  // that are to be measured on a batch
};

// What becomes of the parent's tensors. Throws InvalidInput naming step, tensor and extents where a rule does not fit
// them: a source that is not there, an index out of range, a scale of another length.
Inherited inherit(const NamedTensors& parent, const WeightTransfer& transfer, Rng rng);

// The same for what an update rule keeps of each parameter, moments of its gradients of the first or second order: those
// that a morph's child would have had, of which c copies of a channel have 1/c of the gradient each. Where a parameter
// does not follow from the parent's, zeros; no noise.
NamedTensors inherit_moments(const NamedTensors& parent, const WeightTransfer& transfer, int order);

// Takes them into the child, whose names and extents they must have. Throws InvalidInput naming all that differ, and
// leaves the child as it was.
void take_over(Network& child, const Inherited& inherited);

// Measures what is to be calibrated, tensors of batch norms, on examples as the network takes them: the mean and the
// biased variance of what a batch norm reads in evaluation. Its weight and bias become those that make it the identity
// then (Cai et al. 2018a, section 4.1, for Net2Deeper). Throws InvalidInput naming the first that is none of a batch norm's.
void calibrate(Network& network, const std::vector<std::string>& tensors, const at::Tensor& examples);

}  // namespace weft
