// `weft plugin list`, `weft plugin show`: which plugins there are, from their manifests alone.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/schema.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

Json to_json(const Catalogue::Entry& entry) {
  Json item = entry.manifest.json;
  item["manifest_file"] = entry.manifest.file.string();
  item["origin"] = entry.origin.string();
  if (!entry.shadowed_by.empty()) item["shadowed_by"] = entry.shadowed_by.string();
  return item;
}

std::string origin(const Catalogue::Entry& entry) {
  if (!entry.shadowed_by.empty())
    return fmt::format(" [{}, shadowed by {}]", entry.origin.string(), entry.shadowed_by.string());
  return entry.origin == Installation::locate().plugins ? "" : fmt::format(" [{}]", entry.origin.string());
}

// What is given where the pipeline gives nothing; "(required)" where it must.
std::string default_of(const std::string& parameter, const Json& parameters) {
  const Json& schema = parameters.at("properties").at(parameter);
  if (schema.contains("default")) return shortened(schema.at("default").dump(), 40);
  const Json required = parameters.value("required", Json::array());
  return std::find(required.begin(), required.end(), parameter) != required.end() ? "(required)" : "(optional)";
}

void show(const Catalogue::Entry& entry) {
  const Manifest& manifest = entry.manifest;
  fmt::print(output(), "{} {}: {}\n", manifest.title(), manifest.version, manifest.summary);
  if (manifest.json.contains("reference")) {
    const Json& reference = manifest.json.at("reference");
    fmt::print(output(), "  {} {}, \"{}\"{}\n", reference.at("authors").get<std::string>(),
               reference.at("year").get<int>(), reference.at("title").get<std::string>(),
               reference.contains("arxiv") ? ", arXiv " + reference.at("arxiv").get<std::string>() : "");
  }
  const auto listed = [](const std::vector<std::string>& names) {
    return names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", "));
  };
  fmt::print(output(), "  requires: {}\n  provides: {}\n", listed(manifest.required), listed(manifest.provided));
  fmt::print(output(), "  license:  {}\n", manifest.json.at("license").get<std::string>());
  fmt::print(output(), "  manifest: {}\n", manifest.file.string());
  const Json properties = manifest.parameters().value("properties", Json::object());
  if (!properties.empty()) fmt::print(output(), "  parameters:\n");
  for (const auto& [parameter, schema] : properties.items()) {
    fmt::print(output(), "    {:<24} {:<10} {}\n", parameter, default_of(parameter, manifest.parameters()),
               schema.value("description", ""));
  }
}

}  // namespace

int plugin_list_command(bool json, const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  std::vector<const Catalogue::Entry*> entries;
  for (const Catalogue::Entry& entry : catalogue.entries()) entries.push_back(&entry);
  std::stable_sort(entries.begin(), entries.end(), [](auto* a, auto* b) {
    return std::tie(a->manifest.kind, a->manifest.name) < std::tie(b->manifest.kind, b->manifest.name);
  });
  if (json) {
    Json list = Json::array();
    for (const auto* entry : entries) list.push_back(to_json(*entry));
    fmt::print(output(), "{}\n", list.dump(1));
  } else {
    std::string kind;
    for (const auto* entry : entries) {
      if (entry->manifest.kind != kind) fmt::print(output(), "{}\n", kind = entry->manifest.kind);
      fmt::print(output(), "  {:<24} {:<8} {}{}\n", entry->manifest.name, entry->manifest.version,
                 entry->manifest.summary, origin(*entry));
    }
    fmt::print(output(), "where no folder is named: {}\n", Installation::locate().plugins.string());
  }
  for (const Catalogue::Broken& broken : catalogue.broken()) fmt::print(stderr, "broken: {}\n", broken.error);
  for (const Catalogue::Broken& folder : catalogue.unsearched())
    fmt::print(stderr, "not searched: {}: {}\n", folder.file.string(), folder.error);
  return done;
}

int plugin_show_command(const std::string& name, bool json, const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  std::vector<const Catalogue::Entry*> found;
  std::set<std::string> known;
  for (const Catalogue::Entry& entry : catalogue.entries()) {
    if (!entry.shadowed_by.empty()) continue;
    const Manifest& manifest = entry.manifest;
    known.insert(manifest.name);
    if (name == manifest.name || name == manifest.kind + "/" + manifest.name) found.push_back(&entry);
  }
  if (found.empty()) {
    throw InvalidInput(fmt::format("no plugin is called \"{}\"{}. `weft plugin list` shows all", name,
                                   meant_plugin(name, {known.begin(), known.end()})));
  }
  if (json) {
    Json list = Json::array();
    for (const auto* entry : found) list.push_back(entry->manifest.json);
    fmt::print(output(), "{}\n", list.dump(1));
    return done;
  }
  for (const auto* entry : found) show(*entry);
  return done;
}

}  // namespace weft::host
