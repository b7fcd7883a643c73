// For which instruction sets the kernels are compiled; to be included before hwy/foreach_target.h.
#pragma once

// Vectors of these have no size that the compiler knows, and cannot lie in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
