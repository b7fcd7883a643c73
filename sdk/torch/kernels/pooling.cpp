// Max and average pooling, and their gradients.
//
// A window is the product of a range of rows and one of columns, and so are the windows that cover a pixel. All four
// passes gather, unless windows do not overlap: what is written is written once, and rows are independent. A maximum
// remembers which tap of its window it came from, so that its gradient needs neither the input nor the output. An
// average adds up the rows of a window first, each column for all windows that share it, and then its columns; its
// gradient is another average.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pooling.cpp"
#include "targets.hpp"
// The order matters: targets.hpp comes first, then foreach_target.h compiles what follows once for each target.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "aligned.hpp"
#include "kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

struct Range {
  std::int64_t begin, end;
};

// Windows and pixels along one side of an image.
struct Side {
  std::int64_t size, outs, kernel, stride, padding;

  // The pixels that a window covers.
  Range window(std::int64_t out) const {
    const std::int64_t from = out * stride - padding, begin = std::clamp<std::int64_t>(from, 0, size);
    return {begin, std::clamp(from + kernel, begin, size)};
  }
  // The windows that cover a pixel.
  Range cover(std::int64_t pixel) const {
    const std::int64_t past = pixel + padding - kernel;  // the last that is over before
    const std::int64_t end = std::min(outs, (pixel + padding) / stride + 1);
    return {std::min(end, past < 0 ? 0 : past / stride + 1), end};
  }
  // Which tap of a window a pixel is.
  std::int64_t tap(std::int64_t out, std::int64_t pixel) const { return pixel + padding - out * stride; }
  // How many pixels an average is of.
  std::int64_t count(std::int64_t out, bool include_padding) const {
    const auto [begin, end] = window(out);
    return include_padding ? std::min(out * stride - padding + kernel, size + padding) - (out * stride - padding)
                           : end - begin;
  }

  std::vector<Range> windows() const {
    std::vector<Range> all;
    for (std::int64_t out = 0; out < outs; ++out) all.push_back(window(out));
    return all;
  }
  std::vector<Range> covers() const {
    std::vector<Range> all;
    for (std::int64_t pixel = 0; pixel < size; ++pixel) all.push_back(cover(pixel));
    return all;
  }
};

inline Side down(const Pooling& shape) {
  return {shape.height, shape.out_height, shape.kernel_height, shape.stride_height, shape.padding_height};
}
inline Side across(const Pooling& shape) {
  return {shape.width, shape.out_width, shape.kernel_width, shape.stride_width, shape.padding_width};
}

inline std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// body(d, at) for [at, count): by whole vectors, then by one of half as many lanes, and so on.
template <typename D, typename Body>
HWY_INLINE void for_each(D d, std::int64_t at, std::int64_t count, const Body& body) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; at + lanes <= count; at += lanes) body(d, at);
  if constexpr (hn::MaxLanes(D()) > 1) {
    if (at < count) for_each(hn::Half<D>(), at, count, body);
  }
}

