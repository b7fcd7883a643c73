// Depthwise convolution and its gradients.
//
// Work is cut in images and blocks of as many channels as a vector holds. A block of an image is first copied to where
// its pixels lie beside each other, with the padding around them: from then on there is no border, and no remainder of
// channels. The forward pass and the gradient in the input are then one loop: a row of outputs, each the sum over a
// list of taps (where its pixels begin, the filter's value). Some outputs are computed at once, so that a filter's
// value is loaded once for all of them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "depthwise.cpp"
#include "targets.hpp"
// The order matters: targets.hpp comes first, then foreach_target.h compiles what follows once for each target.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "aligned.hpp"
#include "kernels.hpp"
#include "partial-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace weft::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t images_of_a_piece = 4;  // whose part of the weight's gradient is summed by itself

template <typename T>
struct Tap {
  const T* x;  // for the first output
  const T* weight;
};

// Zeros around an image: what lies before its first row and column, and the extents of the whole.
struct Frame {
  std::int64_t top, left, rows, columns;
};

// The channels of a block in a pixel: all of a vector but in the last block.
template <typename D>
struct Block {
  using T = hn::TFromD<D>;
  std::int64_t first, channels, count;
  D d = {};

  Block(std::int64_t number, std::int64_t channels)
      : first(number * lanes()), channels(channels), count(std::min(lanes(), channels - first)) {}
  static std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(D())); }

  HWY_INLINE hn::Vec<D> load(const T* pixel) const {
    return count == lanes() ? hn::LoadU(d, pixel + first) : load_first(d, count, pixel + first);
  }
  HWY_INLINE void store(hn::Vec<D> value, T* pixel) const {
    if (count == lanes()) {
      hn::StoreU(value, d, pixel + first);
    } else {
      store_first(d, count, value, pixel + first);
    }
  }
};

// The block of an image of `height` x `width`, in its frame.
template <typename D, typename T = hn::TFromD<D>>
void frame(const Block<D>& block, const T* image, std::int64_t height, std::int64_t width, const Frame& frame,
           T* framed) {
  const D d;
  const std::int64_t lanes = block.lanes();
  for (std::int64_t row = 0; row < frame.rows; ++row) {
    T* const to = framed + row * frame.columns * lanes;
    const std::int64_t from_row = row - frame.top;
    const bool outside = from_row < 0 || from_row >= height;
    const std::int64_t begin = outside ? frame.columns : std::clamp<std::int64_t>(frame.left, 0, frame.columns);
    const std::int64_t end = outside ? frame.columns : std::clamp(frame.left + width, begin, frame.columns);
    const auto clear = [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t column = first; column < last; ++column) hn::StoreU(hn::Zero(d), d, to + column * lanes);
    };
    clear(0, begin);
    const T* const from = image + (from_row * width - frame.left) * block.channels;
    for (std::int64_t column = begin; column < end; ++column) {
      hn::StoreU(block.load(from + column * block.channels), d, to + column * lanes);
    }
    clear(end, frame.columns);
  }
}

// The outputs `first` to first + count of a row.
template <std::int64_t count, typename D, typename T = hn::TFromD<D>>
HWY_INLINE void outputs(const Block<D>& block, const std::vector<Tap<T>>& taps, std::int64_t first, std::int64_t step,
                        T* y, std::int64_t y_step) {
  const D d;
  hn::Vec<D> sums[count];
  for (auto& one : sums) one = hn::Zero(d);
  for (const Tap<T>& tap : taps) {
    const auto weight = hn::LoadU(d, tap.weight);
    const T* const x = tap.x + first * step;
    for (std::int64_t i = 0; i < count; ++i) sums[i] = hn::MulAdd(hn::LoadU(d, x + i * step), weight, sums[i]);
  }
  for (std::int64_t i = 0; i < count; ++i) block.store(sums[i], y + (first + i) * y_step);
}

// `width` outputs, whose pixels are `step` apart in the taps, and `y_step` in y. The last of them are computed
// together, some a second time, with the same result.
template <typename D, typename T = hn::TFromD<D>>
void row(const Block<D>& block, const std::vector<Tap<T>>& taps, std::int64_t width, std::int64_t step, T* y,
         std::int64_t y_step) {
  constexpr std::int64_t many = 8, some = 4;
  std::int64_t at = 0;
  for (; at + many <= width; at += many) outputs<many>(block, taps, at, step, y, y_step);
  if (at < width && width >= many) {
    outputs<many>(block, taps, width - many, step, y, y_step);
    return;
  }
  for (; at + some <= width; at += some) outputs<some>(block, taps, at, step, y, y_step);
  for (; at < width; ++at) outputs<1>(block, taps, at, step, y, y_step);
}

