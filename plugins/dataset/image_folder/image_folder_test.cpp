#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/dataset/image_folder/encoded.hpp"
#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;
using weft::Json;
using weft::testing::dataset_contract::dataset_of;
using weft::testing::dataset_contract::description_of;

// 2 x 2 pixels: red, green; blue, white.
constexpr std::string_view png =
    "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02"
    "\x00\x00\x00\xfd\xd4\x9a\x73\x00\x00\x00\x01\x73\x52\x47\x42\x00\xae\xce\x1c\xe9\x00\x00\x00\x16\x49\x44"
    "\x41\x54\x08\x99\x63\xf8\xcf\xc0\xc0\xf0\x9f\x81\x91\x81\xe1\xff\xff\xff\x0c\x00\x1e\xf6\x04\xfd\x6f\xe8"
    "\x48\x5e\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82"sv;
// 8 x 8 pixels, all of grey 200.
constexpr std::string_view jpeg =
    "\xff\xd8\xff\xe0\x00\x10\x4a\x46\x49\x46\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xdb\x00\x43\x00\x03"
    "\x02\x02\x03\x02\x02\x03\x03\x03\x03\x04\x03\x03\x04\x05\x08\x05\x05\x04\x04\x05\x0a\x07\x07\x06\x08\x0c"
    "\x0a\x0c\x0c\x0b\x0a\x0b\x0b\x0d\x0e\x12\x10\x0d\x0e\x11\x0e\x0b\x0b\x10\x16\x10\x11\x13\x14\x15\x15\x15"
    "\x0c\x0f\x17\x18\x16\x14\x18\x12\x14\x15\x14\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00\xff\xc4"
    "\x00\x14\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\xff\xc4\x00\x14\x10\x01"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    "\x60\x3f\xff\xd9"sv;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("weft_image_folder_test_" + std::to_string(getpid()));
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
  void add(const std::string& file, std::string_view bytes) const {
    fs::create_directories((path / file).parent_path());
    std::ofstream(path / file, std::ios::binary) << bytes;
  }
  void add_both_classes(const std::string& split) const {
    for (const char* name : {"0.png", "1.png", "2.PNG"}) add(split + "/colourful/" + name, png);
    for (const char* name : {"0.jpg", "1.jpeg", "2.jpg"}) add(split + "/grey/" + name, jpeg);
  }
};

weft::testing::Instance load(const Folder& folder, const Json& changes = Json::object(), const char* phase = "search") {
  Json args = {{"folder", folder.path.string()}, {"resolution", 2}, {"validation", 2}};
  for (const auto& [name, value] : changes.items()) args[name] = value;
  return {weft::testing::Plugin::open("dataset", "image_folder"), args, {.study = {{"phase", phase}}}};
}

}  // namespace

TEST_CASE("image_folder decodes PNG and JPEG and numbers classes by name") {
  const Folder folder;
  folder.add_both_classes("train");
  folder.add_both_classes("test");
  folder.add("train/grey/notes.txt", "not an image");
  const weft::testing::Instance instance = load(folder, {}, "final");
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.task().input == weft::Shape::image(3, 2, 2));
  CHECK(data.task().classes == 2);
  CHECK(data.train().size() == 4);
  CHECK(data.validation().size() == 2);
  REQUIRE(data.test().size() == 6);  // in the order of the names
  CHECK(data.test().labels.equal(at::tensor({0, 0, 0, 1, 1, 1}, at::kLong)));
  const at::Tensor colours = at::tensor({255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255}, at::kByte).view({3, 2, 2});
  CHECK(data.test().images[0].equal(colours));
  CHECK(data.test().images[5].equal(at::full({3, 2, 2}, 200, at::kByte)));  // scaled down from 8 x 8

  const weft::testing::Instance grey = load(folder, {{"channels", 1}, {"resolution", 4}});
  CHECK(dataset_of(grey).train().images.sizes() == at::IntArrayRef({4, 1, 4, 4}));
}