template <typename T>
void maximum(const Pooling& shape, const T* x, T* y, T* winner, const Parallel& parallel) {
  const hn::ScalableTag<T> full;
  const Side rows = down(shape), columns = across(shape);
  const std::vector<Range> down_windows = rows.windows(), across_windows = columns.windows();
  const std::int64_t channels = shape.channels, line = shape.width * channels;
  parallel(shape.examples * shape.out_height, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t number = first; number < last; ++number) {
      const std::int64_t out_row = number % shape.out_height;
      const T* const image = x + number / shape.out_height * shape.height * line;
      const std::int64_t top = down_windows[index(out_row)].begin, bottom = down_windows[index(out_row)].end;
      for (std::int64_t out = 0; out < shape.out_width; ++out) {
        const std::int64_t left = across_windows[index(out)].begin, right = across_windows[index(out)].end;
        const std::int64_t to = (number * shape.out_width + out) * channels;
        for_each(full, 0, channels, [&](auto d, std::int64_t c) {
          auto most = hn::Set(d, -std::numeric_limits<T>::infinity());
          auto no_number = hn::IsNaN(most);
          for (std::int64_t row = top; row < bottom; ++row) {
            const T* from = image + row * line + left * channels + c;
            for (std::int64_t column = left; column < right; ++column, from += channels) {
              const auto value = hn::LoadU(d, from);
              most = hn::Max(most, value);
              no_number = hn::Or(no_number, hn::IsNaN(value));
            }
          }
          most = hn::IfThenElse(no_number, hn::Set(d, std::numeric_limits<T>::quiet_NaN()), most);
          hn::StoreU(most, d, y + to + c);
          if (!winner) return;
          // Backwards, so that the first of equal ones stays.
          auto tap = hn::Set(
              d, static_cast<T>(rows.tap(out_row, bottom - 1) * shape.kernel_width + columns.tap(out, right - 1)));
          auto of_most = tap;
          for (std::int64_t row = bottom; row-- > top;) {
            const T* from = image + row * line + (right - 1) * channels + c;
            for (std::int64_t column = right; column-- > left; from -= channels) {
              const auto value = hn::LoadU(d, from);
              of_most = hn::IfThenElse(hn::Or(hn::Eq(value, most), hn::IsNaN(value)), tap, of_most);
              tap = hn::Sub(tap, hn::Set(d, T(1)));
            }
            tap = hn::Sub(tap, hn::Set(d, static_cast<T>(shape.kernel_width - (right - left))));
          }
          hn::StoreU(of_most, d, winner + to + c);
        });
      }
    }
  });
}

// Where windows do not overlap: each writes all that it covers.
template <typename T>
void scatter(const Pooling& shape, const T* winner, const T* dy, T* dx, const Parallel& parallel) {
  const hn::ScalableTag<T> full;
  const Side rows = down(shape), columns = across(shape);
  const std::vector<Range> down_windows = rows.windows(), across_windows = columns.windows();
  const std::int64_t channels = shape.channels, line = shape.width * channels;
  parallel(shape.examples, [&](std::int64_t first, std::int64_t last) {
    std::fill(dx + first * shape.height * line, dx + last * shape.height * line, T(0));  // what no window covers
    for (std::int64_t number = first * shape.out_height; number < last * shape.out_height; ++number) {
      const std::int64_t out_row = number % shape.out_height;
      T* const image = dx + number / shape.out_height * shape.height * line;
      const std::int64_t top = down_windows[index(out_row)].begin, bottom = down_windows[index(out_row)].end;
      for (std::int64_t out = 0; out < shape.out_width; ++out) {
        const std::int64_t left = across_windows[index(out)].begin, right = across_windows[index(out)].end;
        const std::int64_t from = (number * shape.out_width + out) * channels;
        const auto first_tap = static_cast<T>(rows.tap(out_row, top) * shape.kernel_width + columns.tap(out, left));
        for_each(full, 0, channels, [&](auto d, std::int64_t c) {
          const auto gradient = hn::LoadU(d, dy + from + c), of_most = hn::LoadU(d, winner + from + c);
          auto tap = hn::Set(d, first_tap);
          for (std::int64_t row = top; row < bottom; ++row) {
            T* to = image + row * line + left * channels + c;
            for (std::int64_t column = left; column < right; ++column, to += channels) {
              hn::StoreU(hn::IfThenElseZero(hn::Eq(of_most, tap), gradient), d, to);
              tap = hn::Add(tap, hn::Set(d, T(1)));
            }
            tap = hn::Add(tap, hn::Set(d, static_cast<T>(shape.kernel_width - (right - left))));
          }
        });
      }
    }
  });
}

