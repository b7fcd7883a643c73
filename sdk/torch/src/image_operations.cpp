#include "weft/torch/image_operations.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/torch/augmentation.hpp"

namespace weft {

using enum ImageOperation;

const std::array<std::string, image_operation_count>& image_operation_names() {
  static const std::array<std::string, image_operation_count> names = {
      "ShearX",   "ShearY",    "TranslateX", "TranslateY", "Rotate",     "AutoContrast", "Invert", "Equalize",
      "Solarize", "Posterize", "Contrast",   "Color",      "Brightness", "Sharpness",    "Cutout", "SamplePairing"};
  return names;
}

ImageOperation image_operation(std::string_view name) {
  const auto& names = image_operation_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw InvalidInput("\"" + std::string(name) + "\" is no operation on images; those are " + Json(names).dump());
  return static_cast<ImageOperation>(found - names.begin());
}

Magnitudes magnitudes(std::string_view name) {
  if (name == "aa") return Magnitudes::aa;
  if (name == "tv") return Magnitudes::tv;
  if (name == "paper") return Magnitudes::paper;
  if (name == "faa") return Magnitudes::faa;
  throw InvalidInput("\"" + std::string(name) +
                     "\" is no map of magnitudes; those are \"aa\", \"tv\", \"paper\" and \"faa\"");
}

double magnitude(ImageOperation operation, Magnitudes map, double level, std::int64_t levels, std::int64_t height,
                 std::int64_t width) {
  const bool aa = map == Magnitudes::aa, tv = map == Magnitudes::tv, faa = map == Magnitudes::faa;
  const auto steps = static_cast<double>(std::max<std::int64_t>(levels - 1, 1));
  const auto even = [&](double most) { return level * most / steps; };
  const auto part = [&](double most) { return aa ? level * most / static_cast<double>(levels) : even(most); };
  const auto either_way = [&](double most) { return faa ? 2.0 * even(most) - most : part(most); };
  // So much of `most`: the paper's ranges are of pictures of 331 pixels.
  const auto scaled = [&](double most, std::int64_t extent) {
    return std::trunc(even(most / 331.0 * static_cast<double>(extent)));
  };
  const auto translated = [&](std::int64_t extent) {
    if (aa) return std::trunc(part(10.0));
    return faa ? either_way(0.45 * static_cast<double>(extent)) : scaled(150.0, extent);
  };
  switch (operation) {
    case shear_x:
    case shear_y:
      return either_way(0.3);
    case translate_x:
      return translated(width);
    case translate_y:
      return translated(height);
    case rotate:
      return aa ? std::trunc(part(30.0)) : either_way(30.0);
    case solarize:
      if (aa) return 256.0 - std::trunc(part(256.0));
      if (faa) return even(256.0);
      return tv ? 255.0 - even(255.0) : 256.0 - even(256.0);
    case posterize:
      if (faa) return 4.0 + std::trunc(even(4.0));
      return std::max(0.0, aa ? 4.0 - std::trunc(part(4.0)) : 8.0 - std::nearbyint(even(4.0)));
    case contrast:
    case color:
    case brightness:
    case sharpness:
      return tv ? 1.0 + even(0.9) : part(1.8) + 0.1;
    case cutout:
      if (aa) return std::trunc(part(20.0));
      return faa ? std::trunc(even(0.2 * static_cast<double>(width))) : scaled(60.0, std::min(height, width));
    case sample_pairing:
      return even(0.4);
    case auto_contrast:
    case invert:
    case equalize:
      break;
  }
  return 0.0;
}

ImageChange image_change(ImageOperation operation, Magnitudes map, double level, std::int64_t levels,
                         std::int64_t height, std::int64_t width, Rng& rng) {
  const double value = magnitude(operation, map, level, levels, height, width);
  const bool moves = operation <= rotate;
  const bool enhances = operation >= contrast && operation <= sharpness;
  if (moves) return {operation, rng.bernoulli(0.5) ? -value : value};
  if (enhances && map == Magnitudes::tv) return {operation, rng.bernoulli(0.5) ? 2.0 - value : value};
  return {operation, value};
}

at::Tensor partners(Rng& rng, std::int64_t count, c10::Device device) {
  if (count == 1) return at::zeros({1}, at::TensorOptions(at::kLong).device(device));
  const at::Tensor distance = integers(rng, count, count - 1, device).add_(1);
  return distance.add_(at::arange(count, distance.options())).remainder_(count);
}

namespace {

// Images in what follows are [n, height, width, channels] and of one operation; magnitudes float, [n, 1, 1, 1].

// Where the pixel at the place (x, y) comes from: (a x + b y + c, d x + e y + f), pixels being at 1/2, 3/2, ..
std::array<double, 6> origin(const ImageChange& change, double height, double width) {
  const double by = change.magnitude;
  switch (change.operation) {
    case shear_x:
      return {1, by, 0, 0, 1, 0};
    case shear_y:
      return {1, 0, 0, by, 1, 0};
    case translate_x:
      return {1, 0, by, 0, 1, 0};
    case translate_y:
      return {1, 0, 0, 0, 1, by};
    default:
      break;
  }
  const double angle = by * std::numbers::pi / 180.0;
  const double cosine = std::cos(angle), sine = std::sin(angle), x = width / 2, y = height / 2;
  return {cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y};
}

// The same as whole numbers of 1/65536 pixel, from the pixel's number on: [6, n], int32.
at::Tensor origins(const std::vector<ImageChange>& changes, std::int64_t height, std::int64_t width) {
  const auto n = static_cast<std::int64_t>(changes.size());
  at::Tensor all = at::empty({6, n}, at::kInt);
  const auto fixed = [](double value) { return static_cast<std::int32_t>(std::floor(value * 65536.0 + 0.5)); };
  for (std::int64_t i = 0; i < n; ++i) {
    std::array<double, 6> m =
        origin(changes[static_cast<std::size_t>(i)], static_cast<double>(height), static_cast<double>(width));
    m[2] += 0.5 * m[0] + 0.5 * m[1];
    m[5] += 0.5 * m[3] + 0.5 * m[4];
    for (std::int64_t j = 0; j < 6; ++j)
      all.data_ptr<std::int32_t>()[j * n + i] = fixed(m[static_cast<std::size_t>(j)]);
  }
  return all;
}

// Each pixel is the nearest one to where it comes from, and of mean colour where that lies outside.
at::Tensor moved(const at::Tensor& images, const at::Tensor& origins, const at::Tensor& mean) {
  const std::int64_t n = images.size(0), height = images.size(1), width = images.size(2), channels = images.size(3);
  const std::int64_t framed_width = width + 2, framed_pixels = (height + 2) * framed_width;
  at::Tensor framed = mean.expand({n, height + 2, framed_width, channels}).contiguous();  // one pixel of it all around
  framed.narrow(1, 1, height).narrow(2, 1, width).copy_(images);
  const at::Tensor x = at::arange(width, origins.options()), y = at::arange(height, origins.options()).unsqueeze(1);
  const auto source = [&](std::int64_t first, std::int64_t extent) {             // of rows or columns, in the frame
    const at::Tensor m = origins.narrow(0, first, 3).unsqueeze(2).unsqueeze(3);  // [3, n, 1, 1]
    const at::Tensor along_y = m[1].mul(y).add_(m[2]);
    return m[0].mul(x).add(along_y).bitwise_right_shift(16).clamp_(-1, extent).add_(1);
  };
  const at::Tensor pixel = source(3, height).mul_(framed_width).add_(source(0, width)).mul_(channels);
  const at::Tensor wide = at::arange(n, at::TensorOptions(at::kLong).device(images.device()));
  const at::Tensor byte = wide.mul(framed_pixels * channels)
                              .view({n, 1, 1, 1})
                              .add(pixel.unsqueeze(3))
                              .add(at::arange(channels, wide.options()));
  return framed.flatten().index_select(0, byte.flatten()).view(images.sizes());
}

at::Tensor auto_contrasted(const at::Tensor& images) {
  const at::Tensor lowest = images.amin({1, 2}, true), range = images.amax({1, 2}, true).sub_(lowest);
  const at::Tensor stretched =
      images.to(at::kInt).sub_(lowest).mul_(255).div_(range.clamp_min(1), "trunc").to(at::kByte);
  return at::where(range.eq(0), images, stretched);
}

// Pillow's: a step is the number of pixels, without those of the highest value, divided by 255; a value becomes the
// number of pixels below it in steps, rounded. Nothing changes where a step is 0.
at::Tensor equalized(const at::Tensor& images) {
  const std::int64_t n = images.size(0), pixels = images.size(1) * images.size(2), channels = images.size(3);
  const at::Tensor first = at::arange(n * channels, at::TensorOptions(at::kLong).device(images.device())).mul_(256);
  const at::Tensor index =
      images.view({n, pixels, channels}).to(at::kLong).add_(first.view({n, 1, channels})).flatten();
  const at::Tensor counts = at::bincount(index, {}, n * channels * 256).view({n * channels, 256});
  const at::Tensor highest = images.amax({1, 2}).view({n * channels, 1}).to(at::kLong);
  const at::Tensor step = counts.gather(1, highest).neg_().add_(pixels).div_(255, "trunc");
  const at::Tensor below = counts.cumsum(1).sub_(counts);
  const at::Tensor table = below.add_(step.div(2, "trunc")).div_(step.clamp_min(1), "trunc").clamp_max_(255);
  const at::Tensor same = at::arange(256, table.options());
  return at::where(step.eq(0), same, table).to(at::kByte).flatten().index_select(0, index).view(images.sizes());
}

at::Tensor solarized(const at::Tensor& images, const at::Tensor& threshold) {
  return at::where(images.ge(threshold), images.bitwise_not(), images);
}

at::Tensor posterized(const at::Tensor& images, const at::Tensor& bits) {
  const at::Tensor lost = bits.neg().add_(8.0).clamp_(0.0, 8.0).to(at::kByte);
  return images.bitwise_right_shift(lost).bitwise_left_shift(lost);
}

// Cut off to whole numbers. One operation after the other, that no device rounds otherwise.
at::Tensor blended(const at::Tensor& degenerate, const at::Tensor& images, const at::Tensor& v) {
  return images.to(at::kFloat).sub_(degenerate).mul_(v).add_(degenerate).clamp_(0.0, 255.0).to(at::kByte);
}

// Of three channels, ITU-R 601-2: [n, height, width, 1], int32; of others the images themselves.
at::Tensor grey(const at::Tensor& images) {
  const at::Tensor wide = images.to(at::kInt);
  if (images.size(3) != 3) return wide;
  const auto weighed = [&](std::int64_t channel, int weight) { return wide.narrow(3, channel, 1).mul(weight); };
  return weighed(0, 19595).add_(weighed(1, 38470)).add_(weighed(2, 7471)).add_(0x8000).bitwise_right_shift(16);
}

at::Tensor with_contrast(const at::Tensor& images, const at::Tensor& v) {
  const at::Tensor values = grey(images).flatten(1);
  const std::int64_t count = values.size(1);
  const at::Tensor mean = values.sum(1).mul_(2).add_(count).div_(2 * count, "trunc");  // rounded
  return blended(mean.to(at::kFloat).view({-1, 1, 1, 1}), images, v);
}

at::Tensor with_color(const at::Tensor& images, const at::Tensor& v) {
  return images.size(3) == 3 ? blended(grey(images), images, v) : images;
}

// The kernel [1 1 1; 1 5 1; 1 1 1] / 13, rounded; pixels at the border stay what they are.
at::Tensor with_sharpness(const at::Tensor& images, const at::Tensor& v) {
  const std::int64_t height = images.size(1) - 2, width = images.size(2) - 2;
  if (height <= 0 || width <= 0) return images;
  const at::Tensor wide = images.to(at::kShort);
  const auto three = [](const at::Tensor& values, std::int64_t dim, std::int64_t extent) {
    return values.narrow(dim, 0, extent).add(values.narrow(dim, 1, extent)).add_(values.narrow(dim, 2, extent));
  };
  const auto inner = [&](const at::Tensor& values) { return values.narrow(1, 1, height).narrow(2, 1, width); };
  const at::Tensor sum = three(three(wide, 1, height), 2, width).add_(inner(wide), 4).add_(6);
  const at::Tensor smooth = images.clone();
  inner(smooth).copy_(sum.div_(13, "trunc"));
  return blended(smooth, images, v);
}

at::Tensor with_square(const at::Tensor& images, const at::Tensor& side, const at::Tensor& mean, Rng& rng) {
  const std::int64_t n = images.size(0), height = images.size(1), width = images.size(2);
  const at::Tensor sides = side.view({n, 1}).to(at::kLong);
  const auto hidden = [&](std::int64_t extent) {  // [n, extent]
    const at::Tensor start = integers(rng, n, extent, images.device()).unsqueeze(1).sub_(sides.div(2, "trunc"));
    const at::Tensor position = at::arange(extent, start.options());
    return position.ge(start).logical_and_(position.lt(start.add(sides)));
  };
  const at::Tensor rows = hidden(height), columns = hidden(width);
  return at::where(rows.view({n, height, 1, 1}).logical_and(columns.view({n, 1, width, 1})), mean, images);
}

at::Tensor changed_alike(const at::Tensor& images, ImageOperation operation, const at::Tensor& magnitude,
                         const at::Tensor& mean, Rng& rng) {
  switch (operation) {
    case auto_contrast:
      return auto_contrasted(images);
    case invert:
      return images.bitwise_not();
    case equalize:
      return equalized(images);
    case solarize:
      return solarized(images, magnitude);
    case posterize:
      return posterized(images, magnitude);
    case contrast:
      return with_contrast(images, magnitude);
    case color:
      return with_color(images, magnitude);
    case brightness:
      return blended(at::zeros({1}, magnitude.options()), images, magnitude);
    case sharpness:
      return with_sharpness(images, magnitude);
    case cutout:
      return with_square(images, magnitude, mean, rng);
    default:
      break;
  }
  throw Error("an operation on images that moves or pairs them is another's");
}

// Images of the batch that have something done to them, those of an operation side by side.
struct Ordered {
  std::vector<std::int64_t> rows;
  std::vector<ImageChange> changes;
  std::array<std::int64_t, image_operation_count> counts = {};
};

Ordered ordered(const std::vector<std::optional<ImageChange>>& changes) {
  std::array<std::vector<std::int64_t>, image_operation_count> rows;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (changes[i]) rows[static_cast<std::size_t>(changes[i]->operation)].push_back(static_cast<std::int64_t>(i));
  }
  Ordered all;
  for (std::size_t operation = 0; operation < image_operation_count; ++operation) {
    all.counts[operation] = static_cast<std::int64_t>(rows[operation].size());
    for (const std::int64_t row : rows[operation]) {
      all.rows.push_back(row);
      all.changes.push_back(*changes[static_cast<std::size_t>(row)]);
    }
  }
  return all;
}

at::Tensor strengths(const std::vector<ImageChange>& changes) {
  at::Tensor all = at::empty({static_cast<std::int64_t>(changes.size()), 1, 1, 1}, at::kFloat);
  float* at = all.data_ptr<float>();
  for (const ImageChange& change : changes) *at++ = static_cast<float>(change.magnitude);
  return all;
}

}  // namespace

