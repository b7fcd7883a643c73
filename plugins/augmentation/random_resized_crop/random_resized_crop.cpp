// A window of random area and shape, scaled to the picture's size: Szegedy et al. 2015, "Going Deeper with
// Convolutions", section 6, with the numbers of torchvision's RandomResizedCrop.
//
// A picture has the extents of all of its batch, those of the data set, so a window is never made smaller: it is
// interpolated bilinearly, whole pixels counted at their centres, those of the window alone, and rounded once.

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/augmentation.hpp"
#include "window.hpp"

namespace {

// Where the rows or columns of the result lie between two of the picture: [n, extent] each.
struct Between {
  at::Tensor first, second;  // int64
  at::Tensor share;          // of the second, float
};

// `windows` int64, [2, n]: where they begin and how far they reach.
Between between(const at::Tensor& windows, std::int64_t extent) {
  const at::Tensor start = windows[0].unsqueeze(1), length = windows[1].unsqueeze(1);
  const at::Tensor centre = at::arange(extent, start.options()).mul_(2).add_(1);  // twice as far
  // In whole numbers of 1 / (2 extent) pixel, so that no device rounds otherwise.
  const at::Tensor place = centre.mul(length).sub_(extent).clamp_min_(0);
  const at::Tensor pixel = place.div(2 * extent, "trunc");
  const at::Tensor rest = place.sub(pixel.mul(2 * extent)).to(at::kFloat).div_(static_cast<double>(2 * extent));
  const at::Tensor next = at::minimum(pixel.add(1), length.sub(1));
  return {pixel.add(start), next.add_(start), rest};
}

at::Tensor interpolated(const at::Tensor& first, const at::Tensor& second, const at::Tensor& share) {
  return second.sub(first).mul_(share).add_(first);
}

// `rows`, `columns` as in between().
at::Tensor resized(const at::Tensor& images, const at::Tensor& rows, const at::Tensor& columns) {
  const std::int64_t n = images.size(0), height = images.size(1), width = images.size(2), channels = images.size(3);
  const Between y = between(rows, height), x = between(columns, width);
  const at::Tensor all_rows = images.view({n * height, width * channels});
  const auto picked_rows = [&](const at::Tensor& row) {
    const at::Tensor of_image = at::arange(n, row.options()).mul_(height).unsqueeze(1);
    return all_rows.index_select(0, row.add(of_image).flatten()).to(at::kFloat).view({n, height, width * channels});
  };
  const at::Tensor tall = interpolated(picked_rows(y.first), picked_rows(y.second), y.share.unsqueeze(2));
  const auto picked_columns = [&](const at::Tensor& column) {
    const at::Tensor value = column.mul(channels).unsqueeze(2).add(at::arange(channels, column.options()));
    return tall.gather(2, value.view({n, 1, width * channels}).expand({n, height, width * channels}));
  };
  const at::Tensor share = x.share.repeat_interleave(channels, 1).unsqueeze(1);
  const at::Tensor values = interpolated(picked_columns(x.first), picked_columns(x.second), share);
  return values.add_(0.5).clamp_(0.0, 255.0).to(at::kByte).view(images.sizes());
}

class RandomResizedCrop final : public weft::Augmentation {
 public:
  explicit RandomResizedCrop(const weft::Context& context)
      : range_{context.get<std::array<double, 2>>("area"), context.get<std::array<double, 2>>("ratio")},
        tries_(context.get<int>("tries")) {
    for (const char* name : {"area", "ratio"}) {
      const auto limits = context.get<std::array<double, 2>>(name);
      if (limits[0] > limits[1])
        throw weft::InvalidInput("/" + std::string(name) + " is " + context.configuration().at(name).dump() +
                                 "; must be the least, then the largest");
    }
  }

  at::Tensor pixels(at::Tensor images, const at::Tensor&, weft::Rng& rng) const override {
    const std::int64_t n = images.size(0);
    at::Tensor windows = at::empty({4, n}, at::kLong);
    std::int64_t* const value = windows.data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i) {
      const weft::Window window = draw(images.size(1), images.size(2), rng);
      value[i] = window.top;
      value[n + i] = window.height;
      value[2 * n + i] = window.left;
      value[3 * n + i] = window.width;
    }
    windows = windows.to(images.device());
    return resized(images, windows.narrow(0, 0, 2), windows.narrow(0, 2, 2));
  }

 private:
  weft::Window draw(std::int64_t height, std::int64_t width, weft::Rng& rng) const {
    for (int i = 0; i < tries_; ++i) {
      if (const auto window = weft::try_window(range_, height, width, rng)) return *window;
    }
    return weft::central_window(range_, height, width);
  }

  weft::WindowRange range_;
  int tries_;
};

}  // namespace

WEFT_PLUGIN(weft::component<RandomResizedCrop>("random_resized_crop"))
