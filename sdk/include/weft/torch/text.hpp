// A data set of text: each split one stream of token numbers, of which every next token is to be predicted.
//
// A plugin of kind `dataset` that provides "dataset.text" implements TextDataset; training reads it through
// TextBatches.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "weft/torch/batches.hpp"
#include "weft/torch/dataset.hpp"

namespace weft {

class TextDataset {
 public:
  static constexpr const char* kind = "dataset";

  virtual ~TextDataset() = default;
  // The input is a sequence of positions x 1 token numbers; the classes are the vocabulary.
  virtual Task task() const = 0;
  // int64, [tokens], on the CPU, each from 0 to classes-1. At least positions + 1 of them, but validation may be empty.
  virtual const at::Tensor& train() const = 0;
  virtual const at::Tensor& validation() const = 0;
  // Throws Error in the search phase: a search never sees the test split.
  virtual const at::Tensor& test() const = 0;
  // The tokens in the order of their numbers; may be empty.
  virtual std::vector<std::string> vocabulary() const { return {}; }
};

// As of a data set of images.
inline std::string fingerprint(const TextDataset& data) {
  const std::vector<std::string> tokens = data.vocabulary();
  const std::array<at::Tensor, 2> texts = {data.train(), data.validation()};
  return fingerprint(tokens, texts);
}
inline std::string test_fingerprint(const TextDataset& data) {
  try {
    return fingerprint({}, std::array{data.test()});
  } catch (const Error&) {
    return {};
  }
}

#define WEFT_TEXT_1 "weft.torch.text/1"
struct TextTable {
  std::uint64_t size;
  const TextDataset* (*get)(void* instance);
};

namespace detail {

template <typename T>
struct TextTables {
  static constexpr TextTable text{sizeof(TextTable),
                                  [](void* instance) -> const TextDataset* { return &self<T>(instance); }};
  static constexpr weft_task_1 task{
      .size = sizeof(weft_task_1), .describe = [](void* instance, const weft_writer* out, const weft_writer* error) {
        return guard(error, [&] {
          const TextDataset& data = self<T>(instance);
          Json description = data.task().to_json();
          description["splits"] = {{"train", data.train().numel()}, {"validation", data.validation().numel()}};
          description["fingerprint"] = fingerprint(data);
          if (const std::string test = test_fingerprint(data); !test.empty()) description["test_fingerprint"] = test;
          write(out, description.dump());
        });
      }};

  static const void* find(std::string_view id) {
    if (id == WEFT_TEXT_1) return &text;
    return id == WEFT_TASK_1 ? &task : nullptr;
  }
};

template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<TextDataset, T>>> : TextTables<T> {};

}  // namespace detail

// The data set of the pipeline if it is one of text, else null; throws Error if there is none.
inline const TextDataset* find_text_dataset(const Context& context) {
  const weft_handle handle = context.collaborator("dataset");
  const auto* table = static_cast<const TextTable*>(handle.component->find_interface(WEFT_TEXT_1));
  return table == nullptr ? nullptr : table->get(handle.instance);
}

// The data set of the pipeline; throws Error if it has none, or none of text.
inline const TextDataset& text_dataset(const Context& context) {
  const TextDataset* text = find_text_dataset(context);
  if (text != nullptr) return *text;
  throw Error(std::string(context.collaborator("dataset").component->name) + " is not a data set of text");
}

// e to a mean loss in nats; a finite number, however large the loss.
inline double perplexity(double loss) { return std::exp(std::min(loss, 700.0)); }

// A stream cut into `streams` parts of equal length that lie side by side, and these into sequences: each batch goes on
// where the last one ended. What the division leaves over is not read.
class TextBatches {
 public:
  // Throws InvalidInput if a stream would hold less than one token and its successor.
  TextBatches(const at::Tensor& tokens, std::int64_t streams, std::int64_t positions, c10::Device device = c10::kCPU);

  std::int64_t size() const { return (inputs_.size(1) + positions_ - 1) / positions_; }
  // `images` are token numbers, [streams, positions, 1], `labels` the tokens after them, [streams, positions]; the last
  // batch may be shorter.
  Batch batch(std::int64_t index) const;

 private:
  std::int64_t positions_;
  at::Tensor inputs_, labels_;  // int64, [streams, tokens of each]
};

}  // namespace weft