template <typename T>
void maximum_backward(const Pooling& shape, const T* winner, const T* dy, T* dx, const Parallel& parallel) {
  if (shape.stride_height >= shape.kernel_height && shape.stride_width >= shape.kernel_width)
    return scatter(shape, winner, dy, dx, parallel);
  const hn::ScalableTag<T> full;
  const Side rows = down(shape), columns = across(shape);
  const std::vector<Range> down_covers = rows.covers(), across_covers = columns.covers();
  const std::int64_t channels = shape.channels, out_line = shape.out_width * channels;
  parallel(shape.examples * shape.height, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t number = first; number < last; ++number) {
      const std::int64_t row = number % shape.height;
      const std::int64_t top = down_covers[index(row)].begin, bottom = down_covers[index(row)].end;
      const std::int64_t image = (number / shape.height * shape.out_height + top) * out_line;
      const std::int64_t row_tap = rows.tap(top, row) * shape.kernel_width;
      for (std::int64_t column = 0; column < shape.width; ++column) {
        const std::int64_t left = across_covers[index(column)].begin, right = across_covers[index(column)].end;
        T* const to = dx + (number * shape.width + column) * channels;
        const T first_tap = static_cast<T>(row_tap + columns.tap(left, column));
        for_each(full, 0, channels, [&](auto d, std::int64_t c) {
          auto sum = hn::Zero(d);
          auto tap_of_row = hn::Set(d, first_tap);
          std::int64_t at_row = image + left * channels + c;
          for (std::int64_t out_row = top; out_row < bottom; ++out_row, at_row += out_line) {
            auto tap = tap_of_row;
            std::int64_t at = at_row;
            for (std::int64_t out = left; out < right; ++out, at += channels) {
              const auto here = hn::Eq(hn::LoadU(d, winner + at), tap);
              sum = hn::Add(sum, hn::IfThenElseZero(here, hn::LoadU(d, dy + at)));
              tap = hn::Sub(tap, hn::Set(d, static_cast<T>(shape.stride_width)));
            }
            tap_of_row = hn::Sub(tap_of_row, hn::Set(d, static_cast<T>(shape.stride_height * shape.kernel_width)));
          }
          hn::StoreU(sum, d, to + c);
        });
      }
    }
  });
}

// Sums along one side: result i is the sum of before[j] times value j, over j in ranges[i], divided by after[i].
template <typename T>
struct Sums {
  std::vector<Range> ranges;
  std::vector<T> before, after;

  std::int64_t from() const { return static_cast<std::int64_t>(before.size()); }
  std::int64_t to() const { return static_cast<std::int64_t>(after.size()); }
};

template <typename T>
Sums<T> averages(const Side& side, bool include_padding) {
  Sums<T> sums{side.windows(), std::vector<T>(index(side.size), T(1)), {}};
  for (std::int64_t out = 0; out < side.outs; ++out) {
    sums.after.push_back(static_cast<T>(std::max<std::int64_t>(1, side.count(out, include_padding))));
  }
  return sums;
}

template <typename T>
Sums<T> gradients_of_averages(const Side& side, bool include_padding) {
  Sums<T> sums{side.covers(), averages<T>(side, include_padding).after, std::vector<T>(index(side.size), T(1))};
  for (T& factor : sums.before) factor = T(1) / factor;
  return sums;
}

// [examples, rows.from(), columns.from(), channels] -> [examples, rows.to(), columns.to(), channels]
template <typename T>
void sum_up(std::int64_t examples, std::int64_t channels, const Sums<T>& rows, const Sums<T>& columns, const T* from,
            T* to, const Parallel& parallel) {
  const hn::ScalableTag<T> full;
  const std::int64_t line = columns.from() * channels;
  parallel(examples * rows.to(), [&](std::int64_t first, std::int64_t last) {
    Aligned<T> sums(index(line));  // of the rows of a range
    for (std::int64_t number = first; number < last; ++number) {
      const T* const image = from + number / rows.to() * rows.from() * line;
      const std::int64_t top = rows.ranges[index(number % rows.to())].begin,
                         bottom = rows.ranges[index(number % rows.to())].end;
      for_each(full, 0, line, [&](auto d, std::int64_t at) {
        auto sum = hn::Zero(d);
        for (std::int64_t row = top; row < bottom; ++row)
          sum = hn::MulAdd(hn::LoadU(d, image + row * line + at), hn::Set(d, rows.before[index(row)]), sum);
        hn::StoreU(sum, d, sums.data() + at);
      });
      const T divisor = rows.after[index(number % rows.to())];
      for (std::int64_t out = 0; out < columns.to(); ++out) {
        const std::int64_t left = columns.ranges[index(out)].begin, right = columns.ranges[index(out)].end;
        const T factor = T(1) / (divisor * columns.after[index(out)]);
        T* const result = to + (number * columns.to() + out) * channels;
        for_each(full, 0, channels, [&](auto d, std::int64_t c) {
          auto sum = hn::Zero(d);
          for (std::int64_t column = left; column < right; ++column)
            sum = hn::MulAdd(hn::LoadU(d, sums.data() + column * channels + c),
                             hn::Set(d, columns.before[index(column)]), sum);
          hn::StoreU(hn::Mul(sum, hn::Set(d, factor)), d, result + c);
        });
      }
    }
  });
}

