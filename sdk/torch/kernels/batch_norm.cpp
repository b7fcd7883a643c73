// Batch norm in training, with a ReLU behind it where there is one, and its gradients.
//
// Channels lie beside each other and need not fill vectors. What there is one of for each channel is therefore repeated
// until it does: after a period, a multiple of the channels and of a vector, the pattern begins anew. So every vector
// is whole but for the very last, whatever the number of channels.
//
// Values are taken in pieces of some periods. A piece's mean is known before its squares are added up, while it is in
// the cache; pieces are combined as Chan, Golub, LeVeque 1983 ("Algorithms for Computing the Sample Variance") do.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "batch_norm.cpp"
#include "targets.hpp"
// The order matters: targets.hpp comes first, then foreach_target.h compiles what follows once for each target.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels.hpp"
#include "partial-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t together = 4;         // vectors of a period, at least: their sums do not wait for each other
constexpr std::int64_t least_values = 8192;  // of a piece
constexpr std::int64_t least_periods = 8;    // of a piece, so that the ends of pieces cost little

template <typename T>
struct Layout {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;

  explicit Layout(const BatchNorm& shape)
      : channels(shape.channels),
        rows(shape.rows),
        size(shape.rows * shape.channels),
        period(std::lcm(channels, together * lanes())),
        piece(period * std::max(least_periods, (least_values + period - 1) / period)) {}

  static std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(D())); }
  std::int64_t pieces() const { return (size + piece - 1) / piece; }
  std::int64_t begin(std::int64_t number) const { return number * piece; }
  std::int64_t end(std::int64_t number) const { return std::min(size, (number + 1) * piece); }
  std::int64_t rows_of(std::int64_t number) const { return (end(number) - begin(number)) / channels; }

  std::vector<T> pattern() const { return std::vector<T>(static_cast<std::size_t>(period)); }
  std::vector<T> repeat(const std::vector<T>& of_channels) const {
    std::vector<T> result = pattern();
    for (std::int64_t at = 0; at < period; at += channels)
      std::copy_n(of_channels.begin(), channels, result.begin() + at);
    return result;
  }
  // Adds to each channel's sum what the pattern holds of it.
  void fold(const std::vector<T>& pattern, double* sums) const {
    for (std::int64_t at = 0; at < period; at += channels) {
      for (std::int64_t c = 0; c < channels; ++c)
        sums[c] += static_cast<double>(pattern[static_cast<std::size_t>(at + c)]);
    }
  }

  // body(at, load, store, constant, sum) for every vector of a piece: `constant` and `sum` point to vectors of the
  // patterns `constants` and `sums` at its place. Beyond the end of the last one nothing is loaded but zeros, and
  // nothing stored. Periods are gone through some vectors at a time, whose constants and sums stay in registers.
  template <std::size_t count, std::size_t results, typename Body>
  HWY_INLINE void for_each(std::int64_t number, const std::array<const T*, count>& constants,
                           const std::array<T*, results>& sums, const Body& body) const {
    const D d;
    const auto load = [d](const T* from) { return hn::LoadU(d, from); };
    const auto store = [d](V value, T* to) { hn::StoreU(value, d, to); };
    V constant[together][count + 1], sum[together][results + 1];
    const auto take = [&](std::int64_t place, std::int64_t i) {
      for (std::size_t k = 0; k < count; ++k) constant[i][k] = hn::LoadU(d, constants[k] + place);
      for (std::size_t k = 0; k < results; ++k) sum[i][k] = hn::LoadU(d, sums[k] + place);
    };
    const auto give = [&](std::int64_t place, std::int64_t i) {
      for (std::size_t k = 0; k < results; ++k) hn::StoreU(sum[i][k], d, sums[k] + place);
    };
    const std::int64_t first = begin(number), last = end(number), whole = first + (last - first) / period * period;
    for (std::int64_t place = 0; place < period && first < whole; place += together * lanes()) {
      for (std::int64_t i = 0; i < together; ++i) take(place + i * lanes(), i);
      for (std::int64_t at = first + place; at < whole; at += period) {
        for (std::int64_t i = 0; i < together; ++i) body(at + i * lanes(), load, store, constant[i], sum[i]);
      }
      for (std::int64_t i = 0; i < together; ++i) give(place + i * lanes(), i);
    }
    for (std::int64_t at = whole; at < last; at += lanes()) {
      take(at - whole, 0);
      if (at + lanes() <= last) {
        body(at, load, store, constant[0], sum[0]);
      } else {
        const std::int64_t some = last - at;
        for (std::size_t k = 0; k < count; ++k) constant[0][k] = load_first(d, some, constants[k] + at - whole);
        body(
            at, [&](const T* from) { return load_first(d, some, from); },
            [&](V value, T* to) { store_first(d, some, value, to); }, constant[0], sum[0]);
      }
      give(at - whole, 0);
    }
  }

  std::int64_t channels, rows, size, period, piece;
};

