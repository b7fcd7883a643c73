// AutoAugment's operations, by values worked out by hand and by their definitions, pixel by pixel.

#include "weft/torch/image_operations.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <functional>
#include <numbers>
#include <set>
#include <vector>

#include "tests/catch.hpp"
#include "tests/torch/card.hpp"

namespace {

using weft::ImageChange;
using weft::ImageOperation;
using weft::Magnitudes;
using enum weft::ImageOperation;
using Bytes = std::vector<std::int64_t>;

at::Tensor bytes(const Bytes& values, at::IntArrayRef sizes) {
  return at::tensor(values, at::kLong).to(at::kByte).view(sizes);
}

// All images alike; what enters is 7, 8, 9.
at::Tensor apply(const at::Tensor& images, ImageOperation operation, double magnitude = 0.0) {
  weft::Rng rng(5);
  const std::vector<std::optional<ImageChange>> changes(static_cast<std::size_t>(images.size(0)),
                                                        ImageChange{operation, magnitude});
  return weft::changed(images, changes, at::arange(7, 7 + images.size(3), images.options()), rng);
}

// A row of grey pixels.
Bytes of_row(const Bytes& values, ImageOperation operation, double magnitude = 0.0) {
  const auto count = static_cast<std::int64_t>(values.size());
  const at::Tensor after = apply(bytes(values, {1, 1, count, 1}), operation, magnitude).to(at::kLong);
  return {after.data_ptr<std::int64_t>(), after.data_ptr<std::int64_t>() + count};
}

// One pixel of three channels.
Bytes of_color(const Bytes& values, ImageOperation operation, double magnitude) {
  const at::Tensor after = apply(bytes(values, {1, 1, 1, 3}), operation, magnitude).to(at::kLong);
  return {after.data_ptr<std::int64_t>(), after.data_ptr<std::int64_t>() + 3};
}

// Grey and coloured, neither square.
at::Tensor random_images(std::int64_t n = 3) {
  at::manual_seed(9);
  return GENERATE(true, false) ? at::randint(256, {n, 19, 31, 3}, at::kByte)
                               : at::randint(30, 220, {n, 34, 17, 1}, at::kByte);
}

// The image's pixels changed one by one: from image, row, column, channel.
at::Tensor by_pixel(const at::Tensor& images,
                    const std::function<int(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>& value) {
  at::Tensor after = at::empty_like(images);
  auto at = after.accessor<std::uint8_t, 4>();
  for (std::int64_t n = 0; n < images.size(0); ++n) {
    for (std::int64_t y = 0; y < images.size(1); ++y) {
      for (std::int64_t x = 0; x < images.size(2); ++x) {
        for (std::int64_t c = 0; c < images.size(3); ++c) at[n][y][x][c] = static_cast<std::uint8_t>(value(n, y, x, c));
      }
    }
  }
  return after;
}

}  // namespace

TEST_CASE("image operations on single values, by hand") {
  CHECK(of_row({0, 100, 255}, invert) == Bytes{255, 155, 0});
  CHECK(of_row({0, 127, 128, 255}, solarize, 128) == Bytes{0, 127, 127, 0});
  CHECK(of_row({0, 255}, solarize, 256) == Bytes{0, 255});
  CHECK(of_row({0, 1, 255}, solarize, 0) == Bytes{255, 254, 0});
  CHECK(of_row({0xAB, 0x0F, 0xFF}, posterize, 4) == Bytes{0xA0, 0, 0xF0});
  CHECK(of_row({127, 128, 255}, posterize, 1) == Bytes{0, 128, 128});
  CHECK(of_row({0xAB, 255}, posterize, 8) == Bytes{0xAB, 255});
  CHECK(of_row({50, 100, 150}, auto_contrast) == Bytes{0, 127, 255});
  CHECK(of_row({50, 50, 50}, auto_contrast) == Bytes{50, 50, 50});
  CHECK(of_row({0, 101, 200}, brightness, 0.5) == Bytes{0, 50, 100});
  CHECK(of_row({0, 100, 200}, brightness, 1.9) == Bytes{0, 190, 255});
  CHECK(of_row({0, 100, 200}, contrast, 0.5) == Bytes{50, 100, 150});
  CHECK(of_row({0, 100, 200}, contrast, 1.9) == Bytes{0, 100, 255});
  CHECK(of_row({0, 1}, contrast, 0.0) == Bytes{1, 1});  // the mean is rounded
  CHECK(of_row({0, 100, 200}, color, 0.1) == Bytes{0, 100, 200});
  // Grey of red is (255 x 19595 + 32768) / 65536 = 76.7.
  CHECK(of_color({255, 0, 0}, color, 0.0) == Bytes{76, 76, 76});
  CHECK(of_color({255, 0, 0}, color, 0.5) == Bytes{165, 38, 38});
  CHECK(of_color({255, 0, 0}, contrast, 0.0) == Bytes{76, 76, 76});
  CHECK(of_color({12, 34, 56}, color, 1.0) == Bytes{12, 34, 56});
  CHECK(of_row({1, 2, 3, 4, 5}, translate_x, 2) == Bytes{3, 4, 5, 7, 7});
  CHECK(of_row({1, 2, 3, 4, 5}, translate_x, -2) == Bytes{7, 7, 1, 2, 3});
  CHECK(of_row({1, 2, 3, 4, 5}, translate_y, 1) == Bytes{7, 7, 7, 7, 7});
}

TEST_CASE("sharpness blends with a picture that is smooth but for its border") {
  at::Tensor point = at::zeros({1, 3, 4, 1}, at::kByte);
  point[0][1][1] = 130;
  const at::Tensor smooth = apply(point, sharpness, 0.0);  // 130 x 5 / 13 = 50, beside it 10
  CHECK(smooth.flatten().equal(bytes({0, 0, 0, 0, 0, 50, 10, 0, 0, 0, 0, 0}, {12})));
  CHECK(apply(point, sharpness, 1.9)[0][1][1].item<int>() == 202);  // 50 + 1.9 x 80
  CHECK(apply(point, sharpness, 1.0).equal(point));
  const at::Tensor thin = at::randint(256, {2, 2, 5, 3}, at::kByte);
  CHECK(apply(thin, sharpness, 0.1).equal(thin));
}

TEST_CASE("equalize spreads values by Pillow's steps") {
  // Three values of 510 pixels each: step (1530 - 510) / 255 = 4, tables (0 + 2) / 4, (510 + 2) / 4, (1020 + 2) / 4.
  const at::Tensor thirds =
      at::tensor(Bytes{10, 20, 30}, at::kLong).to(at::kByte).repeat_interleave(510).view({1, 34, 45, 1});
  const at::Tensor wanted =
      at::tensor(Bytes{0, 128, 255}, at::kLong).to(at::kByte).repeat_interleave(510).view({1, 34, 45, 1});
  CHECK(apply(thirds, equalize).equal(wanted));
  const at::Tensor few = at::randint(256, {2, 5, 5, 3}, at::kByte);  // fewer than a step of pixels
  CHECK(apply(few, equalize).equal(few));

  const at::Tensor images = random_images();
  const at::Tensor after = by_pixel(images, [&](auto n, auto y, auto x, auto c) {
    const at::Tensor channel = images[n].select(2, c);
    const int value = channel[y][x].template item<int>();
    const auto count = [](const at::Tensor& which) { return which.sum().item<int>(); };
    const int step = (count(channel.ne(channel.max()))) / 255;
    return step == 0 ? value : std::min(255, (count(channel.lt(value)) + step / 2) / step);
  });
  CHECK(apply(images, equalize).equal(after));
}

TEST_CASE("operations on values follow their definitions in every channel") {
  const at::Tensor images = random_images();
  const auto at = [&](auto n, auto y, auto x, auto c) { return images[n][y][x][c].template item<int>(); };
  CHECK(apply(images, auto_contrast).equal(by_pixel(images, [&](auto n, auto y, auto x, auto c) {
    const at::Tensor channel = images[n].select(2, c);
    const int low = channel.min().template item<int>(), high = channel.max().template item<int>();
    return 255 * (at(n, y, x, c) - low) / (high - low);
  })));
  const auto grey = [&](auto n, auto y, auto x) {
    if (images.size(3) == 1) return at(n, y, x, 0);
    return (19595 * at(n, y, x, 0) + 38470 * at(n, y, x, 1) + 7471 * at(n, y, x, 2) + 32768) >> 16;
  };
  const auto blend = [](int degenerate, int value, float v) {
    return static_cast<int>(std::clamp(degenerate + v * static_cast<float>(value - degenerate), 0.0F, 255.0F));
  };
  std::vector<double> mean(static_cast<std::size_t>(images.size(0)));
  by_pixel(images, [&](auto n, auto y, auto x, auto c) {
    if (c == 0)
      mean[static_cast<std::size_t>(n)] += static_cast<double>(grey(n, y, x)) / double(images.size(1) * images.size(2));
    return 0;
  });
  for (const float v : {0.1F, 0.46F, 1.0F, 1.9F}) {
    CHECK(apply(images, contrast, v).equal(by_pixel(images, [&](auto n, auto y, auto x, auto c) {
      return blend(static_cast<int>(mean[static_cast<std::size_t>(n)] + 0.5), at(n, y, x, c), v);
    })));
    CHECK(apply(images, color, v).equal(by_pixel(images, [&](auto n, auto y, auto x, auto c) {
      return blend(grey(n, y, x), at(n, y, x, c), v);
    })));
    CHECK(apply(images, sharpness, v).equal(by_pixel(images, [&](auto n, auto y, auto x, auto c) {
      if (y == 0 || x == 0 || y == images.size(1) - 1 || x == images.size(2) - 1) return at(n, y, x, c);
      int sum = 4 * at(n, y, x, c);
      for (int i = -1; i <= 1; ++i) {
        for (int j = -1; j <= 1; ++j) sum += at(n, y + i, x + j, c);
      }
      return blend(static_cast<int>(std::floor(sum / 13.0 + 0.5)), at(n, y, x, c), v);
    })));
  }
}

TEST_CASE("operations that move pixels map each place back to the nearest pixel it comes from") {
  const at::Tensor rows = at::arange(1, 16).to(at::kByte).view({1, 3, 5, 1});
  CHECK(apply(rows, shear_x, 1.0).flatten().equal(bytes({2, 3, 4, 5, 7, 8, 9, 10, 7, 7, 14, 15, 7, 7, 7}, {15})));
  CHECK(apply(rows, translate_y, -1).flatten().equal(bytes({7, 7, 7, 7, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {15})));
  const at::Tensor square = at::randint(256, {2, 6, 6, 3}, at::kByte);
  CHECK(apply(square, rotate, 90.0).equal(square.rot90(1, {1, 2})));

  const at::Tensor images = random_images(1);
  CHECK(apply(images, rotate, 180.0).equal(images.flip({1, 2})));
  CHECK(apply(images, rotate, 0.0).equal(images));
  const auto height = static_cast<double>(images.size(1)), width = static_cast<double>(images.size(2));
  struct Case {
    ImageOperation operation;
    double magnitude;
    std::function<std::array<double, 2>(double, double)> origin;  // of (x, y)
  };
  const double angle = 23.7 * std::numbers::pi / 180.0;
  const std::vector<Case> cases = {
      {shear_x, 0.2345,
       [](double x, double y) {
         return std::array{x + 0.2345 * y, y};
       }},
      {shear_x, -0.1717,
       [](double x, double y) {
         return std::array{x - 0.1717 * y, y};
       }},
      {shear_y, 0.2929,
       [](double x, double y) {
         return std::array{x, y + 0.2929 * x};
       }},
      {translate_x, -5.0,
       [](double x, double y) {
         return std::array{x - 5.0, y};
       }},
      {translate_y, 9.0,
       [](double x, double y) {
         return std::array{x, y + 9.0};
       }},
      // Against the clock, y pointing down: what is seen right of the centre comes from below it.
      {rotate, 23.7, [&](double x, double y) {
         const double u = x - width / 2, v = y - height / 2;
         return std::array{std::cos(angle) * u - std::sin(angle) * v + width / 2,
                           std::sin(angle) * u + std::cos(angle) * v + height / 2};
       }}};
  for (const Case& one : cases) {
    INFO(weft::image_operation_names()[static_cast<std::size_t>(one.operation)] << " " << one.magnitude);
    const at::Tensor after = apply(images, one.operation, one.magnitude);
    int outside = 0, undecided = 0;
    const at::Tensor wanted = by_pixel(images, [&](auto n, auto y, auto x, auto c) {
      const auto [from_x, from_y] = one.origin(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5);
      // Between two pixels, to what fixed point can tell, either is right.
      if (std::abs(from_x - std::round(from_x)) < 1e-3 || std::abs(from_y - std::round(from_y)) < 1e-3) {
        ++undecided;
        return after[n][y][x][c].template item<int>();
      }
      const auto column = static_cast<std::int64_t>(std::floor(from_x)),
                 row = static_cast<std::int64_t>(std::floor(from_y));
      if (column >= 0 && row >= 0 && column < images.size(2) && row < images.size(1))
        return images[n][row][column][c].template item<int>();
      ++outside;
      return static_cast<int>(7 + c);
    });
    CHECK(after.equal(wanted));
    CHECK(outside > 0);
    CHECK(undecided < images.numel() / 20);
  }
}

TEST_CASE("Cutout hides one square of mean colour, cut off at the border") {
  const at::Tensor images = at::full({800, 6, 9, 3}, 200, at::kByte);
  const at::Tensor hidden = apply(images, cutout, 4).ne(200);
  CHECK(apply(images, cutout, 4).masked_select(hidden).view({-1, 3}).eq(at::arange(7, 10)).all().item<bool>());
  CHECK(hidden.select(3, 0).equal(hidden.select(3, 2)));
  const at::Tensor rows = hidden.select(3, 0).any(2).sum(1), columns = hidden.select(3, 0).any(1).sum(1);
  CHECK(hidden.select(3, 0).sum({1, 2}).equal(rows * columns));
  // Centres 0 .. 5 hide 2, 3, 4, 4, 4, 3 rows; 0 .. 8 hide 2, 3, 4, 4, 4, 4, 4, 4, 3 columns.
  CHECK(rows.to(at::kDouble).mean().item<double>() == Approx(20.0 / 6.0).margin(0.15));
  CHECK(columns.to(at::kDouble).mean().item<double>() == Approx(32.0 / 9.0).margin(0.15));
  CHECK(apply(images, cutout, 0).equal(images));
}

TEST_CASE("SamplePairing adds another image of the batch, as it was before") {
  const at::Tensor two = bytes({0, 100}, {2, 1, 1, 1});
  CHECK(apply(two, sample_pairing, 0.4).flatten().equal(bytes({40, 60}, {2})));
  const at::Tensor one = bytes({0, 100}, {1, 1, 2, 1});
  CHECK(apply(one, sample_pairing, 0.4).equal(one));
  weft::Rng rng(1);
  const at::Tensor both =
      weft::changed(two, {ImageChange{invert}, ImageChange{sample_pairing, 0.4}}, at::full({1}, 7, at::kByte), rng);
  CHECK(both.flatten().equal(bytes({255, 60}, {2})));
  const at::Tensor others = weft::partners(rng, 7, c10::kCPU);
  CHECK_FALSE(others.eq(at::arange(7)).any().item<bool>());
  CHECK((others.min().item<int>() >= 0 && others.max().item<int>() < 7));
}

TEST_CASE("each image of a batch gets its own operation, or none") {
  const at::Tensor images = random_images(33), mean = at::full({images.size(3)}, 90, at::kByte);
  const at::Tensor given = images.clone();
  std::vector<std::optional<ImageChange>> changes;
  for (std::size_t i = 0; i < 33; ++i) {  // in no order, without what draws
    const auto operation = static_cast<ImageOperation>(5 * i % 16);
    if (i % 7 == 3 || operation == cutout || operation == sample_pairing) {
      changes.emplace_back();
    } else {
      changes.emplace_back(weft::ImageChange{
          operation, weft::magnitude(operation, Magnitudes::tv, double(i % 10), 10, images.size(1), images.size(2))});
    }
  }
  weft::Rng rng(2);
  const at::Tensor after = weft::changed(images, changes, mean, rng);
  CHECK(images.equal(given));
  for (std::int64_t i = 0; i < 33; ++i) {
    const at::Tensor alone = images.narrow(0, i, 1);
    const std::optional<ImageChange> change = changes[static_cast<std::size_t>(i)];
    CHECK(after.narrow(0, i, 1).equal(weft::changed(alone, {change}, mean, rng)));
    if (!change) CHECK(after.narrow(0, i, 1).equal(alone));
  }
}

TEST_CASE("image operations are the same to the bit on the card", "[card]") {
  const auto device = cpu_or_card();
  if (!device) return;
  const at::Tensor images = random_images(64), mean = at::full({images.size(3)}, 90, at::kByte);
  for (const Magnitudes map : {Magnitudes::aa, Magnitudes::tv, Magnitudes::paper, Magnitudes::faa}) {
    std::vector<std::optional<ImageChange>> changes;
    weft::Rng drawn(4);
    for (std::size_t i = 0; i < 64; ++i)
      changes.emplace_back(weft::image_change(static_cast<ImageOperation>(i % 16), map, double(i % 10), 10,
                                              images.size(1), images.size(2), drawn));
    weft::Rng rng(3), too(3);
    const at::Tensor here = weft::changed(images, changes, mean, rng);
    CHECK(weft::changed(images.to(*device), changes, mean.to(*device), too).cpu().equal(here));
  }
}

TEST_CASE("the maps of magnitudes are the sheet's") {
  const auto of = [](ImageOperation operation, Magnitudes map, std::int64_t levels = 10) {
    std::vector<double> all;
    for (std::int64_t m = 0; m < levels; ++m) all.push_back(weft::magnitude(operation, map, double(m), levels, 32, 64));
    return all;
  };
  using Values = std::vector<double>;
  CHECK(of(solarize, Magnitudes::aa) == Values{256, 231, 205, 180, 154, 128, 103, 77, 52, 26});
  CHECK(of(posterize, Magnitudes::aa) == Values{4, 4, 4, 3, 3, 2, 2, 2, 1, 1});
  CHECK(of(rotate, Magnitudes::aa) == Values{0, 3, 6, 9, 12, 15, 18, 21, 24, 27});
  CHECK(of(translate_x, Magnitudes::aa) == Values{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(of(cutout, Magnitudes::aa) == Values{0, 2, 4, 6, 8, 10, 12, 14, 16, 18});
  CHECK(of(shear_y, Magnitudes::aa)[9] == Approx(0.27));
  CHECK(of(color, Magnitudes::aa)[0] == Approx(0.1));
  CHECK(of(color, Magnitudes::aa)[5] == 1.0);
  CHECK(of(color, Magnitudes::aa)[9] == Approx(1.72));
  CHECK(of(solarize, Magnitudes::tv)[3] == 170.0);
  CHECK(of(solarize, Magnitudes::tv, 31)[9] == Approx(178.5));
  CHECK(of(rotate, Magnitudes::tv, 31)[9] == Approx(9.0));
  for (const Magnitudes map : {Magnitudes::tv, Magnitudes::paper}) {
    CHECK(of(shear_x, map)[9] == Approx(0.3));
    CHECK(of(rotate, map)[9] == Approx(30.0));
    CHECK(of(translate_x, map)[9] == 29.0);  // 150 of 331 pixels, of 64
    CHECK(of(translate_y, map)[9] == 14.0);  // of 32
    CHECK(of(solarize, map)[9] == 0.0);
    CHECK(of(contrast, map)[9] == Approx(1.9));
    CHECK(of(posterize, map) == Values{8, 8, 7, 7, 6, 6, 5, 5, 4, 4});
    CHECK(of(cutout, map)[9] == 5.0);  // 60 of 331 pixels, of 32
  }
  CHECK(of(solarize, Magnitudes::paper)[0] == 256.0);
  CHECK(of(contrast, Magnitudes::paper)[0] == Approx(0.1));
  CHECK(of(contrast, Magnitudes::tv)[0] == Approx(1.0));
  for (const Magnitudes map : {Magnitudes::aa, Magnitudes::tv, Magnitudes::paper, Magnitudes::faa})
    CHECK(of(sample_pairing, map)[9] == Approx(0.4));

  for (const auto& [level, sign] : {std::pair<std::size_t, double>{0, -1.0}, {9, 1.0}}) {  // faa: from end to end
    CHECK(of(shear_x, Magnitudes::faa)[level] == Approx(0.3 * sign));
    CHECK(of(rotate, Magnitudes::faa)[level] == Approx(30.0 * sign));
    CHECK(of(translate_x, Magnitudes::faa)[level] == Approx(28.8 * sign));  // 0.45 of 64
    CHECK(of(translate_y, Magnitudes::faa)[level] == Approx(14.4 * sign));
  }
  CHECK(of(rotate, Magnitudes::faa, 3)[1] == 0.0);
  CHECK(of(solarize, Magnitudes::faa, 3) == Values{0, 128, 256});
  CHECK(of(posterize, Magnitudes::faa) == Values{4, 4, 4, 5, 5, 6, 6, 7, 7, 8});
  CHECK(of(cutout, Magnitudes::faa)[9] == 12.0);  // 0.2 of 64
  CHECK(of(brightness, Magnitudes::faa)[0] == Approx(0.1));
  CHECK(of(brightness, Magnitudes::faa)[9] == Approx(1.9));

  // Beyond the strongest: RandAugment's 14 and 28, of which 10 is the end of the ranges.
  const auto beyond = [](ImageOperation operation, double level) {
    return weft::magnitude(operation, Magnitudes::paper, level, 11, 32, 32);
  };
  CHECK(beyond(rotate, 5) == Approx(15.0));
  CHECK(beyond(rotate, 14) == Approx(42.0));
  CHECK(beyond(color, 14) == Approx(2.62));
  CHECK(beyond(posterize, 14) == 2.0);  // 8 - 5.6
  CHECK(beyond(posterize, 28) == 0.0);
  CHECK(beyond(solarize, 28) < 0.0);

  weft::Rng rng(6);
  const auto drawn = [&](ImageOperation operation, Magnitudes map) {
    std::set<double> seen;
    for (int i = 0; i < 40; ++i) seen.insert(weft::image_change(operation, map, 9, 10, 32, 32, rng).magnitude);
    return std::vector<double>(seen.begin(), seen.end());
  };
  CHECK(drawn(rotate, Magnitudes::aa) == Values{-27, 27});
  CHECK(drawn(translate_y, Magnitudes::tv) == Values{-14, 14});
  CHECK(drawn(sharpness, Magnitudes::aa).size() == 1);
  REQUIRE(drawn(sharpness, Magnitudes::tv).size() == 2);
  CHECK(drawn(sharpness, Magnitudes::tv)[0] == Approx(0.1));
  CHECK(drawn(solarize, Magnitudes::tv).size() == 1);
  REQUIRE(drawn(shear_x, Magnitudes::faa).size() == 2);
  CHECK(drawn(shear_x, Magnitudes::faa)[0] == Approx(-0.3));
  CHECK(drawn(contrast, Magnitudes::faa).size() == 1);
}

TEST_CASE("image operations have the paper's names") {
  for (std::size_t i = 0; i < weft::image_operation_count; ++i)
    CHECK(weft::image_operation(weft::image_operation_names()[i]) == static_cast<ImageOperation>(i));
  CHECK(weft::image_operation("AutoContrast") == auto_contrast);
  CHECK_THROWS_WITH(weft::image_operation("shear_x"),
                    ContainsSubstring("\"shear_x\" is no operation") && ContainsSubstring("SamplePairing"));
  CHECK_THROWS_WITH(weft::magnitudes("dv"), ContainsSubstring("those are \"aa\", \"tv\", \"paper\" and \"faa\""));
}