TEST_CASE("image_folder says what is wrong with a folder") {
  const Folder folder;
  CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("train does not exist. `folder` must hold train/<class>/"));
  fs::create_directories(folder.path / "train/alone");
  CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("train: has 1 folders; at least 2 are needed"));
  fs::remove(folder.path / "train/alone");
  folder.add_both_classes("train");
  SECTION("a class without images") {
    fs::create_directories(folder.path / "train/nothing");
    CHECK_THROWS_WITH(load(folder, {}),
                      ContainsSubstring("train/nothing: has no image; every class needs at least one"));
  }
  SECTION("a truncated PNG") {
    folder.add("train/grey/9.png", png.substr(0, 60));
    CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("train/grey/9.png: cannot be decoded"));
  }
  SECTION("a truncated JPEG") {
    folder.add("train/grey/9.jpg", jpeg.substr(0, 140));
    CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("train/grey/9.jpg: cannot be decoded"));
  }
  SECTION("not an image at all") {
    folder.add("train/grey/9.jpeg", "hello");
    CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("train/grey/9.jpeg: cannot be decoded"));
  }
  SECTION("more to validate on than there is") {
    CHECK_THROWS_WITH(load(folder, {{"validation", 6}}),
                      ContainsSubstring("/validation is 6; must be smaller than the number of training examples, 6"));
  }
  SECTION("a test class that is not trained") {
    folder.add("test/grey/0.jpg", jpeg);
    folder.add("test/red/0.png", png);
    CHECK_THROWS_WITH(load(folder, {}, "final"), ContainsSubstring("test/red: there is no class of this name"));
  }
  SECTION("no test split") {
    const weft::testing::Instance instance = load(folder, {}, "final");
    CHECK_THROWS_WITH(dataset_of(instance).test(), ContainsSubstring("no test split"));
  }
  SECTION("two validation splits") {
    folder.add_both_classes("val");
    folder.add_both_classes("valid");
    CHECK_THROWS_WITH(load(folder, {}), ContainsSubstring("which of them is the validation split?"));
  }
}

TEST_CASE("image_folder names all unreadable files at once, ten of them by name") {
  const Folder folder;
  folder.add_both_classes("train");
  folder.add_both_classes("val");
  folder.add("val/grey/empty.png", "");
  fs::create_symlink("nowhere", folder.path / "train/grey/broken.png");
  CHECK_THROWS_WITH(load(folder), ContainsSubstring("2 of 14 images cannot be read; repair or remove them") &&
                                      ContainsSubstring("train/grey/broken.png does not exist") &&
                                      ContainsSubstring("val/grey/empty.png: cannot be decoded (it is empty)"));
  for (int i = 10; i < 20; ++i) folder.add("train/colourful/" + std::to_string(i) + ".png", "no image");
  CHECK_THROWS_WITH(load(folder), ContainsSubstring("12 of 24 images") && ContainsSubstring("19.png: cannot") &&
                                      ContainsSubstring("and 2 more") && !ContainsSubstring("empty.png"));
}