// What each channel's values are multiplied by.
template <typename T>
std::vector<T> scales(const BatchNorm& shape, const T* weight, const T* variance) {
  std::vector<T> scale(static_cast<std::size_t>(shape.channels));
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    scale[static_cast<std::size_t>(c)] =
        static_cast<T>(static_cast<double>(weight[c]) / std::sqrt(static_cast<double>(variance[c]) + shape.eps));
  }
  return scale;
}

template <typename T>
void statistics(const Layout<T>& layout, const T* x, T* mean, T* variance, const Parallel& parallel) {
  const auto channels = static_cast<std::size_t>(layout.channels);
  const auto pieces = static_cast<std::size_t>(layout.pieces());
  // By piece and channel: the mean, and the sum of the squares of what differs from it.
  std::vector<double> means(pieces * channels), squares(pieces * channels);
  parallel(layout.pieces(), [&](std::int64_t first, std::int64_t last) {
    std::vector<T> of_channels(channels);
    for (std::int64_t piece = first; piece < last; ++piece) {
      double* const piece_means = means.data() + static_cast<std::size_t>(piece) * channels;
      std::vector<T> sums = layout.pattern();
      layout.template for_each<0, 1>(piece, {}, {sums.data()},
                                     [&](std::int64_t at, const auto& load, const auto&, const auto*, auto* sum) {
                                       sum[0] = hn::Add(sum[0], load(x + at));
                                     });
      layout.fold(sums, piece_means);
      for (std::size_t c = 0; c < channels; ++c) {
        of_channels[c] = static_cast<T>(piece_means[c] /= static_cast<double>(layout.rows_of(piece)));
      }
      const std::vector<T> centre = layout.repeat(of_channels);
      std::fill(sums.begin(), sums.end(), T(0));
      layout.template for_each<1, 1>(
          piece, {centre.data()}, {sums.data()},
          [&](std::int64_t at, const auto& load, const auto&, const auto* constant, auto* sum) {
            const auto difference = hn::Sub(load(x + at), constant[0]);
            sum[0] = hn::MulAdd(difference, difference, sum[0]);
          });
      layout.fold(sums, squares.data() + static_cast<std::size_t>(piece) * channels);
    }
  });
  for (std::size_t c = 0; c < channels; ++c) {
    double total = 0.0, middle = 0.0, square = 0.0;  // of the pieces so far: rows, mean, sum of squares
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const auto rows = static_cast<double>(layout.rows_of(static_cast<std::int64_t>(piece)));
      const double difference = means[piece * channels + c] - middle;
      square += squares[piece * channels + c] + difference * difference * total * rows / (total + rows);
      middle += difference * rows / (total + rows);
      total += rows;
    }
    mean[c] = static_cast<T>(middle);
    variance[c] = static_cast<T>(square / total);
  }
}

template <bool relu, typename T>
void forward(const BatchNorm& shape, const T* x, const T* weight, const T* bias, T* y, T* mean, T* variance,
             const Parallel& parallel) {
  const hn::ScalableTag<T> d;
  const Layout<T> layout(shape);
  statistics(layout, x, mean, variance, parallel);
  const std::vector<T> centre = layout.repeat({mean, mean + shape.channels}),
                       scale = layout.repeat(scales(shape, weight, variance)),
                       shift = layout.repeat({bias, bias + shape.channels});
  parallel(layout.pieces(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t piece = first; piece < last; ++piece)
      layout.template for_each<3, 0>(
          piece, {centre.data(), scale.data(), shift.data()}, {},
          [&](std::int64_t at, const auto& load, const auto& store, const auto* constant, auto*) {
            const auto value = hn::MulAdd(hn::Sub(load(x + at), constant[0]), constant[1], constant[2]);
            // What is not a number remains.
            store(relu ? hn::IfThenZeroElse(hn::Le(value, hn::Zero(d)), value) : value, y + at);
          });
  });
}

