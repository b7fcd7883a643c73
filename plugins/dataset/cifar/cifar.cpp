// CIFAR-10 and CIFAR-100 in their binary format.
//
// The format (Krizhevsky 2009; the data sets' page): records of one label byte (CIFAR-10) or two (CIFAR-100: coarse,
// fine), then 3072 bytes, the red, green and blue plane of a 32x32 image, row by row.

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "weft/data_path.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/area_resize.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

constexpr std::int64_t image_bytes = 3 * 32 * 32;

// [records, label bytes + 3072]
at::Tensor read_records(const std::filesystem::path& file, std::int64_t label_bytes) {
  weft::require_file(file,
                     "Unpack the binary version of CIFAR-10 or CIFAR-100 and set `folder` to where its .bin files lie, "
                     "and `train_files` and `test_files` to their names");
  std::ifstream stream(file, std::ios::binary);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file));
  const std::int64_t record = label_bytes + image_bytes;
  if (size == 0 || size % record != 0) {
    throw weft::InvalidInput(
        file.string() + ": has " + std::to_string(size) + " bytes; must be a multiple of a record's " +
        std::to_string(record) + " (" + std::to_string(label_bytes) +
        " of label, 3 x 32 x 32 of image). "
        "Truncated, or of the other data set: CIFAR-10 needs `label` single, CIFAR-100 coarse or fine");
  }
  at::Tensor records = at::empty({size / record, record}, at::kByte);
  stream.read(static_cast<char*>(records.data_ptr()), size);
  if (!stream)
    throw weft::InvalidInput(file.string() + ": reading ended after " + std::to_string(stream.gcount()) + " bytes of " +
                             std::to_string(size));
  return records;
}

weft::Split read_split(const weft::Context& context, const char* list) {
  const std::filesystem::path folder = weft::data_path(context.get<std::string>("folder"));
  const auto label = context.get<std::string>("label");
  const std::int64_t label_bytes = label == "single" ? 1 : 2;
  std::vector<at::Tensor> images, labels;
  for (const auto& name : context.get<std::vector<std::string>>(list)) {
    const std::filesystem::path file = folder / weft::data_path(name);
    const at::Tensor records = read_records(file, label_bytes);
    labels.push_back(records.select(1, label == "fine" ? 1 : 0).to(at::kLong));
    weft::check_labels(labels.back(), context.get<std::int64_t>("classes"), file.string());
    images.push_back(records.narrow(1, label_bytes, image_bytes).reshape({-1, 3, 32, 32}));
    const weft::Json& resolution = context.configuration().at("resolution");
    if (!resolution.is_null()) images.back() = weft::area_resize(images.back(), resolution.get<std::int64_t>());
  }
  return {at::cat(images), at::cat(labels)};
}

weft::DatasetFiles read_files(const weft::Context& context) {
  weft::DatasetFiles files{context.get<std::int64_t>("classes"), read_split(context, "train_files"), {}};
  if (context.final_phase()) files.test = read_split(context, "test_files");
  return files;
}

class Cifar final : public weft::SplitDataset {
 public:
  explicit Cifar(const weft::Context& context) : SplitDataset(read_files(context), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<Cifar>("cifar"))
