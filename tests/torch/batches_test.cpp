#include "weft/torch/batches.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "tests/catch.hpp"

namespace {

using weft::Batch;
using weft::Batches;
using weft::EpochBatches;
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

// Adds `step` to every pixel and to every normalised value; from the middle of the training on `later` does.
class Adding final : public weft::Augmentation {
 public:
  explicit Adding(int step, std::shared_ptr<const Adding> later = {}) : step_(step), later_(std::move(later)) {}
  at::Tensor pixels(at::Tensor images, const at::Tensor& mean, weft::Rng&) const override {
    CHECK(mean.equal(at::tensor({51, 102}, at::kLong).to(at::kByte)));  // rounded
    return images.add_(step_);
  }
  void normalised(Batch& batch, weft::Rng&) const override { batch.images.add_(step_); }
  const weft::Augmentation& during(double progress) const override {
    return later_ && progress >= 0.5 ? *later_ : *this;
  }

 private:
  int step_;
  std::shared_ptr<const Adding> later_;
};

// The first column becomes 200; every normalised value 1000 more.
class Marking final : public weft::Augmentation {
 public:
  at::Tensor pixels(at::Tensor images, const at::Tensor&, weft::Rng&) const override {
    images.select(2, 0).fill_(200);
    return images;
  }
  void normalised(Batch& batch, weft::Rng&) const override { batch.images.add_(1000); }
};

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
}

TEST_CASE("random crops take every window, equally often") {
  const std::int64_t examples = 4000, padding = 2;
  const Shape shape = any_shape();
  const weft::Split split = copies_of_one_image(examples, shape);
  const Batches batches(split, identity(shape));
  const Batch batch = EpochBatches(batches, examples, {.crop_padding = padding}, weft::Rng(3)).batch(0);
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
  const at::Tensor images = EpochBatches(batches, examples, {.flip = true}, weft::Rng(3)).batch(0).images;
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
  const at::Tensor images = EpochBatches(batches, examples, {.cutout = 4}, weft::Rng(3)).batch(0).images;
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
  const auto labels = [](std::int64_t examples, std::int64_t batch_size, std::uint64_t seed) {
    const Batches batches(copies_of_one_image(examples, Shape::image(3, 1, 1)), identity(Shape::image(3, 1, 1)));
    const EpochBatches epoch(batches, batch_size, {}, weft::Rng(seed));
    std::vector<at::Tensor> found;
    for (std::size_t i = 0; i < epoch.size(); ++i) found.push_back(epoch.batch(i).labels);
    return found;
  };
  const auto sizes = [&](std::int64_t examples, std::int64_t batch_size) {
    std::vector<std::int64_t> found;
    for (const at::Tensor& batch : labels(examples, batch_size, 1)) found.push_back(batch.size(0));
    return found;
  };
  CHECK(sizes(10, 4) == std::vector<std::int64_t>{4, 4, 2});
  CHECK(sizes(9, 4) == std::vector<std::int64_t>{4, 4});
  CHECK(sizes(2, 1) == std::vector<std::int64_t>{1, 1});
  const at::Tensor order = at::cat(labels(1000, 64, 1));
  CHECK(std::get<0>(order.sort()).equal(at::arange(1000)));
  CHECK_FALSE(order.equal(at::arange(1000)));
  CHECK(order.equal(at::cat(labels(1000, 64, 1))));
  CHECK_FALSE(order.equal(at::cat(labels(1000, 64, 2))));
}