// With g the gradient before the ReLU, n the rows, s the scale, v the variance:
//   dx = s (g - sum g / n - (x - mean) / (v + eps) sum(g (x - mean)) / n).
template <bool relu, typename T>
void backward(const BatchNorm& shape, const T* x, const T* weight, const T* bias, const T* mean, const T* variance,
              const T* dy, T* dx, T* dweight, T* dbias, const Parallel& parallel) {
  const hn::ScalableTag<T> d;
  const Layout<T> layout(shape);
  const auto channels = static_cast<std::size_t>(layout.channels);
  const auto pieces = static_cast<std::size_t>(layout.pieces());
  const std::vector<T> scale_of_channels = scales(shape, weight, variance);
  const std::vector<T> centre = layout.repeat({mean, mean + shape.channels}), scale = layout.repeat(scale_of_channels),
                       shift = layout.repeat({bias, bias + shape.channels});
  // The ReLU lets pass what was above zero, judged by the sum that the forward pass made.
  const auto before_relu = [&](auto centred, auto gradient, auto scale_here, auto shift_here) {
    if constexpr (!relu) return gradient;
    return hn::IfThenZeroElse(hn::Le(hn::MulAdd(centred, scale_here, shift_here), hn::Zero(d)), gradient);
  };
  std::vector<double> sums(pieces * channels), products(pieces * channels);
  parallel(layout.pieces(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t piece = first; piece < last; ++piece) {
      std::vector<T> sum_pattern = layout.pattern(), product_pattern = layout.pattern();
      layout.template for_each<3, 2>(
          piece, {centre.data(), scale.data(), shift.data()}, {sum_pattern.data(), product_pattern.data()},
          [&](std::int64_t at, const auto& load, const auto&, const auto* constant, auto* sum) {
            const auto centred = hn::Sub(load(x + at), constant[0]);
            const auto g = before_relu(centred, load(dy + at), constant[1], constant[2]);
            sum[0] = hn::Add(sum[0], g);
            sum[1] = hn::MulAdd(g, centred, sum[1]);
          });
      layout.fold(sum_pattern, sums.data() + static_cast<std::size_t>(piece) * channels);
      layout.fold(product_pattern, products.data() + static_cast<std::size_t>(piece) * channels);
    }
  });
  std::vector<T> a(channels), b(channels);  // dx = scale g + a (x - mean) + b
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0.0, product = 0.0;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      sum += sums[piece * channels + c];
      product += products[piece * channels + c];
    }
    const double power = static_cast<double>(variance[c]) + shape.eps, rows = static_cast<double>(layout.rows);
    dweight[c] = static_cast<T>(product / std::sqrt(power));
    dbias[c] = static_cast<T>(sum);
    a[c] = static_cast<T>(-static_cast<double>(scale_of_channels[c]) * product / power / rows);
    b[c] = static_cast<T>(-static_cast<double>(scale_of_channels[c]) * sum / rows);
  }
  if (!dx) return;
  const std::vector<T> factor = layout.repeat(a), rest = layout.repeat(b);
  parallel(layout.pieces(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t piece = first; piece < last; ++piece)
      layout.template for_each<5, 0>(
          piece, {centre.data(), scale.data(), shift.data(), factor.data(), rest.data()}, {},
          [&](std::int64_t at, const auto& load, const auto& store, const auto* constant, auto*) {
            const auto centred = hn::Sub(load(x + at), constant[0]);
            const auto g = before_relu(centred, load(dy + at), constant[1], constant[2]);
            store(hn::MulAdd(g, constant[1], hn::MulAdd(centred, constant[3], constant[4])), dx + at);
          });
  });
}

void forward_float(const BatchNorm& shape, const float* x, const float* weight, const float* bias, float* y,
                   float* mean, float* variance, const Parallel& parallel) {
  (shape.relu ? forward<true, float> : forward<false, float>)(shape, x, weight, bias, y, mean, variance, parallel);
}
void forward_double(const BatchNorm& shape, const double* x, const double* weight, const double* bias, double* y,
                    double* mean, double* variance, const Parallel& parallel) {
  (shape.relu ? forward<true, double> : forward<false, double>)(shape, x, weight, bias, y, mean, variance, parallel);
}
void backward_float(const BatchNorm& shape, const float* x, const float* weight, const float* bias, const float* mean,
                    const float* variance, const float* dy, float* dx, float* dweight, float* dbias,
                    const Parallel& parallel) {
  (shape.relu ? backward<true, float> : backward<false, float>)(shape, x, weight, bias, mean, variance, dy, dx, dweight,
                                                                dbias, parallel);
}
void backward_double(const BatchNorm& shape, const double* x, const double* weight, const double* bias,
                     const double* mean, const double* variance, const double* dy, double* dx, double* dweight,
                     double* dbias, const Parallel& parallel) {
  (shape.relu ? backward<true, double> : backward<false, double>)(shape, x, weight, bias, mean, variance, dy, dx,
                                                                  dweight, dbias, parallel);
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
void batch_norm(const BatchNorm& shape, const float* x, const float* weight, const float* bias, float* y, float* mean,
                float* variance, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_float)(shape, x, weight, bias, y, mean, variance, parallel);
}
template <>
void batch_norm(const BatchNorm& shape, const double* x, const double* weight, const double* bias, double* y,
                double* mean, double* variance, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_double)(shape, x, weight, bias, y, mean, variance, parallel);
}
template <>
void batch_norm_backward(const BatchNorm& shape, const float* x, const float* weight, const float* bias,
                         const float* mean, const float* variance, const float* dy, float* dx, float* dweight,
                         float* dbias, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_float)(shape, x, weight, bias, mean, variance, dy, dx, dweight, dbias, parallel);
}
template <>
void batch_norm_backward(const BatchNorm& shape, const double* x, const double* weight, const double* bias,
                         const double* mean, const double* variance, const double* dy, double* dx, double* dweight,
                         double* dbias, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_double)(shape, x, weight, bias, mean, variance, dy, dx, dweight, dbias, parallel);
}

}  // namespace weft::kernels
#endif
