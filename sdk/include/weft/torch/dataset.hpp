// A data set: images as one uint8 tensor per split, with the splits disjoint by construction.
//
// A plugin loads its files when constructed and says how many of the training examples it holds out for validation
// (weft/torch/splits.hpp does this). In the search phase the test split is never loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "weft/abi.h"
#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/torch/fingerprint.hpp"

namespace weft {

struct Split {
  at::Tensor images;  // uint8, [examples, channels, height, width], channels last in memory, on the CPU
  at::Tensor labels;  // int64, [examples], 0 .. classes-1

  std::int64_t size() const { return labels.defined() ? labels.size(0) : 0; }
};

class Dataset {
 public:
  static constexpr const char* kind = "dataset";

  virtual ~Dataset() = default;
  virtual Task task() const = 0;
  virtual const Split& train() const = 0;       // without the validation examples
  virtual const Split& validation() const = 0;  // held out of the training files
  // Throws Error in the search phase: a search never sees the test split.
  virtual const Split& test() const = 0;
  // Per channel, of pixels scaled to [0, 1]; of the training split.
  virtual std::vector<double> mean() const = 0;
  virtual std::vector<double> standard_deviation() const = 0;
  // In the order of their numbers; empty where classes have no names.
  virtual std::vector<std::string> class_names() const { return {}; }
  // Called once a study: says in the host's log what a user should know of the data, such as files that were left out.
  virtual void announce() const {}
};

inline std::string fingerprint(const Dataset& data, std::initializer_list<const Split*> splits) {
  const std::vector<std::string> names = data.class_names();
  std::vector<at::Tensor> tensors;
  for (const Split* split : splits) {
    tensors.push_back(split->images.permute({0, 2, 3, 1}));  // as they lie in memory
    tensors.push_back(split->labels);
  }
  return fingerprint(names, tensors);
}
// Of what training and comparing read: the same in a search and in the final phase.
inline std::string fingerprint(const Dataset& data) { return fingerprint(data, {&data.train(), &data.validation()}); }
// Empty where no test split can be read.
inline std::string test_fingerprint(const Dataset& data) {
  try {
    return fingerprint(data, {&data.test()});
  } catch (const Error&) {
    return {};
  }
}

// The torch tier's own table: hands out the C++ object. Both sides were built with the same LibTorch and SDK (checked
// by the host from the tags), so the object may cross as it is.
#define WEFT_DATASET_1 "weft.torch.dataset/1"
struct DatasetTable {
  std::uint64_t size;
  const Dataset* (*get)(void* instance);
};

namespace detail {

template <typename T>
struct DatasetTables {
  static constexpr DatasetTable dataset{sizeof(DatasetTable),
                                        [](void* instance) -> const Dataset* { return &self<T>(instance); }};
  static constexpr weft_task_1 task{
      .size = sizeof(weft_task_1), .describe = [](void* instance, const weft_writer* out, const weft_writer* error) {
        return guard(error, [&] {
          const Dataset& data = self<T>(instance);
          Json description = data.task().to_json();
          description["splits"] = {{"train", data.train().size()}, {"validation", data.validation().size()}};
          description["mean"] = data.mean();
          description["standard_deviation"] = data.standard_deviation();
          if (const std::vector<std::string> names = data.class_names(); !names.empty())
            description["class_names"] = names;
          description["fingerprint"] = fingerprint(data);
          if (const std::string test = test_fingerprint(data); !test.empty()) description["test_fingerprint"] = test;
          data.announce();
          write(out, description.dump());
        });
      }};

  static const void* find(std::string_view id) {
    if (id == WEFT_DATASET_1) return &dataset;
    return id == WEFT_TASK_1 ? &task : nullptr;
  }
};

template <typename T, typename>
struct Tables;
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Dataset, T>>> : DatasetTables<T> {};

}  // namespace detail

// The data set of the pipeline; throws Error if it has none.
inline const Dataset& dataset(const Context& context) {
  const weft_handle handle = context.collaborator("dataset");
  const auto* table = static_cast<const DatasetTable*>(handle.component->find_interface(WEFT_DATASET_1));
  if (table == nullptr) throw Error(std::string(handle.component->name) + " is not a data set of images");
  return *table->get(handle.instance);
}

}  // namespace weft
