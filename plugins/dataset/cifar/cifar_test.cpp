#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::testing::dataset_contract::dataset_of;

// A record whose planes are filled with 10, 20, 30, but for the first pixel of green's second row, 99.
std::string record(const std::string& label) {
  std::string planes = std::string(1024, 10) + std::string(1024, 20) + std::string(1024, 30);
  planes[1024 + 32] = 99;
  return label + planes;
}

struct Files {
  fs::path path = fs::temp_directory_path() / ("weft_cifar_test_" + std::to_string(getpid()));
  Files() { fs::create_directories(path); }
  ~Files() { fs::remove_all(path); }
  void write(const char* name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
  }
  weft::testing::Instance load(const Json& changes = Json::object(), const char* phase = "search") const {
    Json args = {
        {"folder", path.string()}, {"train_files", {"a.bin", "b.bin"}}, {"test_files", {"t.bin"}}, {"validation", 1}};
    for (const auto& [name, value] : changes.items()) args[name] = value;
    return {weft::testing::Plugin::open("dataset", "cifar"), args, {.study = {{"phase", phase}}}};
  }
};

}  // namespace

TEST_CASE("cifar reads CIFAR-10's records of all files") {
  const Files files;
  files.write("a.bin", record("\x07") + record("\x07"));
  files.write("b.bin", record("\x07"));
  files.write("t.bin", record("\x09"));
  const weft::testing::Instance instance = files.load({}, "final");
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.task().input == weft::Shape::image(3, 32, 32));
  CHECK(data.train().size() == 2);
  CHECK(data.validation().size() == 1);
  CHECK(data.test().labels.equal(at::tensor({9}, at::kLong)));
  const at::Tensor image = data.train().images[0];
  CHECK(image[0].eq(10).all().item<bool>());
  CHECK(image[2].eq(30).all().item<bool>());
  CHECK(image[1].eq(99).nonzero().equal(at::tensor({1, 0}, at::kLong).view({1, 2})));
  CHECK_THROWS_WITH(dataset_of(files.load()).test(), ContainsSubstring("not available in a search"));
}

TEST_CASE("cifar reads the coarse or the fine label of CIFAR-100") {
  const Files files;
  files.write("a.bin", record("\x03\x42"));
  files.write("b.bin", record("\x03\x42"));
  CHECK(dataset_of(files.load({{"label", "fine"}, {"classes", 100}}))
            .train()
            .labels.equal(at::tensor({0x42}, at::kLong)));
  CHECK(
      dataset_of(files.load({{"label", "coarse"}, {"classes", 20}})).train().labels.equal(at::tensor({3}, at::kLong)));
}

// Of 2 x 2 pixels each is the mean: of green's first in the second row (3 x 20 + 99) / 4, rounded.
TEST_CASE("cifar scales images to a resolution") {
  const Files files;
  for (const char* name : {"a.bin", "b.bin", "t.bin"}) files.write(name, record("\x07"));
  const weft::testing::Instance instance = files.load({{"resolution", 16}}, "final");
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.task().input == weft::Shape::image(3, 16, 16));
  for (const at::Tensor& image : {data.train().images[0], data.validation().images[0], data.test().images[0]}) {
    CHECK(image[0].eq(10).all().item<bool>());
    CHECK(image[2].eq(30).all().item<bool>());
    CHECK(image[1].eq(40).nonzero().equal(at::zeros({1, 2}, at::kLong)));
    CHECK(image[1].eq(20).sum().item<std::int64_t>() == 255);
  }
}

TEST_CASE("cifar says what is wrong with its files") {
  const Files files;
  files.write("a.bin", record("\x07"));
  const auto refused = [&](const std::string& text) { CHECK_THROWS_WITH(files.load(), ContainsSubstring(text)); };
  refused("b.bin does not exist. Unpack the binary version");
  files.write("b.bin", record("\x07").substr(0, 3000));
  refused("b.bin: has 3000 bytes; must be a multiple of a record's 3073");
  files.write("b.bin", "");
  refused("b.bin: has 0 bytes");
  files.write("b.bin", record("\x01") + record("\x0A"));
  refused("b.bin: example 1 has label 10; labels must be 0 to 9 for 10 classes");
  files.write("b.bin", record("\x07"));
  CHECK_THROWS_WITH(files.load({{"validation", 2}}), ContainsSubstring("/validation is 2; must be smaller"));
}
