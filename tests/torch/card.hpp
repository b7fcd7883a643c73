// For tests that also run on a CUDA card where there is one. They have the tag [card].
#pragma once

#include <ATen/Context.h>
#include <c10/core/Device.h>

#include <optional>

#include "tests/catch.hpp"

// The CPU, then the first card; the latter without value where there is none.
inline std::optional<c10::Device> cpu_or_card() {
  const bool card = GENERATE(false, true);
  if (!card) return c10::Device(c10::kCPU);
  if (at::hasCUDA()) return c10::Device(c10::kCUDA, 0);
  WARN("on the CPU alone: LibTorch finds no CUDA card");
  return {};
}
