// The weighted sum of several tensors, and its gradients: each of them is read once.
//
// Values are taken in pieces that stay in the nearest cache while one tensor after the other goes by.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "weighted_sum.cpp"
#include "targets.hpp"
// The order matters: targets.hpp comes first, then foreach_target.h compiles what follows once for each target.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels.hpp"
#include "partial-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t piece_size = 2048;  // values

// body(at, load, store) for every vector of a piece; beyond the end of the last one zeros are loaded and nothing
// stored.
template <typename T, typename Body>
HWY_INLINE void for_each(std::int64_t piece, std::int64_t size, const Body& body) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t last = std::min(size, (piece + 1) * piece_size);
  std::int64_t at = piece * piece_size;
  for (; at + lanes <= last; at += lanes)
    body(
        at, [d](const T* from) { return hn::LoadU(d, from); }, [d](V value, T* to) { hn::StoreU(value, d, to); });
  if (at == last) return;
  const std::int64_t some = last - at;
  body(
      at, [&](const T* from) { return load_first(d, some, from); },
      [&](V value, T* to) { store_first(d, some, value, to); });
}

std::int64_t pieces_of(std::int64_t size) { return (size + piece_size - 1) / piece_size; }

template <typename T>
void forward(std::int64_t size, const std::vector<const T*>& x, const T* weights, T* y, const Parallel& parallel) {
  parallel(pieces_of(size), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      for (std::size_t k = 0; k < x.size(); ++k) {
        const auto weight = hn::Set(hn::ScalableTag<T>(), weights[k]);
        const T* const from = x[k];
        for_each<T>(piece, size, [&](std::int64_t at, const auto& load, const auto& store) {
          const auto term = load(from + at);
          store(k == 0 ? hn::Mul(weight, term) : hn::MulAdd(weight, term, load(y + at)), y + at);
        });
      }
    }
  });
}

template <typename T>
void backward(std::int64_t size, const std::vector<const T*>& x, const T* weights, const T* dy,
              const std::vector<T*>& dx, T* dweights, const Parallel& parallel) {
  const hn::ScalableTag<T> d;
  const std::size_t terms = x.size();
  std::vector<double> sums(dweights ? static_cast<std::size_t>(pieces_of(size)) * terms : 0);  // by piece
  parallel(pieces_of(size), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      for (std::size_t k = 0; k < terms; ++k) {
        const auto weight = hn::Set(d, weights[k]);
        if (T* const to = dx[k]) {
          for_each<T>(piece, size, [&](std::int64_t at, const auto& load, const auto& store) {
            store(hn::Mul(weight, load(dy + at)), to + at);
          });
        }
        if (!dweights) continue;
        const T* const from = x[k];
        auto sum = hn::Zero(d);
        for_each<T>(piece, size, [&](std::int64_t at, const auto& load, const auto&) {
          sum = hn::MulAdd(load(dy + at), load(from + at), sum);
        });
        sums[static_cast<std::size_t>(piece) * terms + k] = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
      }
    }
  });
  if (!dweights) return;
  for (std::size_t k = 0; k < terms; ++k) {
    double sum = 0.0;
    for (std::size_t at = k; at < sums.size(); at += terms) sum += sums[at];
    dweights[k] = static_cast<T>(sum);
  }
}

void forward_float(std::int64_t size, const std::vector<const float*>& x, const float* weights, float* y,
                   const Parallel& parallel) {
  forward<float>(size, x, weights, y, parallel);
}
void forward_double(std::int64_t size, const std::vector<const double*>& x, const double* weights, double* y,
                    const Parallel& parallel) {
  forward<double>(size, x, weights, y, parallel);
}
void backward_float(std::int64_t size, const std::vector<const float*>& x, const float* weights, const float* dy,
                    const std::vector<float*>& dx, float* dweights, const Parallel& parallel) {
  backward<float>(size, x, weights, dy, dx, dweights, parallel);
}
void backward_double(std::int64_t size, const std::vector<const double*>& x, const double* weights, const double* dy,
                     const std::vector<double*>& dx, double* dweights, const Parallel& parallel) {
  backward<double>(size, x, weights, dy, dx, dweights, parallel);
}

}  // namespace weft::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(forward_float);
HWY_EXPORT(forward_double);
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_double);

template <>
void weighted_sum(std::int64_t size, const std::vector<const float*>& x, const float* weights, float* y,
                  const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_float)(size, x, weights, y, parallel);
}
template <>
void weighted_sum(std::int64_t size, const std::vector<const double*>& x, const double* weights, double* y,
                  const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_double)(size, x, weights, y, parallel);
}
template <>
void weighted_sum_backward(std::int64_t size, const std::vector<const float*>& x, const float* weights, const float* dy,
                           const std::vector<float*>& dx, float* dweights, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_float)(size, x, weights, dy, dx, dweights, parallel);
}
template <>
void weighted_sum_backward(std::int64_t size, const std::vector<const double*>& x, const double* weights,
                           const double* dy, const std::vector<double*>& dx, double* dweights,
                           const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_double)(size, x, weights, dy, dx, dweights, parallel);
}

}  // namespace weft::kernels
#endif
