#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/augmentation_contract.hpp"
#include "window.hpp"

using namespace weft::testing;

namespace {

at::Tensor cropped(const at::Tensor& images, const weft::Json& args) {
  weft::Rng rng(2);
  return augmentation_of(Plugin::open("augmentation", "random_resized_crop"), args)
      ->pixels(images.clone(), at::zeros({images.size(3)}, at::kByte), rng);
}

// One picture's window, scaled to the picture's size: between the centres of pixels, in double.
at::Tensor scaled(const at::Tensor& image, const weft::Window& window) {
  const std::int64_t height = image.size(0), width = image.size(1);
  const at::Tensor part =
      image.narrow(0, window.top, window.height).narrow(1, window.left, window.width).to(at::kDouble).contiguous();
  const auto place = [](std::int64_t i, std::int64_t extent, std::int64_t length) {
    const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(length) / static_cast<double>(extent) - 0.5;
    return std::clamp(at, 0.0, static_cast<double>(length - 1));
  };
  at::Tensor result = at::empty({height, width, image.size(2)}, at::kDouble);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double row = place(y, height, window.height), column = place(x, width, window.width);
      const auto top = static_cast<std::int64_t>(row), left = static_cast<std::int64_t>(column);
      const std::int64_t bottom = std::min(top + 1, window.height - 1), right = std::min(left + 1, window.width - 1);
      const double v = row - static_cast<double>(top), u = column - static_cast<double>(left);
      result[y][x] = (1 - v) * ((1 - u) * part[top][left] + u * part[top][right]) +
                     v * ((1 - u) * part[bottom][left] + u * part[bottom][right]);
    }
  }
  return result;
}

bool is_rounded(const at::Tensor& bytes, const at::Tensor& exact) {
  return bytes.to(at::kDouble).sub(exact).abs().max().item<double>() <= 0.501;
}

}  // namespace

TEST_CASE("random_resized_crop keeps the contract of augmentations") {
  check_augmentation(Plugin::open("augmentation", "random_resized_crop"));
}

TEST_CASE("random_resized_crop scales a window of the picture bilinearly") {
  at::manual_seed(1);
  const at::Tensor image = at::randint(256, {8, 16, 3}, at::kByte);
  // 36 of 128 pixels, square.
  const at::Tensor after = cropped(image.repeat({6, 1, 1, 1}), {{"area", {0.28125, 0.28125}}, {"ratio", {1.0, 1.0}}});
  for (std::int64_t i = 0; i < after.size(0); ++i) {
    int found = 0;
    for (std::int64_t top = 0; top <= 2; ++top) {
      for (std::int64_t left = 0; left <= 10; ++left) found += is_rounded(after[i], scaled(image, {top, left, 6, 6}));
    }
    CHECK(found == 1);
  }
  CHECK_FALSE(after[0].equal(after[1]));
  CHECK(cropped(image.unsqueeze(0), {{"area", {1, 1}}, {"ratio", {2, 2}}}).equal(image.unsqueeze(0)));
  // Three times as wide as high does not fit: the middle of the picture's height.
  const at::Tensor wide = cropped(image.unsqueeze(0), {{"area", {1, 1}}, {"ratio", {4, 5}}});
  CHECK(is_rounded(wide[0], scaled(image, {2, 0, 4, 16})));
}

TEST_CASE("random windows are within the picture, and as often too large as they should be") {
  const weft::WindowRange range{{0.08, 1.0}, {3.0 / 4.0, 4.0 / 3.0}};
  weft::Rng rng(3);
  constexpr int tries = 20000;
  int fit = 0;
  for (int i = 0; i < tries; ++i) {
    const auto window = weft::try_window(range, 32, 32, rng);
    if (!window) continue;
    ++fit;
    REQUIRE((window->top >= 0 && window->top + window->height <= 32));
    REQUIRE((window->left >= 0 && window->left + window->width <= 32));
    REQUIRE(window->height * window->width > 0.06 * 1024);
  }
  CHECK(std::abs(fit - 0.8855 * tries) < 5.0 * std::sqrt(tries * 0.8855 * 0.1145));
  const weft::Window middle = weft::central_window(range, 30, 60);
  CHECK((middle.top == 0 && middle.left == 10 && middle.height == 30 && middle.width == 40));
  const weft::Window high = weft::central_window(range, 60, 30);
  CHECK((high.top == 10 && high.left == 0 && high.height == 40 && high.width == 30));
}

TEST_CASE("random_resized_crop refuses limits in the wrong order") {
  CHECK_THROWS_WITH(augmentation_of(Plugin::open("augmentation", "random_resized_crop"), {{"ratio", {2, 1}}}),
                    ContainsSubstring("/ratio is [2,1]; must be the least, then the largest"));
}
