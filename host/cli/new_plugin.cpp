// `weft plugin new`: begins a plugin from the template of its kind and language.
//
// A template is a folder that builds as it is, with a plugin called my_plugin in it; those of its words that are listed
// below are replaced in its texts and file names. The kinds are the folders that there are, and a kind's languages the
// folders in it; what lies beside those goes to each language. `shared` goes to each kind.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
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
  // What the templates call something else.
  static const std::set<std::string> taken = {
      "Best", "Box",   "Context",   "Decision", "Err",        "Genotype",  "Judgement", "LearningCurve",
      "None", "Ok",    "Optimizer", "Option",   "Prediction", "Predictor", "Proposal",  "Result",
      "Some", "Space", "Stopper",   "String",   "Vec",        "Verdict"};
  return taken.contains(text) ? text + "Plugin" : text;
}

using Words = std::vector<std::pair<std::string, std::string>>;  // replaced one after the other

std::string replaced(std::string text, const Words& words) {
  for (const auto& [word, by] : words) {
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += by.size())
      text.replace(at, word.size(), by);
  }
  return text;
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, absent)) {
    if (entry.is_directory() && entry.path().filename() != "shared") names.push_back(entry.path().filename());
  }
  if (absent || names.empty())
    throw Error(fmt::format("{}: the templates of plugins are missing; install Weft anew", folder.string()));
  std::sort(names.begin(), names.end());
  return names;
}

void check_language(const NewPlugin& plugin, const fs::path& templates, const std::vector<std::string>& kinds) {
  std::map<std::string, std::vector<std::string>> kinds_of;  // by language
  for (const std::string& kind : kinds) {
    for (std::string& language : folders_in(templates / kind)) kinds_of[std::move(language)].push_back(kind);
  }
  const auto known = kinds_of.find(plugin.language);
  if (known == kinds_of.end()) {
    std::vector<std::string> languages;
    languages.reserve(kinds_of.size());
    for (const auto& [language, unused] : kinds_of) languages.push_back(language);
    throw InvalidInput(fmt::format("weft plugin new: --language is \"{}\"; must be one of {}{}", plugin.language,
                                   fmt::join(languages, ", "), did_you_mean(plugin.language, languages)));
  }
  if (std::find(known->second.begin(), known->second.end(), plugin.kind) != known->second.end()) return;
  throw InvalidInput(
      fmt::format("weft plugin new: KIND is \"{}\", of which there is no template in {}; there are {}. {} "
                  "says what one of its own needs",
                  plugin.kind, plugin.language, fmt::join(known->second, ", "),
                  (templates.parent_path() / "docs" / "other-languages.md").string()));
}

void read_template(const fs::path& file, const fs::path& to, const Words& words,
                   std::map<fs::path, std::string>& files) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(fmt::format("{}: cannot be read; install Weft anew", file.string()));
  files[replaced(to.string(), words)] = replaced(text, words);
}

// What a template holds for every language, and for this one with the folders in it; by the names they get.
void read_templates(const fs::path& source, const std::string& language, const Words& words,
                    std::map<fs::path, std::string>& files) {
  for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
    if (!entry.is_directory()) read_template(entry.path(), entry.path().filename(), words, files);
  }
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source / language)) {
    if (!entry.is_directory())
      read_template(entry.path(), entry.path().lexically_relative(source / language), words, files);
  }
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
  const std::vector<std::string> kinds = folders_in(templates);
  if (std::find(kinds.begin(), kinds.end(), plugin.kind) == kinds.end()) {
    throw InvalidInput(fmt::format("weft plugin new: KIND is \"{}\"; must be one of {}{}", plugin.kind,
                                   fmt::join(kinds, ", "), did_you_mean(plugin.kind, kinds)));
  }
  check_language(plugin, templates, kinds);
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
  for (const fs::path& source : {templates / "shared", templates / plugin.kind})
    read_templates(source, plugin.language, words, files);
  for (const auto& [file, text] : files) {
    std::error_code error;
    fs::create_directories((folder / file).parent_path(), error);
    if (error) throw Error(fmt::format("{}: cannot be created: {}", folder.string(), error.message()));
    write_atomically(folder / file, text);
  }

  fmt::print(output(), "{}: the {} {}, ready to build. Next:\n", folder.string(), plugin.kind, plugin.name);
  fmt::print(output(),
             "  cd {}\n  cmake --workflow --preset plugin\n  weft --plugin-path build/plugins run pipeline.json\n",
             folder.string());
  return done;
}

}  // namespace weft::host
