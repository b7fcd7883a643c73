// The first values of a vector, of which no more may be touched. Compiled once for each instruction set.
#if defined(WEFT_KERNELS_PARTIAL_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WEFT_KERNELS_PARTIAL_INL
#undef WEFT_KERNELS_PARTIAL_INL
#else
#define WEFT_KERNELS_PARTIAL_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// From AVX2 on the machine leaves alone what a mask excludes. Others read and write whole vectors, and want them
// aligned.
#define WEFT_MASKS (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2)

// Zeros behind them.
template <typename D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_first(D d, std::int64_t count, const T* from) {
#if WEFT_MASKS
  return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, from);
#else
  HWY_ALIGN T values[HWY_MAX_BYTES / sizeof(T)] = {};
  std::copy_n(from, count, values);
  return hn::Load(d, values);
#endif
}

template <typename D, typename T = hn::TFromD<D>>
HWY_INLINE void store_first(D d, std::int64_t count, hn::Vec<D> value, T* to) {
#if WEFT_MASKS
  hn::BlendedStore(value, hn::FirstN(d, static_cast<std::size_t>(count)), d, to);
#else
  HWY_ALIGN T values[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(value, d, values);
  std::copy_n(values, count, to);
#endif
}

#undef WEFT_MASKS

}  // namespace weft::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
