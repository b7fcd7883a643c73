#include "listing.hpp"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <set>

#include "decode.hpp"
#include "weft/data_path.hpp"

namespace fs = std::filesystem;

namespace {

// Sorted, as the order in which a file system lists is not the same everywhere.
std::vector<fs::path> entries(const fs::path& folder) {
  weft::require_folder(folder);
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool named_as_image(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

// Files of a class, deep. `above` are the folders on the way, which a link must not lead back to.
void collect(const fs::path& folder, std::set<fs::path> above, std::vector<fs::path>& files, LeftOut& left_out) {
  if (!above.insert(fs::canonical(folder)).second) return;
  for (const fs::path& path : entries(folder)) {
    if (is_hidden(path)) {
      left_out.hidden();
    } else if (is_folder(path)) {
      left_out.nested(path);
      collect(path, above, files, left_out);
    } else {
      files.push_back(path);
    }
  }
}

std::string counted(std::int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

void LeftOut::nested(const fs::path& folder) {
  if (++nested_ == 1) first_nested_ = folder.string();
}

void LeftOut::no_image(const fs::path& file) {
  if (++no_image_ == 1) first_no_image_ = file.string();
}

void LeftOut::no_split(const fs::path& folder) { no_splits_ += (no_splits_.empty() ? "" : ", ") + folder.string(); }

std::vector<std::string> LeftOut::in_words() const {
  std::vector<std::string> lines;
  std::string skipped;
  const auto add = [&](const std::string& what) { skipped += (skipped.empty() ? "skipped: " : ", ") + what; };
  if (hidden_ > 0) add(counted(hidden_, "hidden file") + " or folder" + (hidden_ == 1 ? "" : "s"));
  for (const auto& [format, count] : foreign_)
    add(counted(count, format + " image") + " (not read; convert to PNG or JPEG)");
  if (no_image_ > 0) add(counted(no_image_, "file") + " of no known image format (" + first_no_image_ + ")");
  if (outside_ > 0) add(counted(outside_, "file") + " beside the folders of classes");
  if (!no_splits_.empty()) add("folders that are no split: " + no_splits_);
  if (!skipped.empty()) lines.push_back(skipped);
  if (nested_ > 0)
    lines.push_back("read with their class: " + counted(nested_, "folder") + " within classes (" + first_nested_ + ")");
  return lines;
}

bool is_hidden(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".") || name == "Thumbs.db" || name == "desktop.ini" || name == "__MACOSX";
}

std::vector<std::string> class_names(const fs::path& folder, LeftOut& left_out) {
  std::vector<std::string> names;
  for (const fs::path& path : entries(folder)) {
    if (is_hidden(path)) {
      left_out.hidden();
    } else if (is_folder(path)) {
      names.push_back(path.filename().string());
    } else {
      left_out.outside();
    }
  }
  return names;
}

std::string contents(const fs::path& file, std::size_t most) {
  weft::require_file(file);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"), std::fclose);
  if (!stream) throw weft::InvalidInput(file.string() + " cannot be opened");
  std::string bytes(std::min<std::size_t>(most, fs::file_size(file)), '\0');
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), stream.get()));
  return bytes;
}

std::vector<ImageFile> list_images(const fs::path& split, const std::vector<std::string>& classes, LeftOut& left_out) {
  std::vector<ImageFile> files;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    if (!is_folder(split / classes[label])) continue;
    std::vector<fs::path> found;
    collect(split / classes[label], {}, found, left_out);
    for (fs::path& path : found) files.push_back({std::move(path), static_cast<std::int64_t>(label)});
  }
  // What cannot be opened stays: decoding it says why.
  std::vector<std::string> formats(files.size());
  tbb::parallel_for(std::size_t{0}, files.size(), [&](std::size_t i) {
    try {
      formats[i] = image_format(contents(files[i].path, 16));
      if (formats[i].empty() && named_as_image(files[i].path)) formats[i] = "PNG";
    } catch (const std::exception&) {
      formats[i] = "PNG";
    }
  });
  std::vector<ImageFile> images;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (formats[i] == "PNG" || formats[i] == "JPEG") {
      images.push_back(std::move(files[i]));
    } else if (formats[i].empty()) {
      left_out.no_image(files[i].path);
    } else {
      left_out.foreign(formats[i]);
    }
  }
  return images;
}