// The filters of a block, tap by tap.
template <typename D, typename T = hn::TFromD<D>>
Aligned<T> filters(const Block<D>& block, const T* weight, std::int64_t taps) {
  Aligned<T> result(static_cast<std::size_t>(taps * block.lanes()));
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (std::int64_t c = 0; c < block.count; ++c) {
      result[static_cast<std::size_t>(tap * block.lanes() + c)] = weight[(block.first + c) * taps + tap];
    }
  }
  return result;
}

// What the outputs read of the input.
inline Frame frame_of_input(const Depthwise& shape) {
  return {shape.padding_height, shape.padding_width,
          (shape.out_height - 1) * shape.stride_height + (shape.kernel_height - 1) * shape.dilation_height + 1,
          (shape.out_width - 1) * shape.stride_width + (shape.kernel_width - 1) * shape.dilation_width + 1};
}

template <typename T>
void forward(const Depthwise& shape, const T* x, const T* weight, T* y, const Parallel& parallel) {
  using D = hn::ScalableTag<T>;
  const std::int64_t lanes = Block<D>::lanes();
  const std::int64_t blocks = (shape.channels + lanes - 1) / lanes;
  const std::int64_t kernel = shape.kernel_height * shape.kernel_width;
  const Frame around = frame_of_input(shape);
  parallel(shape.examples, [&](std::int64_t begin, std::int64_t end) {
    Aligned<T> framed(static_cast<std::size_t>(around.rows * around.columns * lanes));
    std::vector<Tap<T>> taps;
    std::vector<Aligned<T>> filter;
    for (std::int64_t number = 0; number < blocks; ++number) {
      filter.push_back(filters(Block<D>(number, shape.channels), weight, kernel));
    }
    for (std::int64_t example = begin; example < end; ++example) {
      for (std::int64_t number = 0; number < blocks; ++number) {
        const Block<D> block(number, shape.channels);
        frame(block, x + example * shape.height * shape.width * shape.channels, shape.height, shape.width, around,
              framed.data());
        for (std::int64_t out = 0; out < shape.out_height; ++out) {
          taps.clear();
          for (std::int64_t i = 0; i < shape.kernel_height; ++i) {
            const std::int64_t in = out * shape.stride_height + i * shape.dilation_height;
            if (in < around.top || in >= around.top + shape.height) continue;  // zeros
            for (std::int64_t j = 0; j < shape.kernel_width; ++j) {
              taps.push_back({framed.data() + (in * around.columns + j * shape.dilation_width) * lanes,
                              filter[static_cast<std::size_t>(number)].data() + (i * shape.kernel_width + j) * lanes});
            }
          }
          row(block, taps, shape.out_width, shape.stride_width * lanes,
              y + (example * shape.out_height + out) * shape.out_width * shape.channels, shape.channels);
        }
      }
    }
  });
}

constexpr std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// What the gradient in the input reads of that in the output: input i is read by output (i + padding - k dilation) /
// stride, where that is whole.
inline Frame frame_of_output(const Depthwise& shape) {
  const auto least = [](std::int64_t padding, std::int64_t kernel, std::int64_t dilation, std::int64_t stride) {
    return std::max<std::int64_t>(0, -floor_divide(padding - (kernel - 1) * dilation, stride));
  };
  const std::int64_t left = least(shape.padding_width, shape.kernel_width, shape.dilation_width, shape.stride_width);
  const std::int64_t last = floor_divide(shape.width - 1 + shape.padding_width, shape.stride_width);
  return {0, left, shape.out_height, left + std::max(shape.out_width, last + 1)};
}

