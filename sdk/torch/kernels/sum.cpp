// Sums of many tensors: each is read once, and the sum written once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sum.cpp"
#include "targets.hpp"
// The order matters: targets.hpp comes first, then foreach_target.h compiles what follows once for each target.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void add_up(const T* const* terms, std::int64_t count, std::int64_t size, T* y, const Parallel& parallel) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t piece = 16384;
  parallel((size + piece - 1) / piece, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t end = std::min(size, last * piece);
    std::int64_t at = first * piece;
    for (; at + lanes <= end; at += lanes) {
      auto total = hn::Add(hn::LoadU(d, terms[0] + at), hn::LoadU(d, terms[1] + at));
      for (std::int64_t i = 2; i < count; ++i) total = hn::Add(total, hn::LoadU(d, terms[i] + at));
      hn::StoreU(total, d, y + at);
    }
    for (; at < end; ++at) {
      T total = terms[0][at] + terms[1][at];
      for (std::int64_t i = 2; i < count; ++i) total += terms[i][at];
      y[at] = total;
    }
  });
}

void add_up_float(const float* const* terms, std::int64_t count, std::int64_t size, float* y,
                  const Parallel& parallel) {
  add_up(terms, count, size, y, parallel);
}
void add_up_double(const double* const* terms, std::int64_t count, std::int64_t size, double* y,
                   const Parallel& parallel) {
  add_up(terms, count, size, y, parallel);
}

}  // namespace weft::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(add_up_float);
HWY_EXPORT(add_up_double);

template <>
void sum(const float* const* terms, std::int64_t count, std::int64_t size, float* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(add_up_float)(terms, count, size, y, parallel);
}
template <>
void sum(const double* const* terms, std::int64_t count, std::int64_t size, double* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(add_up_double)(terms, count, size, y, parallel);
}

}  // namespace weft::kernels
#endif
