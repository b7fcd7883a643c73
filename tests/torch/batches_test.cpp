#include "weft/torch/batches.hpp"

#include <ATen/ATen.h>

#include <map>
#include <set>

#include "tests/catch.hpp"

namespace {

using weft::Batch;
using weft::Batches;
using weft::Normalisation;
using weft::Shape;

// Every value of the image is different: channels (y width + x) + channel + 1. No value is 0, the padding's.
weft::Split copies_of_one_image(std::int64_t examples, const Shape& shape) {
  const at::Tensor image =
      (at::arange(shape.elements()) + 1).view({shape.height, shape.width, shape.channels}).permute({2, 0, 1});
  return {image.to(at::kByte).repeat({examples, 1, 1, 1}), at::arange(examples)};
}

// Leaves pixels as they are.
Normalisation identity(const Shape& shape) {
  const auto channels = static_cast<std::size_t>(shape.channels);
  return {std::vector<double>(channels, 0.0), std::vector<double>(channels, 1.0 / 255.0)};
}

// Grey and coloured, square, wide and high.
Shape any_shape() {
  return GENERATE(Shape::image(3, 5, 5), Shape::image(1, 5, 5), Shape::image(1, 4, 7), Shape::image(3, 7, 4));
}

}  // namespace

TEST_CASE("batches are normalised, in channels last, with their labels") {
  const weft::Split split{at::full({3, 2, 2, 2}, 255, at::kByte), at::tensor({7, 8, 9}, at::kLong)};
  const Batches batches(split, {{0.5, 0.0}, {0.25, 0.5}});
  const Batch batch = batches.plain(1, 2);
  CHECK(batch.images.sizes() == at::IntArrayRef({2, 2, 2, 2}));
  CHECK(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(batch.images.select(1, 0).allclose(at::full({2, 2, 2}, 2.0F)));
  CHECK(batch.images.select(1, 1).allclose(at::full({2, 2, 2}, 2.0F)));
  CHECK(batch.labels.equal(at::tensor({8, 9}, at::kLong)));
  weft::Rng rng(1);
  CHECK(batches.augmented(at::tensor({2, 0}, at::kLong), {}, rng).labels.equal(at::tensor({9, 7}, at::kLong)));
}

TEST_CASE("random crops take every window, equally often") {
  const std::int64_t examples = 4000, padding = 2;
  const Shape shape = any_shape();
  const weft::Split split = copies_of_one_image(examples, shape);
  const Batches batches(split, identity(shape));
  weft::Rng rng(3);
  const Batch batch = batches.augmented(at::arange(examples), {.crop_padding = padding}, rng);
  CHECK(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
  const at::Tensor padded = at::constant_pad_nd(split.images[0].to(at::kFloat), {padding, padding, padding, padding});
  std::map<std::pair<std::int64_t, std::int64_t>, int> seen;
  for (std::int64_t i = 0; i < examples; ++i) {
    int matches = 0;
    for (std::int64_t y = 0; y <= 2 * padding; ++y) {
      for (std::int64_t x = 0; x <= 2 * padding; ++x) {
        if (!batch.images[i].equal(padded.narrow(1, y, shape.height).narrow(2, x, shape.width))) continue;
        ++matches;
        ++seen[{y, x}];
      }
    }
    REQUIRE(matches == 1);
  }
  REQUIRE(seen.size() == 25);
  for (const auto& [offset, count] : seen) CHECK(std::abs(count - 160) < 62);  // 5 standard deviations of 12.4
}

TEST_CASE("flips mirror half of the images and nothing else") {
  const std::int64_t examples = 2000;
  const Shape shape = any_shape();
  const weft::Split split = copies_of_one_image(examples, shape);
  const Batches batches(split, identity(shape));
  weft::Rng rng(5);
  const at::Tensor images = batches.augmented(at::arange(examples), {.flip = true}, rng).images;
  const at::Tensor image = split.images[0].to(at::kFloat);
  const auto same_as = [&](const at::Tensor& wanted) {
    return images.eq(wanted).flatten(1).all(1).sum().item<std::int64_t>();
  };
  const std::int64_t mirrored = same_as(image.flip(2));
  CHECK(std::abs(mirrored - 1000) < 112);  // 5 standard deviations of 22.4
  CHECK(mirrored + same_as(image) == examples);
}

TEST_CASE("cutout hides one square, cut off at the border, of mean colour") {
  const std::int64_t examples = 3000, side = 9;
  const weft::Split split{at::full({examples, 3, side, side}, 200, at::kByte), at::zeros({examples}, at::kLong)};
  const Batches batches(split, {{0.1, 0.1, 0.1}, {1.0, 1.0, 1.0}});
  weft::Rng rng(7);
  const at::Tensor images = batches.augmented(at::arange(examples), {.cutout = 4}, rng).images;
  const at::Tensor hidden = images.eq(0.0);
  CHECK(hidden.select(1, 0).equal(hidden.select(1, 2)));
  const at::Tensor rows = hidden.select(1, 0).any(2).sum(1), columns = hidden.select(1, 0).any(1).sum(1);
  CHECK(hidden.select(1, 0).sum({1, 2}).equal(rows * columns));  // a full rectangle
  CHECK(rows.max().item<std::int64_t>() == 4);
  CHECK(rows.min().item<std::int64_t>() == 2);
  // Centres 0 .. 8 hide 2, 3, 4, 4, 4, 4, 4, 4, 3 rows: 32/9 on average.
  CHECK(rows.to(at::kDouble).mean().item<double>() == Approx(32.0 / 9.0).margin(0.06));
  CHECK(columns.to(at::kDouble).mean().item<double>() == Approx(32.0 / 9.0).margin(0.06));
  CHECK(images.ne(0.0).logical_and(images.sub(200.0 / 255.0 - 0.1).abs().gt(1e-5)).any().item<bool>() == false);
}

TEST_CASE("an epoch's batches are a permutation in pieces, a rest of one is left out") {
  const auto sizes = [](std::int64_t examples, std::int64_t batch_size) {
    std::vector<std::int64_t> found;
    for (const at::Tensor& batch : weft::epoch_batches(examples, batch_size, weft::Rng(1)))
      found.push_back(batch.size(0));
    return found;
  };
  CHECK(sizes(10, 4) == std::vector<std::int64_t>{4, 4, 2});
  CHECK(sizes(9, 4) == std::vector<std::int64_t>{4, 4});
  CHECK(sizes(2, 1) == std::vector<std::int64_t>{1, 1});
  const at::Tensor order = at::cat(weft::epoch_batches(1000, 64, weft::Rng(1)));
  CHECK(std::get<0>(order.sort()).equal(at::arange(1000)));
  CHECK_FALSE(order.equal(at::arange(1000)));
  CHECK(order.equal(at::cat(weft::epoch_batches(1000, 64, weft::Rng(1)))));
  CHECK_FALSE(order.equal(at::cat(weft::epoch_batches(1000, 64, weft::Rng(2)))));
}
