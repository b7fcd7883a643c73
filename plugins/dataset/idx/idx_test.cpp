#include <ATen/ATen.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/torch/area_resize.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::testing::dataset_contract::dataset_of;
using weft::testing::dataset_contract::description_of;

std::string word(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

// A gzip file of one stored block (RFC 1951, RFC 1952).
std::string gzip(const std::string& data) {
  std::uint32_t crc = ~0U;
  for (const unsigned char byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  const auto little = [](std::uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 0xFF);
    return text;
  };
  const auto size = static_cast<std::uint32_t>(data.size());
  return std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01", 11) + little(size, 2) + little(~size & 0xFFFF, 2) + data +
         little(~crc, 4) + little(size, 4);
}

// Ten training images of 2 x 3 pixels, image i of value i, label i % 3; two test images.
struct Files {
  fs::path path = fs::temp_directory_path() / ("weft_idx_test_" + std::to_string(getpid()));
  std::string images = word(2051) + word(10) + word(2) + word(3), labels = word(2049) + word(10);

  Files() {
    fs::create_directories(path);
    for (char i = 0; i < 10; ++i) {
      images += std::string(6, i);
      labels += static_cast<char>(i % 3);
    }
    write("train-images", images);
    write("train-labels", labels);
    write("test-images", word(2051) + word(2) + word(2) + word(3) + std::string(12, 'x'));
    write("test-labels", word(2049) + word(2) + std::string(2, '\1'));
  }
  ~Files() { fs::remove_all(path); }
  void write(const char* name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
  }

  weft::testing::Instance load(const Json& changes = Json::object(), const char* phase = "search", int seed = 1) const {
    Json args = {{"folder", path.string()},
                 {"train_images", "train-images"},
                 {"train_labels", "train-labels"},
                 {"test_images", "test-images"},
                 {"test_labels", "test-labels"},
                 {"classes", 3},
                 {"validation", 3}};
    for (const auto& [name, value] : changes.items()) args[name] = value;
    return {weft::testing::Plugin::open("dataset", "idx"),
            args,
            {.study = {{"phase", phase}}, .rng = weft::Rng(static_cast<std::uint64_t>(seed))}};
  }
};

std::multiset<int> values(const weft::Split& split) {
  std::multiset<int> found;
  for (std::int64_t i = 0; i < split.size(); ++i) {
    const int value = split.images[i][0][0][0].item<std::uint8_t>();
    CHECK(split.labels[i].item<std::int64_t>() == value % 3);  // image and label stay together
    found.insert(value);
  }
  return found;
}

}  // namespace

TEST_CASE("idx: train and validation share no example and lose none, a search has no test split") {
  const Files files;
  const weft::testing::Instance instance = files.load();
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.task().input == weft::Shape::image(1, 2, 3));
  std::multiset<int> all = values(data.train());
  CHECK(all.size() == 7);
  CHECK(data.validation().size() == 3);
  all.merge(values(data.validation()));
  CHECK(all == std::multiset<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK_THROWS_WITH(data.test(), ContainsSubstring("not available in a search"));
  CHECK(values(dataset_of(files.load()).validation()) == values(data.validation()));
  CHECK(values(dataset_of(files.load({}, "search", 2)).validation()) != values(data.validation()));

  double sum = 0.0;
  for (const int value : values(data.train())) sum += value;
  CHECK(data.mean()[0] == Approx(sum / 7.0 / 255.0));
}

TEST_CASE("idx: the final phase has the same splits and the test files") {
  const Files files;
  const weft::testing::Instance search = files.load(), final_phase = files.load({}, "final");
  CHECK(values(dataset_of(search).validation()) == values(dataset_of(final_phase).validation()));
  CHECK(dataset_of(final_phase).test().size() == 2);
  CHECK(dataset_of(files.load({{"train_limit", 4}})).train().size() == 4);
}