template <typename T>
void average(const Pooling& shape, const T* x, T* y, const Parallel& parallel) {
  sum_up(shape.examples, shape.channels, averages<T>(down(shape), shape.include_padding),
         averages<T>(across(shape), shape.include_padding), x, y, parallel);
}

template <typename T>
void average_backward(const Pooling& shape, const T* dy, T* dx, const Parallel& parallel) {
  sum_up(shape.examples, shape.channels, gradients_of_averages<T>(down(shape), shape.include_padding),
         gradients_of_averages<T>(across(shape), shape.include_padding), dy, dx, parallel);
}

void maximum_float(const Pooling& shape, const float* x, float* y, float* winner, const Parallel& parallel) {
  maximum(shape, x, y, winner, parallel);
}
void maximum_double(const Pooling& shape, const double* x, double* y, double* winner, const Parallel& parallel) {
  maximum(shape, x, y, winner, parallel);
}
void maximum_backward_float(const Pooling& shape, const float* winner, const float* dy, float* dx,
                            const Parallel& parallel) {
  maximum_backward(shape, winner, dy, dx, parallel);
}
void maximum_backward_double(const Pooling& shape, const double* winner, const double* dy, double* dx,
                             const Parallel& parallel) {
  maximum_backward(shape, winner, dy, dx, parallel);
}
void average_float(const Pooling& shape, const float* x, float* y, const Parallel& parallel) {
  average(shape, x, y, parallel);
}
void average_double(const Pooling& shape, const double* x, double* y, const Parallel& parallel) {
  average(shape, x, y, parallel);
}
void average_backward_float(const Pooling& shape, const float* dy, float* dx, const Parallel& parallel) {
  average_backward(shape, dy, dx, parallel);
}
void average_backward_double(const Pooling& shape, const double* dy, double* dx, const Parallel& parallel) {
  average_backward(shape, dy, dx, parallel);
}

}  // namespace weft::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weft::kernels {

HWY_EXPORT(maximum_float);
HWY_EXPORT(maximum_double);
HWY_EXPORT(maximum_backward_float);
HWY_EXPORT(maximum_backward_double);
HWY_EXPORT(average_float);
HWY_EXPORT(average_double);
HWY_EXPORT(average_backward_float);
HWY_EXPORT(average_backward_double);

template <>
void max_pool(const Pooling& shape, const float* x, float* y, float* winner, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(maximum_float)(shape, x, y, winner, parallel);
}
template <>
void max_pool(const Pooling& shape, const double* x, double* y, double* winner, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(maximum_double)(shape, x, y, winner, parallel);
}
template <>
void max_pool_backward(const Pooling& shape, const float* winner, const float* dy, float* dx,
                       const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(maximum_backward_float)(shape, winner, dy, dx, parallel);
}
template <>
void max_pool_backward(const Pooling& shape, const double* winner, const double* dy, double* dx,
                       const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(maximum_backward_double)(shape, winner, dy, dx, parallel);
}
template <>
void avg_pool(const Pooling& shape, const float* x, float* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(average_float)(shape, x, y, parallel);
}
template <>
void avg_pool(const Pooling& shape, const double* x, double* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(average_double)(shape, x, y, parallel);
}
template <>
void avg_pool_backward(const Pooling& shape, const float* dy, float* dx, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(average_backward_float)(shape, dy, dx, parallel);
}
template <>
void avg_pool_backward(const Pooling& shape, const double* dy, double* dx, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(average_backward_double)(shape, dy, dx, parallel);
}

}  // namespace weft::kernels
#endif
