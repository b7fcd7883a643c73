// A small study of recurrent cells for tests of one-shot search on texts.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/torch/one_shot.hpp"
#include "weft/torch/text.hpp"

namespace weft::testing {

// A cell without dropout that is computed fast.
inline Json small_cell(const Json& more = Json::object()) {
  Json args = {{"nodes", 2},         {"features", 6},      {"dropout", 0},           {"input_dropout", 0},
               {"layer_dropout", 0}, {"state_dropout", 0}, {"embedding_dropout", 0}, {"slowness", 0}};
  args.update(more);
  return args;
}

inline std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// A text of the characters a and b in sequences of 5, with a tenth of it for validation and for testing.
class SmallTextStudy {
 public:
  static constexpr std::int64_t positions = 5;

  explicit SmallTextStudy(const std::string& space = "darts_rnn", const Json& space_args = small_cell(),
                          const std::string& text = repeated("aab", 150))
      : study_{{"phase", "search"}, {"task", {{"input", {positions, 1}}, {"classes", 3}}}},
        dataset_(Plugin::open("dataset", "text"),
                 {{"train_file", text_file(text)}, {"level", "character"}, {"positions", positions}, {"held_out", 0.1}},
                 {.study = study_}),
        space_(Plugin::open("space", space), space_args, {.study = study_}) {
    std::filesystem::remove(file());
  }

  Surroundings surroundings() const {
    return {.study = study_, .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}};
  }
  SpaceRef space() const { return SpaceRef(space_.handle()); }
  const TextDataset& text() const {
    const weft_handle handle = dataset_.handle();
    return *static_cast<const TextTable*>(handle.component->find_interface(WEFT_TEXT_1))->get(handle.instance);
  }

 private:
  std::filesystem::path file() const {
    return std::filesystem::temp_directory_path() /
           ("weft_text_" + std::to_string(getpid()) + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  }
  std::string text_file(const std::string& text) const {
    std::ofstream(file()) << text;
    return file().string();
  }

  Json study_;
  Instance dataset_, space_;
};

}  // namespace weft::testing
