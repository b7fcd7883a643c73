#include "weft/torch/precision.hpp"

#include <ATen/autocast_mode.h>
#include <torch/version.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "weft/error.hpp"

namespace weft {
namespace {

bool cpu_has_bf16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool avx512_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 5)) != 0;
  const bool amx_bf16 = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & (1U << 22)) != 0;
  return avx512_bf16 || amx_bf16;
#else
  return false;
#endif
}

}  // namespace

void check_precision(Recipe::MixedPrecision precision, c10::Device device) {
  if (precision == Recipe::MixedPrecision::off || device.is_cuda() || cpu_has_bf16()) return;
  throw Error(
      "/mixed_precision is \"bf16\"; needs a CPU with AVX512-BF16 or AMX, or a CUDA device. This CPU has neither and "
      "would be slower for it: set it to \"off\"");
}

Autocast::Autocast(Recipe::MixedPrecision precision, c10::Device device)
    : on_(precision == Recipe::MixedPrecision::bf16), device_(device) {
  if (on_) set(true);
}

Autocast::~Autocast() {
  if (!on_) return;
  set(false);
  at::autocast::clear_cache();
}

void Autocast::set(bool on) const {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  at::autocast::set_autocast_dtype(device_.type(), at::kBFloat16);
  at::autocast::set_autocast_enabled(device_.type(), on);
#else
  if (device_.is_cuda()) {
    at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
    at::autocast::set_enabled(on);
  } else {
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(on);
  }
#endif
}

}  // namespace weft