TEST_CASE("image_folder skips what is hidden and what it cannot read, and says so once") {
  const Folder folder;
  folder.add_both_classes("train");
  for (const char* hidden : {"train/.ipynb_checkpoints/0.png", "train/grey/._0.jpg", "train/grey/.DS_Store",
                             "train/grey/Thumbs.db", "train/__MACOSX/grey/._0.jpg"})
    folder.add(hidden, png);
  folder.add("train/grey/a.webp", "RIFF\x10\0\0\0WEBPVP8 "sv);
  folder.add("train/grey/b.jpg", "RIFF\x10\0\0\0WEBPVP8 "sv);
  folder.add("train/grey/c.gif", "GIF89a");
  folder.add("train/grey/d.bmp", "BM\x10\0\0\0\0\0\0\0"sv);
  folder.add("train/grey/e.tif", "II*\0"sv);
  folder.add("train/grey/notes.txt", "a note");
  folder.add("train/labels.csv", "");
  folder.add("train/grey/2019/spring/0.jpg", jpeg);
  folder.add("extra/grey/0.jpg", jpeg);
  fs::create_directory_symlink("..", folder.path / "train/grey/2019/back");  // must not be followed for ever
  const weft::testing::Instance instance = load(folder);
  CHECK(dataset_of(instance).task().classes == 2);
  CHECK(dataset_of(instance).class_names() == std::vector<std::string>{"colourful", "grey"});
  CHECK(dataset_of(instance).train().size() + dataset_of(instance).validation().size() == 7);
  CHECK(instance.log().empty());
  description_of(instance);
  const std::vector<std::string> expected = {
      "skipped: 5 hidden files or folders, 1 BMP image (not read; convert to PNG or JPEG), "
      "1 GIF image (not read; convert to PNG or JPEG), 1 TIFF image (not read; convert to PNG or JPEG), "
      "2 WebP images (not read; convert to PNG or JPEG), 1 file of no known image format (" +
          (folder.path / "train/grey/notes.txt").string() + "), 1 file beside the folders of classes, " +
          "folders that are no split: " + (folder.path / "extra").string(),
      "read with their class: 3 folders within classes (" + (folder.path / "train/grey/2019").string() + ")",
      "2 of 7 training examples are held out for validation, stratified: of each class its share"};
  CHECK(instance.log() == expected);
}

TEST_CASE("image_folder reads what it can of a damaged JPEG, and says so") {
  const Folder folder;
  folder.add_both_classes("train");
  std::string damaged = encoded::jpeg({.columns = 10, .blocks = std::vector<std::vector<int>>(100, {200})});
  damaged.replace(damaged.size() - 20, 3, "\xfe\xfe\xfe");  // four ones begin no code
  folder.add("train/grey/9.jpg", damaged);
  const weft::testing::Instance instance = load(folder);
  description_of(instance);
  REQUIRE(instance.log().size() == 2);
  CHECK(instance.log().front() == "damaged data in 1 JPEG file, of which the rest was read (" +
                                      (folder.path / "train/grey/9.jpg").string() + ")");
}

TEST_CASE("image_folder: a folder val, validation or valid is the validation split") {
  const Folder folder;
  folder.add_both_classes("train");
  const std::string name = GENERATE("val", "validation", "valid");
  folder.add(name + "/grey/0.png", jpeg);
  folder.add("test/colourful/0.png", png);
  const weft::testing::Instance instance = load(folder, {{"validation", 1000}});
  const weft::Dataset& data = dataset_of(instance);
  CHECK(data.train().size() == 6);
  REQUIRE(data.validation().size() == 1);
  CHECK(data.validation().images[0].eq(200).all().item<bool>());
  CHECK(data.validation().labels.equal(at::tensor({1}, at::kLong)));
  description_of(instance);
  CHECK(instance.log() == std::vector<std::string>{"the validation split has no example of class 0 (colourful)"});
  const weft::testing::Instance last = load(folder, {}, "final");
  description_of(last);
  CHECK(last.log() == std::vector<std::string>{"the test split has no example of class 1 (grey)"});
}

TEST_CASE("image_folder keeps the contract of data sets") {
  const Folder folder;
  int value = 0;
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"dark", "light"}) {
      for (int i = 0; i < 8; ++i)
        folder.add(std::string(split) + "/" + name + "/" + std::to_string(i),
                   encoded::png({.width = 2, .height = 1, .rows = encoded::bytes({value++, 7})}));
    }
  }
  weft::testing::check_dataset(weft::testing::Plugin::open("dataset", "image_folder"),
                               {{"folder", folder.path.string()}, {"resolution", 1}, {"validation", 4}});
}
