#include "weft/torch/splits.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace weft {

namespace {

std::vector<std::int64_t> permutation(std::int64_t count, Rng rng) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  return order;
}

Split channels_last(const Split& split) {
  return {split.images.contiguous(at::MemoryFormat::ChannelsLast), split.labels.contiguous()};
}

// These examples, in channels last. Some at a time, as LibTorch would first have a copy of all in the given layout.
Split pick(const Split& split, std::span<std::int64_t> examples) {
  const at::Tensor index = at::from_blob(examples.data(), {static_cast<std::int64_t>(examples.size())}, at::kLong);
  const at::Tensor& given = split.images;
  const at::Tensor images = at::empty({index.size(0), given.size(1), given.size(2), given.size(3)},
                                      given.options().memory_format(at::MemoryFormat::ChannelsLast));
  constexpr std::int64_t chunk = 256;
  for (std::int64_t first = 0; first < index.size(0); first += chunk) {
    const std::int64_t count = std::min(chunk, index.size(0) - first);
    images.narrow(0, first, count).copy_(given.index_select(0, index.narrow(0, first, count)));
  }
  return {images, split.labels.index_select(0, index)};
}

std::vector<std::int64_t> class_sizes(std::span<const std::int64_t> examples, const std::int64_t* labels,
                                      std::int64_t classes) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(classes));
  for (const std::int64_t example : examples) ++sizes[static_cast<std::size_t>(labels[example])];
  return sizes;
}

// How many of `count` examples each class gets: its share, rounded by largest remainder.
std::vector<std::int64_t> shares(const std::vector<std::int64_t>& sizes, std::int64_t count) {
  const std::int64_t all = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  std::vector<std::int64_t> share;
  for (const std::int64_t size : sizes) share.push_back(count * size / all);
  std::vector<std::size_t> by_remainder(sizes.size());
  std::iota(by_remainder.begin(), by_remainder.end(), std::size_t{0});
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](std::size_t a, std::size_t b) { return count * sizes[a] % all > count * sizes[b] % all; });
  std::int64_t left = count - std::accumulate(share.begin(), share.end(), std::int64_t{0});
  for (auto at = by_remainder.begin(); left > 0; ++at, --left) ++share[*at];
  return share;
}

// Moves `count` examples to the front, of each class its share; within both parts the order stays.
void bring_forward(std::span<std::int64_t> examples, const at::Tensor& labels, std::int64_t classes,
                   std::size_t count) {
  if (count == 0) return;
  const std::int64_t* label = labels.data_ptr<std::int64_t>();
  std::vector<std::int64_t> wanted = shares(class_sizes(examples, label, classes), static_cast<std::int64_t>(count));
  std::vector<std::int64_t> later;
  auto front = examples.begin();
  for (const std::int64_t example : examples) {
    if (wanted[static_cast<std::size_t>(label[example])]-- > 0) {
      *front++ = example;
    } else {
      later.push_back(example);
    }
  }
  std::copy(later.begin(), later.end(), front);
}

// Up to ten of the classes without an example, in words; empty if there is none.
std::string lacking_classes(const Split& split, std::int64_t classes, const std::vector<std::string>& names) {
  std::vector<std::int64_t> examples(static_cast<std::size_t>(split.size()));
  std::iota(examples.begin(), examples.end(), std::int64_t{0});
  const std::vector<std::int64_t> sizes = class_sizes(examples, split.labels.data_ptr<std::int64_t>(), classes);
  std::string words;
  std::int64_t lacking = 0;
  for (std::size_t label = 0; label < sizes.size(); ++label) {
    if (sizes[label] > 0 || ++lacking > 10) continue;
    words += (words.empty() ? "class " : ", ") + std::to_string(label);
    if (label < names.size()) words += " (" + names[label] + ")";
  }
  return lacking > 10 ? words + " and " + std::to_string(lacking - 10) + " more classes" : words;
}

void check_size(const Split& split, const Split& training, const char* name) {
  const auto shape = [](const at::Tensor& images) {
    return Shape::image(images.size(1), images.size(2), images.size(3));
  };
  if (shape(split.images) == shape(training.images)) return;
  throw InvalidInput("the " + std::string(name) + " images are " + shape(split.images).to_string() +
                     ", the training images " + shape(training.images).to_string() + "; both must have one size");
}

// Sums over all pixels of a channel, exact in integers.
void channel_statistics(const at::Tensor& images, std::vector<double>& mean, std::vector<double>& deviation) {
  const at::Tensor pixels = images.permute({0, 2, 3, 1}).contiguous();
  const std::int64_t channels = pixels.size(3), count = pixels.numel() / channels;
  std::vector<std::uint64_t> sum(channels), squares(channels);
  const std::uint8_t* pixel = pixels.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < channels; ++c, ++pixel) {
      sum[c] += *pixel;
      squares[c] += std::uint64_t{*pixel} * *pixel;
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const double average = static_cast<double>(sum[c]) / static_cast<double>(count);
    const double variance = static_cast<double>(squares[c]) / static_cast<double>(count) - average * average;
    mean.push_back(average / 255.0);
    // A channel that never varies is only shifted.
    deviation.push_back(variance > 0.0 ? std::sqrt(variance) / 255.0 : 1.0);
  }
}

}  // namespace