at::Tensor changed(const at::Tensor& images, const std::vector<std::optional<ImageChange>>& changes,
                   const at::Tensor& mean, Rng& rng) {
  if (static_cast<std::int64_t>(changes.size()) != images.size(0))
    throw Error(std::to_string(changes.size()) + " changes for " + std::to_string(images.size(0)) + " images");
  const Ordered all = ordered(changes);
  if (all.rows.empty()) return images.clone();
  const at::Tensor rows = at::tensor(all.rows, at::kLong).to(images.device());
  const at::Tensor magnitudes = strengths(all.changes).to(images.device());
  const at::Tensor before = images.index_select(0, rows);
  std::vector<at::Tensor> after;
  std::int64_t first = 0;
  const auto next = [&](std::int64_t count, const auto& change) {
    if (count > 0) after.push_back(change(before.narrow(0, first, count), magnitudes.narrow(0, first, count)));
    first += count;
  };

  const auto paired = static_cast<std::size_t>(sample_pairing), fixed = static_cast<std::size_t>(auto_contrast);
  std::int64_t moving = 0;
  for (std::size_t operation = 0; operation < fixed; ++operation) moving += all.counts[operation];
  next(moving, [&](const at::Tensor& part, const at::Tensor&) {
    const std::vector<ImageChange> moves(all.changes.begin(), all.changes.begin() + moving);
    return moved(part, origins(moves, images.size(1), images.size(2)).to(images.device()), mean);
  });
  for (std::size_t operation = fixed; operation < paired; ++operation) {
    next(all.counts[operation], [&](const at::Tensor& part, const at::Tensor& magnitude) {
      return changed_alike(part, static_cast<ImageOperation>(operation), magnitude, mean, rng);
    });
  }
  next(all.counts[paired], [&](const at::Tensor& part, const at::Tensor& share) {
    const at::Tensor others =
        partners(rng, images.size(0), images.device()).index_select(0, rows.narrow(0, first, part.size(0)));
    return blended(part, images.index_select(0, others), share);
  });
  return images.index_copy(0, rows, at::cat(after));
}

}  // namespace weft
