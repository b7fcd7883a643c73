// The installed plugins, found by their manifests alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/installation.hpp"
#include "host/plugins/manifest.hpp"

namespace weft::host {

// The manifests in a folder itself: manifest.json first, and *.manifest.json of further components of the same library.
std::vector<std::filesystem::path> manifests_in(const std::filesystem::path& folder, std::error_code& error);

// As did_you_mean(), but a plugin of that name by another vendor, or by none, is what was meant.
std::string meant_plugin(const std::string& name, const std::vector<std::string>& known);

class Catalogue {
 public:
  struct Entry {
    Manifest manifest;
    std::filesystem::path origin;       // of folders(), the one that it was found in
    std::filesystem::path shadowed_by;  // empty, or the manifest of the same kind and name that was found first
  };
  struct Broken {
    std::filesystem::path file;
    std::string error;
  };

  // Search order: `extra`, WEFT_PLUGIN_PATH, the user's folder, the installation.
  // Throws InvalidInput where a folder of `extra` is none. Everything else that is broken is collected, not thrown: it
  // matters only to who wants that plugin.
  static Catalogue discover(const std::vector<std::filesystem::path>& extra);

  const std::vector<Entry>& entries() const { return entries_; }
  const std::vector<Broken>& broken() const { return broken_; }
  // Absolute, in the order of the search.
  const std::vector<std::filesystem::path>& folders() const { return folders_; }
  // Folders that could not be searched, and why.
  const std::vector<Broken>& unsearched() const { return unsearched_; }

  // Throws InvalidInput naming the nearest names of that kind, and `place` as where it was asked for.
  const Manifest& find(const std::string& kind, const std::string& name, const std::string& place) const;
  std::vector<std::string> names(const std::string& kind) const;
  // A manifest in a folder that is called so, but cannot be used; null where there is none.
  const Broken* broken_one(const std::string& name) const;
  // The first of a kind that provides a capability; throws InvalidInput, naming both, where there is none.
  const Manifest& provider(const std::string& kind, const std::string& capability) const;
  // Titles of the plugins that provide a capability.
  std::vector<std::string> providing(const std::string& capability) const;

 private:
  void scan(const std::filesystem::path& folder, const Json& schema);
  void add(const std::filesystem::path& file, const std::filesystem::path& origin, const Json& schema);
  std::vector<std::filesystem::path> manifests_below(const std::filesystem::path& folder);
  std::vector<Entry> entries_;
  std::vector<Broken> broken_, unsearched_;
  std::set<std::pair<std::uint64_t, std::uint64_t>>
      searched_;  // folders by device and inode: links may lead in circles
  std::vector<std::filesystem::path> folders_;
};

}  // namespace weft::host