SplitDataset::SplitDataset(DatasetFiles files, const Context& context)
    : task_{Shape::image(files.training.images.size(1), files.training.images.size(2), files.training.images.size(3)),
            files.classes},
      test_(std::move(files.test)),
      final_phase_(context.final_phase()),
      class_names_(std::move(files.class_names)),
      findings_(std::move(files.findings)),
      log_(context.log()) {
  const Split all{files.training.images, files.training.labels.contiguous()};
  check_labels(all.labels, task_.classes, "the training examples");
  const auto own = [&](Split& split, const char* name) {
    check_size(split, all, name);
    split = channels_last(split);
    check_labels(split.labels, task_.classes, "the " + std::string(name) + " examples");
  };
  if (test_) own(*test_, "test");
  if (files.validation) {
    own(*files.validation, "validation");
    validation_ = *files.validation;
  }
  divide(all, !files.validation, context);
  channel_statistics(train_.images, mean_, standard_deviation_);
}

// Fills train_ and, if it is to be held out, validation_.
void SplitDataset::divide(const Split& all, bool hold_out, const Context& context) {
  const bool stratified = context.configuration().value("stratified", false);
  std::vector<std::int64_t> order = permutation(all.size(), context.rng().derive("splits"));
  std::span<std::int64_t> rest(order);
  // The first `count` of the rest.
  const auto take = [&](std::size_t count) {
    if (stratified) bring_forward(rest, all.labels, task_.classes, count);
    const std::span<std::int64_t> taken = rest.first(count);
    rest = rest.subspan(count);
    return taken;
  };
  if (hold_out) {
    const std::int64_t validation = context.get<std::int64_t>("validation");
    if (validation >= all.size()) {
      throw InvalidInput("/validation is " + std::to_string(validation) +
                         "; must be smaller than the number of training examples, " + std::to_string(all.size()) +
                         ", which it is held out of");
    }
    validation_ = pick(all, take(static_cast<std::size_t>(validation)));
    held_out_ = std::to_string(validation) + " of " + std::to_string(all.size()) +
                " training examples are held out for validation, " +
                (stratified ? "stratified: of each class its share" : "without regard to their classes");
  }
  const std::size_t limit = context.configuration().value("train_limit", std::size_t{0});
  train_ = pick(all, take(limit == 0 ? rest.size() : std::min(limit, rest.size())));
}

void SplitDataset::announce() const {
  for (const std::string& finding : findings_) log_.warning(finding);
  const auto warn = [&](const Split& split, const char* name) {
    const std::string lacking = lacking_classes(split, task_.classes, class_names_);
    if (!lacking.empty()) log_.warning("the " + std::string(name) + " split has no example of " + lacking);
  };
  if (final_phase_) {
    if (test_) warn(*test_, "test");
    return;
  }
  if (!held_out_.empty()) log_.info(held_out_);
  warn(train_, "training");
  warn(validation_, "validation");
}

const Split& SplitDataset::test() const {
  if (!final_phase_) throw Error("the test split is not available in a search; it is for the final evaluation alone");
  if (!test_) {
    throw InvalidInput(
        "this data set has no test split, on which a final training is measured; add one, or take `final` out of the "
        "pipeline");
  }
  return *test_;
}

Split first_examples(const Split& split, std::int64_t count) {
  return {split.images.narrow(0, 0, count), split.labels.narrow(0, 0, count)};
}

Split join(const Split& first, const Split& second) {
  return {at::cat({first.images, second.images}), at::cat({first.labels, second.labels})};
}

void check_labels(const at::Tensor& labels, std::int64_t classes, const std::string& place) {
  const at::Tensor contiguous = labels.contiguous();
  const std::span<const std::int64_t> all(contiguous.data_ptr<std::int64_t>(),
                                          static_cast<std::size_t>(contiguous.numel()));
  const auto wrong =
      std::find_if(all.begin(), all.end(), [&](std::int64_t label) { return label < 0 || label >= classes; });
  if (wrong == all.end()) return;
  throw InvalidInput(place + ": example " + std::to_string(wrong - all.begin()) + " has label " +
                     std::to_string(*wrong) + "; labels must be 0 to " + std::to_string(classes - 1) + " for " +
                     std::to_string(classes) + " classes. Set `classes` to the number of classes in the files");
}

}  // namespace weft