TEST_CASE("idx reads gzip and finds its damage") {
  const Files files;
  files.write("train-images", gzip(files.images));
  CHECK(dataset_of(files.load()).train().size() == 7);
  std::string damaged = gzip(files.images);
  SECTION("a changed byte") { damaged[40] ^= 1; }
  SECTION("truncated") { damaged.resize(50); }
  files.write("train-images", damaged);
  CHECK_THROWS_WITH(files.load(),
                    ContainsSubstring("train-images: damaged gzip data") && ContainsSubstring("fetch the file again"));
}

TEST_CASE("idx says what is wrong with its files") {
  const Files files;
  const auto refused = [&](const std::string& text) { CHECK_THROWS_WITH(files.load(), ContainsSubstring(text)); };
  SECTION("absent") {
    fs::remove(files.path / "train-labels");
    refused("train-labels does not exist. For Fashion-MNIST install Debian's package dataset-fashion-mnist");
  }
  SECTION("truncated") {
    files.write("train-images", files.images.substr(0, 70));
    refused("train-images: truncated; its header states [10,2,3], but 54 bytes follow it");
  }
  SECTION("not even a header") {
    files.write("train-images", files.images.substr(0, 10));
    refused("train-images: truncated; has 10 bytes, its header alone needs 16");
  }
  SECTION("too long") {
    files.write("train-labels", files.labels + "x");
    refused("train-labels: too long; its header states [10], but 11 bytes follow it");
  }
  SECTION("wrong magic number") {
    files.write("train-images", files.labels);
    refused("train-images: starts with the magic number 2049; images need 2051");
  }
  SECTION("an extent of 0") {
    files.write("train-images", word(2051) + word(0) + word(2) + word(3));
    refused("states an extent of 0");
  }
  SECTION("counts differ") {
    files.write("train-labels", word(2049) + word(9) + std::string(9, '\0'));
    refused("has 10 images, ");
  }
  SECTION("test images of another size") {
    files.write("test-images", word(2051) + word(2) + word(2) + word(2) + std::string(8, 'x'));
    CHECK_THROWS_WITH(files.load({}, "final"),
                      ContainsSubstring("the test images are 1 x 2 x 2, the training images 1 x 2 x 3"));
  }
  SECTION("labels out of range") {
    CHECK_THROWS_WITH(files.load({{"classes", 2}}),
                      ContainsSubstring("train-labels: example 2 has label 2; labels must be 0 to 1 for 2 classes"));
  }
  SECTION("nothing left to train on") {
    CHECK_THROWS_WITH(files.load({{"validation", 10}}),
                      ContainsSubstring("/validation is 10; must be smaller than the number of training examples, 10"));
  }
}

TEST_CASE("idx scales images to a resolution, in both phases, and the splits stay what they are") {
  const Files files;
  std::string images = word(2051) + word(10) + word(2) + word(3);
  // The largest centred square is that of the first two columns, 200 + 10 + 200 + i; the mean of all six is another.
  for (char i = 0; i < 10; ++i) images += std::string("\xC8\x0A\x00\xC8", 4) + i + std::string(1, '\0');
  files.write("train-images", images);
  files.write("test-images", images);
  files.write("test-labels", files.labels);
  const weft::testing::Instance given = files.load(), scaled = files.load({{"resolution", 1}});
  const weft::Dataset& data = dataset_of(scaled);
  CHECK(data.task().input == weft::Shape::image(1, 1, 1));
  CHECK(data.train().labels.equal(dataset_of(given).train().labels));
  const at::Tensor last = dataset_of(given).train().images.select(2, 1).select(2, 1).to(at::kLong);
  const at::Tensor means = at::floor_divide(last + 410 + 2, 4);
  CHECK(data.train().images.to(at::kLong).flatten().equal(means.flatten()));
  CHECK(data.mean()[0] == Approx(means.to(at::kDouble).mean().item<double>() / 255.0));
  CHECK(description_of(scaled).at("fingerprint") != description_of(given).at("fingerprint"));
  CHECK(dataset_of(files.load({{"resolution", 2}})).task().input == weft::Shape::image(1, 2, 2));
  CHECK(dataset_of(files.load({{"resolution", 1}}, "final")).test().images.sizes() == at::IntArrayRef({10, 1, 1, 1}));
}

