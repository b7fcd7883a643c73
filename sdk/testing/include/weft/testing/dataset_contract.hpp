// The contract suite of data sets (torch tier): what every plugin of kind `dataset` must do.
//
// Include Catch2 (version 2 or 3) first.
#pragma once

#ifndef REQUIRE
#error "include Catch2 before weft/testing/dataset_contract.hpp"
#endif

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "weft/testing/library.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/text.hpp"

namespace weft::testing {

struct DatasetCheck {
  double duplicates = 0.0;  // share of a split's images that may also be in another: real data repeats itself
  double tolerance = 1e-3;  // of mean and standard deviation, which may be published constants
};

namespace dataset_contract {

inline const Dataset& dataset_of(const Instance& instance) {
  const auto* table = static_cast<const DatasetTable*>(instance.handle().component->find_interface(WEFT_DATASET_1));
  REQUIRE(table != nullptr);
  return *table->get(instance.handle().instance);
}

inline const TextDataset& text_of(const Instance& instance) {
  const auto* table = static_cast<const TextTable*>(instance.handle().component->find_interface(WEFT_TEXT_1));
  REQUIRE(table != nullptr);
  return *table->get(instance.handle().instance);
}

// What the data set tells the host of itself, for which it also says in the log what a user should know.
inline Json description_of(const Instance& instance) {
  const auto* described = static_cast<const weft_task_1*>(instance.handle().component->find_interface(WEFT_TASK_1));
  REQUIRE(described != nullptr);
  detail::StringWriter out;
  detail::StringWriter error;
  detail::check(described->describe(instance.handle().instance, out, error), error);
  return Json::parse(out.text());
}

// What the host is told of the data set is what it holds.
inline void check_description(const Instance& instance, const Task& task, std::int64_t train, std::int64_t validation) {
  const Json description = description_of(instance);
  REQUIRE(Task::from_json(description).to_json() == task.to_json());
  REQUIRE(description.at("splits").at("train") == train);
  REQUIRE(description.at("splits").at("validation") == validation);
}

// A resumed study compares fingerprints.
inline void check_fingerprint(const Instance& search, const Instance& final) {
  const auto fingerprint = description_of(search).at("fingerprint").get<std::string>();
  REQUIRE(fingerprint.size() == 64);
  INFO("the same data must have the same fingerprint, in either phase");
  REQUIRE(description_of(final).at("fingerprint") == fingerprint);
}

inline void check_tokens(const at::Tensor& tokens, const Task& task, const char* name) {
  INFO("split " << name);
  REQUIRE(tokens.scalar_type() == at::kLong);
  REQUIRE(tokens.device().is_cpu());
  REQUIRE(tokens.dim() == 1);
  REQUIRE(tokens.numel() > task.input.height);
  REQUIRE(tokens.min().item<std::int64_t>() >= 0);
  REQUIRE(tokens.max().item<std::int64_t>() < task.classes);
}

inline void check_text(const Plugin& plugin, const Json& args) {
  const Instance instance(plugin, args, {.study = {{"phase", "search"}}});
  const TextDataset& text = text_of(instance);
  const Task task = text.task();
  REQUIRE(task.input.kind == Shape::Kind::sequence);
  REQUIRE(task.input.channels == 1);
  check_tokens(text.train(), task, "train");
  check_tokens(text.validation(), task, "validation");
  INFO("a search never sees the test split");
  REQUIRE_THROWS_AS(text.test(), Error);
  check_description(instance, task, text.train().numel(), text.validation().numel());

  const Instance final_instance(plugin, args, {.study = {{"phase", "final"}}});
  const TextDataset& final_text = text_of(final_instance);
  INFO("the same splits in either phase");
  REQUIRE(at::equal(final_text.train(), text.train()));
  REQUIRE(at::equal(final_text.validation(), text.validation()));
  check_fingerprint(instance, final_instance);
  check_tokens(final_text.test(), task, "test");
}

inline void check_split(const Split& split, const Task& task, const char* name) {
  INFO("split " << name);
  REQUIRE(split.size() > 0);
  REQUIRE(split.images.scalar_type() == at::kByte);
  REQUIRE(split.images.device().is_cpu());
  const std::vector<std::int64_t> extents = {split.size(), task.input.channels, task.input.height, task.input.width};
  REQUIRE(split.images.sizes().vec() == extents);
  REQUIRE(split.labels.scalar_type() == at::kLong);
  REQUIRE(split.labels.dim() == 1);
  REQUIRE(split.labels.min().item<std::int64_t>() >= 0);
  REQUIRE(split.labels.max().item<std::int64_t>() < task.classes);
}

inline std::vector<std::uint64_t> content(const Split& split) {
  const at::Tensor images = split.images.contiguous();
  const auto bytes = static_cast<std::size_t>(images.numel() / split.size());
  const auto* data = reinterpret_cast<const char*>(images.data_ptr<std::uint8_t>());
  std::vector<std::uint64_t> hashes;
  for (std::int64_t i = 0; i < split.size(); ++i) {
    hashes.push_back(hash_text({data + static_cast<std::size_t>(i) * bytes, bytes}));
  }
  return hashes;
}

inline void check_disjoint(const Split& one, const Split& other, const DatasetCheck& check) {
  const std::vector<std::uint64_t> hashes = content(one);
  const std::unordered_set<std::uint64_t> known(hashes.begin(), hashes.end());
  std::int64_t shared = 0;
  for (const std::uint64_t hash : content(other)) shared += known.contains(hash) ? 1 : 0;
  INFO(shared << " images of " << other.size() << " are in another split too");
  REQUIRE(static_cast<double>(shared) <= check.duplicates * static_cast<double>(other.size()));
}

inline bool equal(const Split& one, const Split& other) {
  return at::equal(one.images, other.images) && at::equal(one.labels, other.labels);
}

}  // namespace dataset_contract

// The whole suite, of images or of text.
inline void check_dataset(const Plugin& plugin, const Json& args = Json::object(), const DatasetCheck& check = {}) {
  using namespace dataset_contract;
  INFO("data set " << plugin.component->name << " with " << args.dump());
  REQUIRE(std::string_view(plugin.component->kind) == "dataset");
  if (plugin.component->find_interface(WEFT_TEXT_1) != nullptr) return check_text(plugin, args);
  const Instance instance(plugin, args, {.study = {{"phase", "search"}}});
  const Dataset& data = dataset_of(instance);
  const Task task = data.task();
  check_split(data.train(), task, "train");
  check_split(data.validation(), task, "validation");
  check_disjoint(data.train(), data.validation(), check);
  INFO("a search never sees the test split");
  REQUIRE_THROWS_AS(data.test(), Error);

  const auto channels = static_cast<std::size_t>(task.input.channels);
  REQUIRE(data.mean().size() == channels);
  REQUIRE(data.standard_deviation().size() == channels);
  for (std::size_t channel = 0; channel < channels; ++channel) {
    const at::Tensor pixels = data.train().images.select(1, static_cast<std::int64_t>(channel)).to(at::kDouble) / 255.0;
    INFO("channel " << channel << " of the training split");
    REQUIRE(std::abs(data.mean()[channel] - pixels.mean().item<double>()) < check.tolerance);
    REQUIRE(std::abs(data.standard_deviation()[channel] - pixels.std(false).item<double>()) < check.tolerance);
  }

  check_description(instance, task, data.train().size(), data.validation().size());

  const Instance final_instance(plugin, args, {.study = {{"phase", "final"}}});
  const Dataset& final_data = dataset_of(final_instance);
  INFO("the same seed must give the same splits, in either phase");
  REQUIRE(equal(final_data.train(), data.train()));
  REQUIRE(equal(final_data.validation(), data.validation()));
  check_fingerprint(instance, final_instance);
  check_split(final_data.test(), task, "test");
  check_disjoint(data.train(), final_data.test(), check);
  check_disjoint(data.validation(), final_data.test(), check);
}

}  // namespace weft::testing