template <typename D, typename T = hn::TFromD<D>>
void input_gradient(const Depthwise& shape, const Block<D>& block, const Aligned<T>& filter, const T* framed,
                    const Frame& around, T* dx, std::vector<Tap<T>>& taps) {
  const std::int64_t lanes = block.lanes();
  for (std::int64_t in = 0; in < shape.height; ++in) {
    for (std::int64_t first = 0; first < std::min(shape.stride_width, shape.width); ++first) {
      taps.clear();
      for (std::int64_t i = 0; i < shape.kernel_height; ++i) {
        const std::int64_t down = in + shape.padding_height - i * shape.dilation_height;
        if (down < 0 || down % shape.stride_height != 0 || down / shape.stride_height >= shape.out_height) continue;
        for (std::int64_t j = 0; j < shape.kernel_width; ++j) {
          const std::int64_t right = first + shape.padding_width - j * shape.dilation_width;
          if (right % shape.stride_width != 0) continue;
          const std::int64_t column = around.left + right / shape.stride_width;
          taps.push_back({framed + (down / shape.stride_height * around.columns + column) * lanes,
                          filter.data() + (i * shape.kernel_width + j) * lanes});
        }
      }
      const std::int64_t width = (shape.width - first + shape.stride_width - 1) / shape.stride_width;
      row(block, taps, width, lanes, dx + (in * shape.width + first) * shape.channels,
          shape.stride_width * shape.channels);
    }
  }
}

// Some rows of outputs and how far apart, in values, their rows and pixels are in x and in dy.
struct Band {
  std::int64_t rows, width, x_row, x_step, dy_row;
};

// Adds to `sums` the products of a band's gradients with what `count` taps read for them.
template <std::int64_t count, typename D, typename T = hn::TFromD<D>>
HWY_INLINE void correlate(D d, const T* const* x, const T* dy, const Band& band, T* sums) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> even[count], odd[count];  // sums of every other output: none waits long for its last addition
  for (std::int64_t i = 0; i < count; ++i) {
    even[i] = hn::LoadU(d, sums + i * lanes);
    odd[i] = hn::Zero(d);
  }
  for (std::int64_t row = 0; row < band.rows; ++row) {
    const T* const gradient = dy + row * band.dy_row;
    const std::int64_t from = row * band.x_row;
    std::int64_t at = 0;
    for (; at + 2 <= band.width; at += 2) {
      const auto one = hn::LoadU(d, gradient + at * lanes);
      const auto other = hn::LoadU(d, gradient + (at + 1) * lanes);
      for (std::int64_t i = 0; i < count; ++i) {
        even[i] = hn::MulAdd(hn::LoadU(d, x[i] + from + at * band.x_step), one, even[i]);
        odd[i] = hn::MulAdd(hn::LoadU(d, x[i] + from + (at + 1) * band.x_step), other, odd[i]);
      }
    }
    if (at == band.width) continue;
    const auto one = hn::LoadU(d, gradient + at * lanes);
    for (std::int64_t i = 0; i < count; ++i) {
      even[i] = hn::MulAdd(hn::LoadU(d, x[i] + from + at * band.x_step), one, even[i]);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) hn::StoreU(hn::Add(even[i], odd[i]), d, sums + i * lanes);
}

// Adds an image's part of the weight's gradient to `sums`, tap by tap. Both images are framed. In bands of rows, so
// that what is read stays near.
template <typename D, typename T = hn::TFromD<D>>
void weight_gradient(const Depthwise& shape, D d, const T* x, const Frame& x_frame, const T* dy, const Frame& dy_frame,
                     T* sums) {
  constexpr std::int64_t most = 6, near = 24 << 10;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t taps = shape.kernel_height * shape.kernel_width;
  const std::int64_t parts = (taps + most - 1) / most;
  Band band{.rows = 0,
            .width = shape.out_width,
            .x_row = shape.stride_height * x_frame.columns * lanes,
            .x_step = shape.stride_width * lanes,
            .dy_row = dy_frame.columns * lanes};
  const std::int64_t rows =
      std::max<std::int64_t>(1, near / (band.x_row + band.dy_row) / static_cast<std::int64_t>(sizeof(T)));
  for (std::int64_t out = 0; out < shape.out_height; out += rows) {
    band.rows = std::min(rows, shape.out_height - out);
    const T* const gradient = dy + (out * dy_frame.columns + dy_frame.left) * lanes;
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t first = taps * part / parts, end = taps * (part + 1) / parts;
      const T* pixels[most];
      for (std::int64_t tap = first; tap < end; ++tap) {
        const std::int64_t i = tap / shape.kernel_width, j = tap % shape.kernel_width;
        pixels[tap - first] =
            x + out * band.x_row + (i * shape.dilation_height * x_frame.columns + j * shape.dilation_width) * lanes;
      }
      T* const to = sums + first * lanes;
      switch (end - first) {
        case 1:
          correlate<1>(d, pixels, gradient, band, to);
          break;
        case 2:
          correlate<2>(d, pixels, gradient, band, to);
          break;
        case 3:
          correlate<3>(d, pixels, gradient, band, to);
          break;
        case 4:
          correlate<4>(d, pixels, gradient, band, to);
          break;
        case 5:
          correlate<5>(d, pixels, gradient, band, to);
          break;
        default:
          correlate<most>(d, pixels, gradient, band, to);
      }
    }
  }
}

