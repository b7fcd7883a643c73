// Everything that can be said of a plugin's library before it is opened (docs/plugin-contract.md, rules 2 and 5).
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/plugins/elf.hpp"
#include "host/plugins/manifest.hpp"

namespace weft::host {

// A library's file, held open from the first check to the last. Nothing but reading is done with it.
class LibraryFile {
 public:
  LibraryFile() = default;
  LibraryFile(const LibraryFile&) = delete;
  LibraryFile& operator=(const LibraryFile&) = delete;
  ~LibraryFile();

  // Of the resolved path. Throws Refusal (E021).
  void open(const std::filesystem::path& path);
  // Bytes and sha256. Throws Refusal (E025, E031).
  void read();
  void forget_bytes();
  // The path still leads to the file that was checked, and nobody wrote to it; nor to its companions.
  bool is_unchanged() const;
  void expect_unchanged() const;  // Throws Refusal (E025).

  int descriptor() const { return descriptor_; }
  // `sha256`, or where there are libraries that come along, one over all their hashes.
  std::string fingerprint() const;

  std::filesystem::path path;  // without symbolic links
  std::string bytes;
  std::string sha256;  // hexadecimal
  Elf elf;
  std::string stamp;  // of the ELF's stamps, the one that is Weft's
  // Libraries of the plugin's folder that it needs, each after those that it needs itself.
  std::vector<std::unique_ptr<LibraryFile>> companions;
  // Other libraries that it finds from its own place, such as Weft's own for the torch tier.
  std::vector<std::filesystem::path> found_from_here;

 private:
  int descriptor_ = -1;
  struct stat state_ {};
};

struct Check {
  int rule;
  const char* title;
  void (*run)(const Manifest& manifest, LibraryFile& file);  // throws Refusal
};

// In the order in which they must be run: each relies on those before it.
std::span<const Check> checks();

// Runs all of them.
void inspect(const Manifest& manifest, LibraryFile& file);

}  // namespace weft::host