TEST_CASE("area_resize: each pixel is the mean of what it covers, by hand") {
  const auto resized = [](std::vector<int> pixels, std::int64_t rows, std::int64_t height, std::int64_t width) {
    const at::Tensor image = at::tensor(pixels).to(at::kByte).view({1, 1, rows, -1});
    const at::Tensor flat = weft::area_resize(image, height, width).to(at::kInt).flatten();
    return std::vector<int>(flat.data_ptr<int>(), flat.data_ptr<int>() + flat.numel());
  };
  using Pixels = std::vector<int>;
  // Whole pixels, and halves upwards.
  CHECK(resized({1, 2, 10, 20, 3, 4, 30, 41}, 2, 1, 2) == Pixels{3, 25});
  CHECK(resized({0, 0, 0, 1}, 2, 1, 1) == Pixels{0});
  // 3 to 2: two thirds and one third of a side. (4 x 0 + 2 x 90 + 2 x 9 + 18) / 9 = 24; 1272 / 9, 836 / 9, 1472 / 9.
  CHECK(resized({0, 90, 255, 9, 18, 27, 100, 200, 250}, 3, 2, 2) == Pixels{24, 141, 93, 164});
  CHECK(resized({0, 90, 255}, 1, 1, 2) == Pixels{30, 200});
  // 5 to 2: 2.5 pixels each.
  CHECK(resized({10, 20, 30, 40, 50}, 5, 2, 1) == Pixels{18, 42});
  // Larger, and as large.
  CHECK(resized({10, 40}, 1, 2, 3) == Pixels{10, 25, 40, 10, 25, 40});
  CHECK(resized({7, 0, 255, 9}, 2, 2, 2) == Pixels{7, 0, 255, 9});
}

TEST_CASE("area_resize keeps planes apart, and takes images in any layout") {
  const at::Tensor planes = at::arange(2 * 3).to(at::kByte).view({2, 3, 1, 1}).expand({2, 3, 4, 6});
  for (const at::Tensor& images : {planes, planes.contiguous(at::MemoryFormat::ChannelsLast)}) {
    const at::Tensor resized = weft::area_resize(images, 3, 5);
    CHECK(resized.equal(planes.narrow(2, 0, 3).narrow(3, 0, 5)));
  }
}

TEST_CASE("idx: Fashion-MNIST, where it is installed") {
  if (!fs::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")) {
    WARN("SKIPPED: the package dataset-fashion-mnist is not installed");
    return;
  }
  const weft::testing::Plugin plugin = weft::testing::Plugin::open("dataset", "idx");
  weft::testing::check_dataset(plugin, Json::object(), {.duplicates = 0.01});
  const weft::testing::Instance instance(plugin, Json::object(), {.study = {{"phase", "final"}}});
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.train().images.sizes() == at::IntArrayRef({55000, 1, 28, 28}));
  CHECK(data.validation().size() == 5000);
  CHECK(data.test().labels.bincount().equal(at::full({10}, 1000, at::kLong)));
  // Widely used figures of the whole training set: 0.2860, 0.3530.
  CHECK(data.mean()[0] == Approx(0.2860).margin(0.001));
  CHECK(data.standard_deviation()[0] == Approx(0.3530).margin(0.001));
  // On a quarter of the pixels the mean is the same, but for rounding, and there is less contrast.
  const weft::testing::Instance quarter(plugin, {{"resolution", 14}});
  CHECK(dataset_of(quarter).train().images.sizes() == at::IntArrayRef({55000, 1, 14, 14}));
  CHECK(dataset_of(quarter).mean()[0] == Approx(data.mean()[0]).margin(0.5 / 255));
  CHECK(dataset_of(quarter).standard_deviation()[0] < data.standard_deviation()[0]);
}
