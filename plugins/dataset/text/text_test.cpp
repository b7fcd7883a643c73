#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;
using weft::testing::dataset_contract::text_of;

// Files that live as long as this object.
struct Files {
  fs::path folder = fs::temp_directory_path() / ("weft_text_test_" + std::to_string(getpid()));
  Files() { fs::create_directories(folder); }
  ~Files() { fs::remove_all(folder); }

  std::string write(const char* name, const std::string& text) const {
    std::ofstream(folder / name, std::ios::binary) << text;
    return (folder / name).string();
  }
};

Instance load(const Json& args, const char* phase = "search") {
  return {Plugin::open("dataset", "text"), args, {.study = {{"phase", phase}}}};
}

std::vector<std::int64_t> values(const at::Tensor& tokens) {
  return {tokens.data_ptr<std::int64_t>(), tokens.data_ptr<std::int64_t>() + tokens.numel()};
}

}  // namespace

TEST_CASE("text: words, ends of lines and unknown words, numbered by frequency in the training text") {
  const Files files;
  const Instance instance = load({{"train_file", files.write("train", "the cat the dog\nthe end\n")},
                                  {"validation_file", files.write("valid", "the bird\n")},
                                  {"test_file", files.write("test", "a dog\n")},
                                  {"positions", 2}},
                                 "final");
  const weft::TextDataset& text = text_of(instance);
  // the: 3, <eos>: 2, then once each in the order of their bytes; <unk> was not seen.
  CHECK(values(text.train()) == std::vector<std::int64_t>{0, 2, 0, 3, 1, 0, 4, 1});
  CHECK(values(text.validation()) == std::vector<std::int64_t>{0, 5, 1});
  CHECK(values(text.test()) == std::vector<std::int64_t>{5, 3, 1});
  CHECK(text.task().classes == 6);
  CHECK(text.task().input == weft::Shape::sequence(2, 1));
}

TEST_CASE("text: a limited vocabulary keeps the most frequent words and <unk>") {
  const Files files;
  const std::string train = files.write("train", "a a a b b c\nd <unk> e\n");
  const Instance instance = load({{"train_file", train},
                                  {"validation_file", train},
                                  {"test_file", train},
                                  {"positions", 2},
                                  {"vocabulary_limit", 4}});
  const weft::TextDataset& text = text_of(instance);
  CHECK(text.task().classes == 4);  // a, <eos> and b, which come twice, <unk>
  CHECK(values(text.train()) == std::vector<std::int64_t>{0, 0, 0, 2, 2, 3, 1, 3, 3, 3, 1});
}

TEST_CASE("text: characters, and splits held out from the end of one file") {
  const Files files;
  const Json args = {{"train_file", files.write("train", "\u00e9\u00e9ab\n\u00e9ab\n\u00e9x")},
                     {"level", "character"},
                     {"positions", 1},
                     {"held_out", 0.2}};
  const Instance search = load(args);
  // Eleven characters: seven to train on, two to validate on, two to test on.
  CHECK(values(text_of(search).train()) == std::vector<std::int64_t>{0, 0, 1, 3, 2, 0, 1});
  CHECK(values(text_of(search).validation()) == std::vector<std::int64_t>{3, 2});
  CHECK(text_of(search).task().classes == 5);
  CHECK_THROWS_WITH(text_of(search).test(), ContainsSubstring("not available in a search"));
  const Instance last = load(args, "final");
  CHECK(values(text_of(last).test()) == std::vector<std::int64_t>{0, 4});
}

TEST_CASE("text refuses what it cannot read") {
  const Files files;
  const std::string train = files.write("train", "one two three\n");
  CHECK_THROWS_WITH(load({{"train_file", (files.folder / "none").string()}}),
                    ContainsSubstring("none does not exist. Set /train_file to a file of plain text"));
  CHECK_THROWS_WITH(load({{"train_file", train}, {"validation_file", "/nowhere"}}),
                    ContainsSubstring("/nowhere does not exist") && ContainsSubstring("/validation_file"));
  CHECK_THROWS_WITH(load({{"train_file", train}, {"validation_file", train}, {"test_file", train}, {"positions", 4}}),
                    ContainsSubstring("the training text has 4 tokens, which is shorter than one sequence") &&
                        ContainsSubstring("/positions, 4") && ContainsSubstring("a smaller /held_out"));
  CHECK_THROWS_WITH(load({{"train_file", files.write("latin1", "caf\xe9 noir")}, {"level", "character"}}),
                    ContainsSubstring("latin1: byte 3 is not UTF-8"));
}

TEST_CASE("text keeps the contract of data sets") {
  const Files files;
  std::string text;
  for (int line = 0; line < 200; ++line) text += "line " + std::to_string(line % 7) + " of a text\n";
  const Json args = {{"train_file", files.write("train", text)}, {"positions", 5}};
  weft::testing::check_dataset(Plugin::open("dataset", "text"), args);
}
