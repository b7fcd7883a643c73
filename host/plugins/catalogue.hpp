// The installed plugins, found by their manifests alone.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/installation.hpp"
#include "host/plugins/manifest.hpp"

namespace weft::host {

class Catalogue {
 public:
  struct Entry {
    Manifest manifest;
    std::filesystem::path shadowed_by;  // empty, or the manifest of the same kind and name that was found first
  };
  struct Broken {
    std::filesystem::path file;
    std::string error;
  };

  // Search order: `extra`, WEFT_PLUGIN_PATH, the user's folder, the installation.
  // Broken manifests are collected, not thrown: they matter only to who wants that plugin.
  static Catalogue discover(const std::vector<std::filesystem::path>& extra);

  const std::vector<Entry>& entries() const { return entries_; }
  const std::vector<Broken>& broken() const { return broken_; }
  const std::vector<std::filesystem::path>& folders() const { return folders_; }

  // Throws InvalidInput naming the nearest names of that kind, and `place` as where it was asked for.
  const Manifest& find(const std::string& kind, const std::string& name, const std::string& place) const;
  std::vector<std::string> names(const std::string& kind) const;
  // Titles of the plugins that provide a capability.
  std::vector<std::string> providing(const std::string& capability) const;

 private:
  void scan(const std::filesystem::path& folder, const Json& schema);
  std::vector<Entry> entries_;
  std::vector<Broken> broken_;
  std::vector<std::filesystem::path> folders_;
};

}  // namespace weft::host
