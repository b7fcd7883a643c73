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

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::testing::dataset_contract::dataset_of;

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
}
