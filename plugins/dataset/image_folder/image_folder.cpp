// PNG and JPEG files, one folder per class: train/<class>/<any name>.png and, if there is a test split, test/<class>/..
//
// Classes are numbered in the order of their names. An image's largest centred square is scaled to the resolution,
// bilinearly, with antialiasing where it shrinks.

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "decode.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

namespace fs = std::filesystem;

// Sorted, as the order in which a file system lists is not the same everywhere.
template <typename Predicate>
std::vector<fs::path> list(const fs::path& folder, Predicate&& wanted) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (wanted(entry)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> class_names(const fs::path& folder) {
  std::vector<std::string> names;
  if (fs::is_directory(folder)) {
    for (const fs::path& path : list(folder, [](const auto& entry) { return entry.is_directory(); }))
      names.push_back(path.filename());
  }
  if (names.size() < 2) {
    throw weft::InvalidInput(folder.string() + ": has " + std::to_string(names.size()) +
                             " folders; at least 2 are needed, one per class, "
                             "each holding its images. Set `folder` to the one that holds train/");
  }
  return names;
}

// [channels, resolution, resolution]
at::Tensor square(const at::Tensor& pixels, std::int64_t resolution) {
  const std::int64_t height = pixels.size(0), width = pixels.size(1), side = std::min(height, width);
  at::Tensor centre =
      pixels.narrow(0, (height - side) / 2, side).narrow(1, (width - side) / 2, side).permute({2, 0, 1});
  if (side == resolution) return centre;
  const at::Tensor scaled =
      at::_upsample_bilinear2d_aa(centre.unsqueeze(0).to(at::kFloat), {resolution, resolution}, false);
  return scaled.squeeze(0).round_().clamp_(0.0, 255.0).to(at::kByte);
}

weft::Split read_split(const weft::Context& context, const fs::path& folder, const std::vector<std::string>& classes) {
  const auto resolution = context.get<std::int64_t>("resolution"), channels = context.get<std::int64_t>("channels");
  std::vector<fs::path> files;
  std::vector<std::int64_t> labels;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const fs::path class_folder = folder / classes[label];
    std::vector<fs::path> images;
    if (fs::is_directory(class_folder))
      images = list(class_folder, [](const auto& entry) { return is_image_file(entry.path()); });
    if (images.empty()) {
      throw weft::InvalidInput(class_folder.string() +
                               ": has no image; every class needs at least one .png, .jpg or .jpeg file. "
                               "Add images or remove the class");
    }
    files.insert(files.end(), images.begin(), images.end());
    labels.resize(files.size(), static_cast<std::int64_t>(label));
  }
  weft::Split split{at::empty({static_cast<std::int64_t>(files.size()), channels, resolution, resolution}, at::kByte),
                    at::tensor(labels, at::kLong)};
  for (std::size_t i = 0; i < files.size(); ++i) {
    split.images[static_cast<std::int64_t>(i)].copy_(
        square(decode_image(files[i], static_cast<int>(channels)), resolution));
  }
  return split;
}

weft::DatasetFiles read_files(const weft::Context& context) {
  const fs::path folder = context.get<std::string>("folder");
  const std::vector<std::string> classes = class_names(folder / "train");
  weft::DatasetFiles files{
      static_cast<std::int64_t>(classes.size()), read_split(context, folder / "train", classes), {}};
  if (!context.final_phase() || !fs::exists(folder / "test")) return files;
  for (const std::string& name : class_names(folder / "test")) {
    if (!std::binary_search(classes.begin(), classes.end(), name)) {
      throw weft::InvalidInput((folder / "test" / name).string() + ": there is no class of this name in " +
                               (folder / "train").string());
    }
  }
  files.test = read_split(context, folder / "test", classes);
  return files;
}

class ImageFolder final : public weft::SplitDataset {
 public:
  explicit ImageFolder(const weft::Context& context) : SplitDataset(read_files(context), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<ImageFolder>("image_folder"))
