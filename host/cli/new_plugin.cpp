// `weft plugin new`: begins a plugin from the template of its kind.
//
// A template is a folder that builds as it is, with a plugin called my_plugin in it; those of its words that are listed
// below are replaced in its texts and file names. The kinds are the folders that there are; `shared` goes to each.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/schema.hpp"
#include "host/study/files.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

// acme/mine -> mine: what files, class and project are called.
std::string own_name(const std::string& name) { return name.substr(name.find('/') + 1); }

// my_plugin -> MyPlugin
std::string class_name(const std::string& name) {
  std::string text;
  bool first = true;
  for (const char c : name) {
    if (c != '_') text += first ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    first = c == '_';
  }
  return text;
}

using Words = std::vector<std::pair<std::string, std::string>>;  // replaced one after the other

std::string replaced(std::string text, const Words& words) {
  for (const auto& [word, by] : words) {
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += by.size())
      text.replace(at, word.size(), by);
  }
  return text;
}

std::vector<std::string> kinds_in(const fs::path& templates) {
  std::vector<std::string> kinds;
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(templates, absent)) {
    if (entry.is_directory() && entry.path().filename() != "shared") kinds.push_back(entry.path().filename());
  }
  if (absent || kinds.empty())
    throw Error(fmt::format("{}: the templates of plugins are missing; install Weft anew", templates.string()));
  std::sort(kinds.begin(), kinds.end());
  return kinds;
}

void check_name(const std::string& name, const fs::path& schemas) {
  const Json rule = read_json(schemas / "plugin.json").at("properties").at("name");
  validate(Json(name), rule, "weft plugin new", "NAME");
  if (name.ends_with("_test"))
    throw InvalidInput(
        fmt::format("weft plugin new: NAME is \"{}\"; must not end in _test, by which the files of "
                    "tests are known",
                    name));
}

}  // namespace

int plugin_new_command(const NewPlugin& plugin) {
  const fs::path schemas = Installation::locate().schemas;
  const fs::path templates = schemas.parent_path() / "templates";
  const std::vector<std::string> kinds = kinds_in(templates);
  if (std::find(kinds.begin(), kinds.end(), plugin.kind) == kinds.end()) {
    throw InvalidInput(fmt::format("weft plugin new: KIND is \"{}\"; must be one of {}{}", plugin.kind,
                                   fmt::join(kinds, ", "), did_you_mean(plugin.kind, kinds)));
  }
  check_name(plugin.name, schemas);
  const fs::path folder = plugin.output.value_or(own_name(plugin.name));
  std::error_code absent;
  if (fs::exists(folder, absent) && !(fs::is_directory(folder) && fs::is_empty(folder, absent))) {
    throw InvalidInput(fmt::format("{}: exists and is not empty; name another folder with --output", folder.string()));
  }

  // Names that are quoted are looked up, and have the vendor before them.
  const std::string name = own_name(plugin.name);
  const Words words = {{"\"my_plugin\"", "\"" + plugin.name + "\""},
                       {"\"my_plugin\\0", "\"" + plugin.name + "\\0"},
                       {"plugin show my_plugin", "plugin show " + plugin.name},
                       {"my_kind my_plugin", plugin.kind + " " + plugin.name},
                       {"my_kind/my_plugin", plugin.kind + "/" + plugin.name},
                       {"my_plugin", name},
                       {"MyPlugin", class_name(name)},
                       {"my_kind", plugin.kind}};
  std::map<fs::path, std::string> files;
  for (const fs::path& source : {templates / "shared", templates / plugin.kind}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
      std::ifstream stream(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      if (!stream) throw Error(fmt::format("{}: cannot be read; install Weft anew", entry.path().string()));
      files[folder / replaced(entry.path().filename(), words)] = replaced(text, words);
    }
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(fmt::format("{}: cannot be created: {}", folder.string(), error.message()));
  for (const auto& [file, text] : files) write_atomically(file, text);

  fmt::print(output(), "{}: the {} {}, ready to build. Next:\n", folder.string(), plugin.kind, plugin.name);
  fmt::print(output(),
             "  cd {}\n  cmake --workflow --preset plugin\n  weft --plugin-path build/plugins run pipeline.json\n",
             folder.string());
  return done;
}

}  // namespace weft::host
