// PNG and JPEG files, one folder per class: train/<class>/<any name> and, where there are such splits, val/<class>/..
// and test/<class>/..
//
// Classes are numbered in the order of their names. What the pixels of a file are is told in docs/data.md. An image's
// largest centred square is scaled to the resolution. Files are read and decoded on all cores.

#include <ATen/ATen.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "decode.hpp"
#include "listing.hpp"
#include "weft/data_path.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

namespace fs = std::filesystem;

constexpr std::array validation_names = {"val", "validation", "valid"};

// The folder of the validation split, if there is one.
std::optional<fs::path> validation_folder(const fs::path& folder) {
  std::optional<fs::path> found;
  for (const char* name : validation_names) {
    if (!fs::is_directory(folder / name)) continue;
    if (found)
      throw weft::InvalidInput((folder / name).string() + ": " + found->string() +
                               " is there, too; which of them is the validation split? Rename one");
    found = folder / name;
  }
  return found;
}

std::vector<std::string> training_classes(const fs::path& folder, LeftOut& left_out) {
  weft::require_folder(folder, "`folder` must hold train/<class>/, one folder of images per class");
  std::vector<std::string> names = class_names(folder, left_out);
  if (names.size() < 2) {
    throw weft::InvalidInput(folder.string() + ": has " + std::to_string(names.size()) +
                             " folders; at least 2 are needed, one per class, "
                             "each holding its images. Set `folder` to the one that holds train/");
  }
  return names;
}

class Reader {
 public:
  explicit Reader(const weft::Context& context)
      : folder_(weft::data_path(context.get<std::string>("folder"))),
        resolution_(context.get<std::int64_t>("resolution")),
        channels_(context.get<int>("channels")),
        final_(context.final_phase()),
        classes_(training_classes(folder_ / "train", final_ ? unsaid_ : left_out_)) {}

  weft::DatasetFiles read() {
    LeftOut& of_training = final_ ? unsaid_ : left_out_;
    const std::vector<ImageFile> train = list_images(folder_ / "train", classes_, of_training);
    check_each_class(train);
    std::vector<ImageFile> validation, test;
    const std::optional<fs::path> validation_at = validation_folder(folder_);
    if (validation_at) validation = list_split(*validation_at, of_training);
    const bool with_test = final_ && fs::exists(folder_ / "test");
    if (with_test) test = list_split(folder_ / "test", left_out_);
    if (!final_) note_other_folders();

    weft::DatasetFiles files;
    files.classes = static_cast<std::int64_t>(classes_.size());
    files.training = decode(train);
    if (validation_at) files.validation = decode(validation);
    if (with_test) files.test = decode(test);
    refuse_failures(train.size() + validation.size() + test.size());
    files.class_names = classes_;
    files.findings = left_out_.in_words();
    if (damaged_ > 0 && !final_)
      files.findings.push_back("damaged data in " + std::to_string(damaged_) +
                               (damaged_ == 1 ? " JPEG file" : " JPEG files") + ", of which the rest was read (" +
                               first_damaged_ + ")");
    return files;
  }

 private:
  std::vector<ImageFile> list_split(const fs::path& split, LeftOut& left_out) const {
    for (const std::string& name : class_names(split, left_out)) {
      if (!std::binary_search(classes_.begin(), classes_.end(), name)) {
        throw weft::InvalidInput((split / name).string() + ": there is no class of this name in " +
                                 (folder_ / "train").string());
      }
    }
    std::vector<ImageFile> images = list_images(split, classes_, left_out);
    if (images.empty()) throw weft::InvalidInput(split.string() + ": has no image; add some, or remove the folder");
    return images;
  }

  void check_each_class(const std::vector<ImageFile>& images) const {
    std::vector<bool> found(classes_.size());
    for (const ImageFile& image : images) found[static_cast<std::size_t>(image.label)] = true;
    const auto without = std::find(found.begin(), found.end(), false);
    if (without == found.end()) return;
    throw weft::InvalidInput(
        (folder_ / "train" / classes_[static_cast<std::size_t>(without - found.begin())]).string() +
        ": has no image; every class needs at least one PNG or JPEG file. Add images or remove the class");
  }

  void note_other_folders() {
    LeftOut other;
    for (const std::string& name : class_names(folder_, other)) {
      const bool validation =
          std::find(validation_names.begin(), validation_names.end(), name) != validation_names.end();
      if (name != "train" && name != "test" && !validation) left_out_.no_split(folder_ / name);
    }
  }

  // Images that cannot be decoded are noted in failures_ and left as they come.
  weft::Split decode(const std::vector<ImageFile>& files) {
    const auto count = static_cast<std::int64_t>(files.size());
    const at::Tensor images = at::empty({count, resolution_, resolution_, channels_}, at::kByte);
    const at::Tensor labels = at::empty({count}, at::kLong);
    auto* const pixels = images.data_ptr<std::uint8_t>();
    auto* const label = labels.data_ptr<std::int64_t>();
    const std::int64_t size = resolution_ * resolution_ * channels_;
    std::vector<std::string> failures(files.size());
    std::vector<std::uint8_t> damaged(files.size());
    tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      label[i] = files[at].label;
      try {
        const Decoded decoded = decode_image(contents(files[at].path), channels_);
        if (!decoded.failure.empty())
          throw weft::InvalidInput(files[at].path.string() + ": cannot be decoded (" + decoded.failure + ")");
        write_square(decoded.pixels, resolution_, pixels + i * size);
        damaged[at] = decoded.damaged ? 1 : 0;
      } catch (const std::exception& error) {
        failures[at] = error.what();
      }
    });
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!failures[i].empty()) failures_.push_back(failures[i]);
      if (damaged[i] != 0 && ++damaged_ == 1) first_damaged_ = files[i].path.string();
    }
    return {images.permute({0, 3, 1, 2}), labels};
  }

  void refuse_failures(std::size_t images) const {
    if (failures_.empty()) return;
    constexpr std::size_t named = 10;
    std::string list;
    for (std::size_t i = 0; i < std::min(named, failures_.size()); ++i) list += (i == 0 ? "" : "\n  ") + failures_[i];
    if (failures_.size() > named) list += "\n  and " + std::to_string(failures_.size() - named) + " more";
    if (failures_.size() == 1) throw weft::InvalidInput(list + "; repair or remove the file");
    throw weft::InvalidInput(std::to_string(failures_.size()) + " of " + std::to_string(images) +
                             " images cannot be read; repair or remove them:\n  " + list);
  }

  fs::path folder_;
  std::int64_t resolution_;
  int channels_;
  bool final_;
  // In the final phase, what is to be said of training and validation has been said.
  LeftOut left_out_, unsaid_;
  std::vector<std::string> classes_;
  std::vector<std::string> failures_;
  std::int64_t damaged_ = 0;
  std::string first_damaged_;
};

class ImageFolder final : public weft::SplitDataset {
 public:
  explicit ImageFolder(const weft::Context& context) : SplitDataset(Reader(context).read(), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<ImageFolder>("image_folder"))
