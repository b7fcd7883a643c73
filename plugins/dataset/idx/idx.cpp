// Data sets in IDX files: MNIST's format, used by Fashion-MNIST too.
//
// The format (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): two zero bytes, a byte for the type
// (8: unsigned byte), a byte for the number of dimensions, each extent as a big-endian 32-bit integer, then the data,
// row by row. zlib reads plain files and gzip alike.
//
// Of images that are scaled, the largest centred square is, as in image_folder.

#include <ATen/ATen.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "weft/data_path.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/area_resize.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/splits.hpp"

namespace {

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& file) {
  weft::require_file(file,
                     "For Fashion-MNIST install Debian's package dataset-fashion-mnist; "
                     "else set `folder` and the file names to where the data lies");
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> stream(gzopen(file.c_str(), "rb"), gzclose);
  if (!stream) throw weft::InvalidInput(file.string() + ": cannot be opened for reading; check its permissions");
  std::vector<std::uint8_t> bytes;
  constexpr unsigned chunk = 1 << 20;
  for (int read = chunk; read == chunk;) {
    const std::size_t size = bytes.size();
    bytes.resize(size + chunk);
    read = gzread(stream.get(), bytes.data() + size, chunk);
    bytes.resize(size + static_cast<std::size_t>(std::max(read, 0)));
    int code = Z_OK;
    const char* message = gzerror(stream.get(), &code);
    if (read < 0 || code != Z_OK) {
      throw weft::InvalidInput(file.string() + ": damaged gzip data (" + message + "); fetch the file again");
    }
  }
  return bytes;
}

// The bytes of an IDX file of unsigned bytes with this many dimensions.
at::Tensor read_idx(const std::filesystem::path& file, std::size_t dimensions) {
  const std::vector<std::uint8_t> bytes = read_bytes(file);
  const std::size_t header = 4 + 4 * dimensions;
  const auto word = [&](std::size_t at) {
    return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 | std::uint32_t{bytes[at + 2]} << 8 |
           bytes[at + 3];
  };
  const std::uint32_t expected = 0x0800 + static_cast<std::uint32_t>(dimensions);
  if (bytes.size() >= 4 && word(0) != expected) {
    throw weft::InvalidInput(file.string() + ": starts with the magic number " + std::to_string(word(0)) + "; " +
                             (dimensions == 3 ? "images need 2051 (unsigned bytes, 3 dimensions)"
                                              : "labels need 2049 (unsigned bytes, 1 dimension)") +
                             ". Is it the file meant here?");
  }
  if (bytes.size() < header) {
    throw weft::InvalidInput(file.string() + ": truncated; has " + std::to_string(bytes.size()) +
                             " bytes, its header alone needs " + std::to_string(header) + ". Fetch the file again");
  }
  std::vector<std::int64_t> extents;
  double stated = 1.0;  // may exceed any integer in a damaged header
  for (std::size_t d = 0; d < dimensions; ++d) {
    extents.push_back(word(4 + 4 * d));
    stated *= static_cast<double>(extents.back());
  }
  if (stated == 0.0)
    throw weft::InvalidInput(file.string() + ": its header states an extent of 0; every extent must be positive");
  const std::size_t found = bytes.size() - header;
  if (stated != static_cast<double>(found)) {
    throw weft::InvalidInput(file.string() + ": " + (stated > static_cast<double>(found) ? "truncated" : "too long") +
                             "; its header states " + weft::Json(extents).dump() + ", but " + std::to_string(found) +
                             " bytes follow it. Fetch the file again");
  }
  return at::from_blob(const_cast<std::uint8_t*>(bytes.data()) + header, extents, at::kByte).clone();
}

weft::Split read_split(const weft::Context& context, const char* images_name, const char* labels_name) {
  const std::filesystem::path folder = weft::data_path(context.get<std::string>("folder"));
  const std::filesystem::path images_file = folder / weft::data_path(context.get<std::string>(images_name));
  const std::filesystem::path labels_file = folder / weft::data_path(context.get<std::string>(labels_name));
  weft::Split split{read_idx(images_file, 3).unsqueeze(1), read_idx(labels_file, 1).to(at::kLong)};
  if (split.images.size(0) != split.labels.size(0)) {
    throw weft::InvalidInput(images_file.string() + " has " + std::to_string(split.images.size(0)) + " images, " +
                             labels_file.string() + " has " + std::to_string(split.labels.size(0)) +
                             " labels; the counts must be equal. Are both of one data set?");
  }
  weft::check_labels(split.labels, context.get<std::int64_t>("classes"), labels_file.string());
  const weft::Json& resolution = context.configuration().at("resolution");
  if (!resolution.is_null()) split.images = weft::area_resize(split.images, resolution.get<std::int64_t>());
  return split;
}

weft::DatasetFiles read_files(const weft::Context& context) {
  weft::DatasetFiles files{
      context.get<std::int64_t>("classes"), read_split(context, "train_images", "train_labels"), {}};
  if (context.final_phase()) files.test = read_split(context, "test_images", "test_labels");
  return files;
}

class Idx final : public weft::SplitDataset {
 public:
  explicit Idx(const weft::Context& context) : SplitDataset(read_files(context), context) {}
};

}  // namespace

WEFT_PLUGIN(weft::component<Idx>("idx"))