template <typename T>
void backward(const Depthwise& shape, const T* x, const T* weight, const T* dy, T* dx, T* dweight,
              const Parallel& parallel) {
  if (!dx && !dweight) return;
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = Block<D>::lanes();
  const std::int64_t blocks = (shape.channels + lanes - 1) / lanes;
  const std::int64_t pieces = (shape.examples + images_of_a_piece - 1) / images_of_a_piece;
  const std::int64_t kernel = shape.kernel_height * shape.kernel_width;
  const Frame around_x = frame_of_input(shape), around_dy = frame_of_output(shape);
  const auto size = [&](const Frame& frame) { return static_cast<std::size_t>(frame.rows * frame.columns * lanes); };
  Aligned<T> sums(dweight ? static_cast<std::size_t>(pieces * blocks * kernel * lanes) : 0);
  parallel(pieces, [&](std::int64_t begin, std::int64_t end) {
    Aligned<T> framed_x(dweight ? size(around_x) : 0), framed_dy(size(around_dy));
    std::vector<Tap<T>> taps;
    std::vector<Aligned<T>> filter;
    for (std::int64_t number = 0; dx && number < blocks; ++number) {
      filter.push_back(filters(Block<D>(number, shape.channels), weight, kernel));
    }
    const std::int64_t last = std::min(end * images_of_a_piece, shape.examples);
    for (std::int64_t example = begin * images_of_a_piece; example < last; ++example) {
      const T* const image = x + example * shape.height * shape.width * shape.channels;
      const T* const gradient = dy + example * shape.out_height * shape.out_width * shape.channels;
      for (std::int64_t number = 0; number < blocks; ++number) {
        const Block<D> block(number, shape.channels);
        frame(block, gradient, shape.out_height, shape.out_width, around_dy, framed_dy.data());
        if (dx) {
          input_gradient(shape, block, filter[static_cast<std::size_t>(number)], framed_dy.data(), around_dy,
                         dx + (image - x), taps);
        }
        if (!dweight) continue;
        frame(block, image, shape.height, shape.width, around_x, framed_x.data());
        weight_gradient(shape, d, framed_x.data(), around_x, framed_dy.data(), around_dy,
                        sums.data() + (example / images_of_a_piece * blocks + number) * kernel * lanes);
      }
    }
  });
  if (!dweight) return;
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    for (std::int64_t tap = 0; tap < kernel; ++tap) {
      T total = 0;
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        total += sums[static_cast<std::size_t>(((piece * blocks + c / lanes) * kernel + tap) * lanes + c % lanes)];
      }
      dweight[c * kernel + tap] = total;
    }
  }
}

void forward_float(const Depthwise& shape, const float* x, const float* weight, float* y, const Parallel& parallel) {
  forward(shape, x, weight, y, parallel);
}
void forward_double(const Depthwise& shape, const double* x, const double* weight, double* y,
                    const Parallel& parallel) {
  forward(shape, x, weight, y, parallel);
}
void backward_float(const Depthwise& shape, const float* x, const float* weight, const float* dy, float* dx,
                    float* dweight, const Parallel& parallel) {
  backward(shape, x, weight, dy, dx, dweight, parallel);
}
void backward_double(const Depthwise& shape, const double* x, const double* weight, const double* dy, double* dx,
                     double* dweight, const Parallel& parallel) {
  backward(shape, x, weight, dy, dx, dweight, parallel);
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
void depthwise(const Depthwise& shape, const float* x, const float* weight, float* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_float)(shape, x, weight, y, parallel);
}
template <>
void depthwise(const Depthwise& shape, const double* x, const double* weight, double* y, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(forward_double)(shape, x, weight, y, parallel);
}
template <>
void depthwise_backward(const Depthwise& shape, const float* x, const float* weight, const float* dy, float* dx,
                        float* dweight, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_float)(shape, x, weight, dy, dx, dweight, parallel);
}
template <>
void depthwise_backward(const Depthwise& shape, const double* x, const double* weight, const double* dy, double* dx,
                        double* dweight, const Parallel& parallel) {
  HWY_DYNAMIC_DISPATCH(backward_double)(shape, x, weight, dy, dx, dweight, parallel);
}

}  // namespace weft::kernels
#endif
