// Which files of a folder are a class's images, and what was left out, in words.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

// What of the folders is not read, or not where it is expected.
class LeftOut {
 public:
  void hidden() { ++hidden_; }
  void outside() { ++outside_; }
  void nested(const std::filesystem::path& folder);
  void foreign(const std::string& format) { ++foreign_[format]; }
  void no_image(const std::filesystem::path& file);
  void no_split(const std::filesystem::path& folder);

  // One line each for what was skipped and for what was read from an unexpected place; none where there is nothing.
  std::vector<std::string> in_words() const;

 private:
  std::int64_t hidden_ = 0, outside_ = 0, nested_ = 0, no_image_ = 0;
  std::map<std::string, std::int64_t> foreign_;  // by format
  std::string first_nested_, first_no_image_, no_splits_;
};

struct ImageFile {
  std::filesystem::path path;
  std::int64_t label = 0;
};

// Of no image, no class and no data set: hidden by its name, or left by a file manager.
bool is_hidden(const std::filesystem::path& path);

// The names of the folders in `folder`, sorted.
std::vector<std::string> class_names(const std::filesystem::path& folder, LeftOut& left_out);

// All images of one split, by class and then by path; folders within a class are read with it. A class without a folder
// or without images has none. Throws weft::InvalidInput for a folder that may not be read.
std::vector<ImageFile> list_images(const std::filesystem::path& split, const std::vector<std::string>& classes,
                                   LeftOut& left_out);

// The whole file; throws weft::InvalidInput if it cannot be read.
std::string contents(const std::filesystem::path& file, std::size_t most = static_cast<std::size_t>(-1));
