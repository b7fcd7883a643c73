#include "host/plugins/catalogue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "host/pipelines/utf8.hpp"
#include "host/plugins/schema.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

bool is_manifest(const fs::path& file) {
  const std::string name = file.filename();
  return name == "manifest.json" || (name.ends_with(".manifest.json") && name.front() != '.');
}

// "acme/mine" -> "mine"
std::string without_vendor(const std::string& name) { return name.substr(name.find('/') + 1); }

}  // namespace

std::vector<fs::path> manifests_in(const fs::path& folder, std::error_code& error) {
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (is_manifest(at->path())) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
    const auto order = [](const fs::path& file) { return std::pair(file.filename() != "manifest.json", file); };
    return order(a) < order(b);
  });
  return files;
}

std::string meant_plugin(const std::string& name, const std::vector<std::string>& known) {
  std::vector<std::string> same;
  for (const std::string& other : known) {
    if (without_vendor(other) == without_vendor(name)) same.push_back(other);
  }
  return same.empty() ? did_you_mean(name, known) : fmt::format("; did you mean \"{}\"?", fmt::join(same, "\" or \""));
}

Catalogue Catalogue::discover(const std::vector<fs::path>& extra) {
  const Installation installation = Installation::locate();
  const Json schema = read_json(installation.schemas / "plugin.json");
  Catalogue catalogue;
  std::error_code ignored;
  for (const fs::path& folder : extra) {
    check_utf8(folder.string(), "--plugin-path", "rename the folder");
    if (!fs::is_directory(folder, ignored)) {
      throw InvalidInput(fmt::format("--plugin-path \"{}\": no such folder, seen from {}", folder.string(),
                                     fs::current_path(ignored).string()));
    }
    catalogue.folders_.push_back(fs::absolute(folder));
  }
  if (const char* variable = std::getenv("WEFT_PLUGIN_PATH"); variable != nullptr) {
    std::istringstream stream(variable);
    for (std::string folder; std::getline(stream, folder, ':');) {
      if (folder.empty()) continue;
      check_utf8(folder, "WEFT_PLUGIN_PATH: the folder", "rename it");
      catalogue.folders_.push_back(fs::absolute(folder));
      if (!fs::is_directory(folder, ignored))
        catalogue.unsearched_.push_back({catalogue.folders_.back(), "no such folder; WEFT_PLUGIN_PATH names it"});
    }
  }
  if (const std::optional<fs::path> own = Installation::user_plugins())
    catalogue.folders_.push_back(fs::absolute(*own));
  catalogue.folders_.push_back(installation.plugins);
  for (const fs::path& folder : catalogue.folders_) catalogue.scan(folder, schema);
  return catalogue;
}

// At any depth, through symbolic links, every folder once; not in hidden folders, nor below a folder that has a
// manifest: what lies there is the plugin's data.
std::vector<fs::path> Catalogue::manifests_below(const fs::path& folder) {
  struct stat state {};
  if (stat(folder.c_str(), &state) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) unsearched_.push_back({folder, std::strerror(errno)});
    return {};
  }
  if (!searched_.emplace(state.st_dev, state.st_ino).second) return {};
  std::error_code error;
  std::vector<fs::path> files = manifests_in(folder, error);
  std::vector<fs::path> folders;
  if (files.empty()) {
    std::error_code not_a_folder;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const bool hidden = at->path().filename().string().front() == '.';
      if (!hidden && at->is_directory(not_a_folder)) folders.push_back(at->path());
    }
  }
  if (error) unsearched_.push_back({folder, error.message()});
  std::sort(folders.begin(), folders.end());
  for (const fs::path& below : folders) {
    const std::vector<fs::path> found = manifests_below(below);
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

void Catalogue::scan(const fs::path& folder, const Json& schema) {
  for (const fs::path& file : manifests_below(folder)) add(file, folder, schema);
}

void Catalogue::add(const fs::path& file, const fs::path& origin, const Json& schema) {
  try {
    check_utf8(file.string(), "the manifest", "rename its folder");
    Entry entry{Manifest::read(file, schema), origin, {}};
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

const Manifest& Catalogue::find(const std::string& kind, const std::string& name, const std::string& place) const {
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.kind == kind && entry.manifest.name == name) return entry.manifest;
  }
  if (const Broken* broken = broken_one(name)) {
    throw InvalidInput(fmt::format("{}: the {} \"{}\" is installed, but its manifest is broken:\n{}", place, kind, name,
                                   broken->error));
  }
  const std::vector<std::string> known = names(kind);
  throw InvalidInput(fmt::format("{}: no {} is called \"{}\"{} Installed are: {}", place, kind, name,
                                 ended(meant_plugin(name, known)),
                                 known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

const Catalogue::Broken* Catalogue::broken_one(const std::string& name) const {
  for (const Broken& broken : broken_) {
    const std::string file = broken.file.filename();
    const std::string called = file == "manifest.json" ? broken.file.parent_path().filename().string()
                                                       : file.substr(0, file.find(".manifest.json"));
    if (called == without_vendor(name)) return &broken;
  }
  return nullptr;
}

std::vector<std::string> Catalogue::names(const std::string& kind) const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.kind == kind) names.push_back(entry.manifest.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

const Manifest& Catalogue::provider(const std::string& kind, const std::string& capability) const {
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.kind == kind && entry.manifest.provides(capability))
      return entry.manifest;
  }
  throw InvalidInput(
      fmt::format("no installed plugin of kind {} provides \"{}\"; install one that does, or look with "
                  "`weft plugin list` whether one is broken",
                  kind, capability));
}

std::vector<std::string> Catalogue::providing(const std::string& capability) const {
  std::vector<std::string> titles;
  for (const Entry& entry : entries_) {
    if (entry.shadowed_by.empty() && entry.manifest.provides(capability)) titles.push_back(entry.manifest.title());
  }
  return titles;
}

}  // namespace weft::host