// The numbers are those of the time when each batch drew its own as it was cut: studies go on as they were begun.
TEST_CASE("an epoch draws everything when it is made, the same numbers in the same order whatever is asked of it") {
  const Batches batches(copies_of_one_image(10, Shape::image(3, 5, 5)), identity(Shape::image(3, 5, 5)));
  const weft::Augmentations all{.crop_padding = 2, .flip = true, .cutout = 2};
  const EpochBatches epoch(batches, 4, all, weft::Rng(11));
  const Batch last = epoch.batch(2);
  const Batch first = epoch.batch(0);
  CHECK(epoch.batch(2).images.equal(last.images));

  weft::Rng order = weft::Rng(11).derive("order"), drawn = weft::Rng(11).derive("augmentation");
  std::vector<std::int64_t> examples(10);
  std::iota(examples.begin(), examples.end(), 0);
  order.shuffle(examples);
  const auto draws = [&](std::size_t count) {
    std::vector<std::int64_t> values;
    for (int i = 0; i < 4; ++i) values.push_back(static_cast<std::int64_t>(drawn.below(count)));
    return values;
  };
  const auto y = draws(5), x = draws(5), flipped = draws(2), hidden_y = draws(5), hidden_x = draws(5);
  const at::Tensor image = batches.plain(0, 1).images[0];
  const at::Tensor padded = at::constant_pad_nd(image, {2, 2, 2, 2});
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    CHECK(first.labels[i].item<std::int64_t>() == examples[at]);
    at::Tensor expected = padded.narrow(1, y[at], 5).narrow(2, x[at], 5).clone();
    if (flipped[at] == 1) expected = expected.flip(2);
    for (std::int64_t row = std::max<std::int64_t>(hidden_y[at] - 1, 0);
         row < std::min<std::int64_t>(hidden_y[at] + 1, 5); ++row) {
      for (std::int64_t column = std::max<std::int64_t>(hidden_x[at] - 1, 0);
           column < std::min<std::int64_t>(hidden_x[at] + 1, 5); ++column)
        expected.select(1, row).select(1, column).zero_();
    }
    CHECK(first.images[i].allclose(expected));
  }
}

TEST_CASE(
    "a batch passes through the recipe's augmentations as pixels and as it is normalised, whatever they are by then") {
  const weft::Split split{at::full({4, 2, 3, 3}, 100, at::kByte), at::arange(4)};
  const Batches batches(split, {{0.2, 0.4}, {1.0, 1.0}});
  weft::Augmentations augmentation;
  augmentation.others = {std::make_shared<Adding>(5, std::make_shared<Adding>(10)), std::make_shared<Adding>(1)};
  const auto value = [&](double progress) {
    const Batch batch = EpochBatches(batches, 4, augmentation, weft::Rng(1), progress).batch(0);
    CHECK(batch.images.select(1, 0).sub(batch.images.select(1, 1)).allclose(at::full({4, 3, 3}, 0.2F)));
    return batch.images[0][0][0][0].item<double>();
  };
  CHECK(value(0.0) == Approx(106.0 / 255.0 - 0.2 + 6.0));
  CHECK(value(0.49) == Approx(106.0 / 255.0 - 0.2 + 6.0));
  CHECK(value(0.5) == Approx(111.0 / 255.0 - 0.2 + 11.0));
  CHECK(batches.plain(0, 4).images[0][0][0][0].item<double>() == Approx(100.0 / 255.0 - 0.2));
}

TEST_CASE("a batch is augmented, cropped, mirrored, normalised and cut out in this order, and augmented once more") {
  constexpr std::int64_t examples = 400, width = 6;
  const weft::Split split{at::full({examples, 1, 4, width}, 100, at::kByte), at::arange(examples)};
  const Batches batches(split, {{0.4}, {1.0 / 255.0}});  // 102 becomes 0
  const weft::Augmentations all{
      .crop_padding = 1, .flip = true, .cutout = 2, .others = {std::make_shared<const Marking>()}};
  const at::Tensor images = EpochBatches(batches, examples, all, weft::Rng(5)).batch(0).images.round().squeeze(1);
  const auto shows = [&](int value) { return images.eq(value); };
  const int black = 1000 - 102, hidden = 1000, plain = 1000 + 100 - 102, marked = 1000 + 200 - 102;
  CHECK((shows(black) | shows(hidden) | shows(plain) | shows(marked)).all().item<bool>());
  CHECK(shows(hidden).flatten(1).any(1).all().item<bool>());  // whatever was there before
  CHECK((shows(hidden).sum({1, 2}).max().item<int>() == 4 && shows(hidden).sum({1, 2}).min().item<int>() >= 1));
  // What was marked as the first column lies where crop and flip have brought it, or was cut off.
  std::set<std::int64_t> columns;
  for (std::int64_t i = 0; i < examples; ++i) {
    const at::Tensor seen = shows(marked)[i].any(0).nonzero().flatten();
    REQUIRE(seen.numel() <= 1);
    columns.insert(seen.numel() == 0 ? -1 : seen.item<std::int64_t>());
  }
  CHECK(columns == std::set<std::int64_t>{-1, 0, 1, width - 2, width - 1});
}

TEST_CASE("uniform numbers stay below their end, though floats near it are few") {
  weft::Rng rng(1);
  // The only floats of this range are its ends.
  const at::Tensor drawn = weft::uniform(rng, 100, 16777216.0, 16777218.0, c10::kCPU);
  CHECK(drawn.eq(16777216.0F).all().item<bool>());
}
