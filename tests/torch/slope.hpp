// Derivatives by central differences, for tests of gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace weft::testing {

// Of `value`, which is called twice, by one entry of a contiguous tensor of doubles that it depends on; the entry is
// afterwards what it was.
template <typename Value>
double slope(const at::Tensor& leaf, std::int64_t entry, const Value& value, double h = 1e-5) {
  double& number = leaf.data_ptr<double>()[entry];
  const double kept = number;
  number = kept + h;
  const double above = value();
  number = kept - h;
  const double below = value();
  number = kept;
  return (above - below) / (2 * h);
}

}  // namespace weft::testing
