#include "host/plugins/catalogue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "host/plugins/schema.hpp"

namespace weft::host {

namespace fs = std::filesystem;

Catalogue Catalogue::discover(const std::vector<fs::path>& extra) {
  const Installation installation = Installation::locate();
  const Json schema = read_json(installation.schemas / "plugin.json");
  Catalogue catalogue;
  catalogue.folders_ = extra;
  if (const char* variable = std::getenv("WEFT_PLUGIN_PATH"); variable != nullptr) {
    std::istringstream stream(variable);
    for (std::string folder; std::getline(stream, folder, ':');) {
      if (!folder.empty()) catalogue.folders_.emplace_back(folder);
    }
  }
  if (const char* home = std::getenv("HOME"); home != nullptr)
    catalogue.folders_.push_back(fs::path(home) / ".local/share/weft/plugins");
  catalogue.folders_.push_back(installation.plugins);
  for (const fs::path& folder : catalogue.folders_) catalogue.scan(folder, schema);
  return catalogue;
}

// A manifest lies in the folder itself, or up to two levels below it (<kind>/<name>/manifest.json).
void Catalogue::scan(const fs::path& folder, const Json& schema) {
  std::error_code ignored;  // an absent or unreadable folder has no plugins
  std::vector<fs::path> files;
  if (fs::exists(folder / "manifest.json", ignored)) files.push_back(folder / "manifest.json");
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, ignored), end;
       at != end; at.increment(ignored)) {
    if (at.depth() >= 2) at.disable_recursion_pending();
    if (at.depth() > 0 && at->path().filename() == "manifest.json") files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    try {
      Entry entry{Manifest::read(file, schema), {}};
      const auto first = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& other) {
        return other.shadowed_by.empty() && other.manifest.kind == entry.manifest.kind &&
               other.manifest.name == entry.manifest.name;
      });
      if (first != entries_.end()) entry.shadowed_by = first->manifest.file;
      entries_.push_back(std::move(entry));
    } catch (const std::exception& error) {
      broken_.push_back({file, error.what()});
    }
  }
}

const Manifest& Catalogue::find(const std::string& kind, const std::string& name, const std::string& place) const {
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.kind == kind && entry.manifest.name == name) return entry.manifest;
  }
  for (const Broken& broken : broken_) {
    if (broken.file.parent_path().filename() == name) {
      throw InvalidInput(fmt::format("{}: the {} \"{}\" is installed, but its manifest is broken:\n{}", place, kind,
                                     name, broken.error));
    }
  }
  const std::vector<std::string> known = names(kind);
  throw InvalidInput(fmt::format("{}: no {} is called \"{}\"{}. Installed are: {}", place, kind, name,
                                 did_you_mean(name, known),
                                 known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

std::vector<std::string> Catalogue::names(const std::string& kind) const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.kind == kind) names.push_back(entry.manifest.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Catalogue::providing(const std::string& capability) const {
  std::vector<std::string> titles;
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.provides(capability)) titles.push_back(entry.manifest.title());
  }
  return titles;
}

}  // namespace weft::host
