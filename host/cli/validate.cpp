// `weft plugin validate`: every rule of the plugin contract that can be checked from outside, with a verdict for each.

#include <cxxabi.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/inspection.hpp"
#include "host/plugins/library.hpp"
#include "host/plugins/probe.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "host/plugins/strict_json.hpp"
#include "host/processes/child.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes contract_time(10);
constexpr int no_suite = 77, not_used = 78;  // exit codes of a contract program, as it says itself

struct Verdict {
  std::string rule, title;
  std::string word;  // "ok", "BROKEN", "skipped", "not reached"
  std::string why = {};
};

// Runs one check after the other. One that is broken hides those behind it if they rely on it.
class Validation {
 public:
  enum class Hides { rest, nothing };

  void check(const std::string& rule, const std::string& title, const std::function<std::string()>& body,
             Hides hides = Hides::rest) {
    Verdict verdict{rule, title, "ok"};
    if (hidden_) {
      verdict.word = "not reached";
    } else {
      try {
        verdict.why = body();
        if (!verdict.why.empty()) verdict.word = "skipped";
      } catch (const std::exception& error) {
        broken_ = true;
        hidden_ = hides == Hides::rest;
        verdict.word = "BROKEN";
        verdict.why = error.what();
      }
    }
    verdicts_.push_back(std::move(verdict));
  }

  bool broken() const { return broken_; }
  bool hidden() const { return hidden_; }
  const std::vector<Verdict>& verdicts() const { return verdicts_; }

 private:
  std::vector<Verdict> verdicts_;
  bool broken_ = false;
  bool hidden_ = false;
};

std::vector<fs::path> manifests_of(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> files = {path};
  if (fs::is_directory(path, error)) files = manifests_in(path, error);
  if (files.empty() || !fs::exists(files.front(), error)) {
    throw InvalidInput(fmt::format(
        "{}: no such file; give the folder that holds the plugin's manifest.json and library, or the manifest",
        (files.empty() ? path / "manifest.json" : path).string()));
  }
  for (fs::path& file : files) file = fs::absolute(file);
  return files;
}

std::string demangled(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 ? text.get() : symbol;
}

void expect_no_other_exports(const LibraryFile& library) {
  constexpr std::size_t most = 5;
  const std::vector<std::string>& others = library.elf.others;
  if (others.empty()) return;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(most, others.size()); ++i) shown.push_back(demangled(others[i]));
  throw Error(fmt::format(
      "{}: exports {}{}; expected weft_plugin alone. Remedy: link with a version script that keeps the rest local, as "
      "weft_add_plugin does; -fvisibility=hidden leaves the standard library's templates",
      library.path.string(), fmt::join(shown, ", "),
      others.size() > most ? fmt::format(", {} more", others.size() - most) : ""));
}

// ---- the contract suite ------------------------------------------------------------------------------------------

// What the suite's program is told, and the tier that it needs.
struct Setting {
  Json json;
  bool torch = false;
  bool unused = false;  // by the pipeline
};

Json part_of(const Use& use) { return {{"manifest", use.manifest->file.string()}, {"args", use.args}}; }

// How the pipeline uses the plugin, or null: whether its graphs have an operation, the suite sees.
const Use* use_of(const Manifest& manifest, const Pipeline& pipeline) {
  std::vector<const Use*> uses = {&pipeline.space, &pipeline.optimizer, &pipeline.evaluator};
  for (const ObjectiveUse& objective : pipeline.objectives) uses.push_back(&objective);
  if (pipeline.dataset) uses.push_back(&*pipeline.dataset);
  if (pipeline.final) uses.push_back(&pipeline.final->evaluator);
  for (const Use& stopper : pipeline.stoppers) uses.push_back(&stopper);
  if (pipeline.oneshot) uses.push_back(&*pipeline.oneshot);
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const Use& use = *uses[i];
    std::error_code ignored;
    if (fs::equivalent(use.manifest->file, manifest.file, ignored)) return &use;
    for (const Use& nested : use.nested) uses.push_back(&nested);
  }
  return nullptr;
}

Setting setting_in(const Manifest& manifest, const ValidateOptions& options, const Catalogue& catalogue) {
  const Pipeline pipeline = Pipeline::load(*options.pipeline, options.overrides, catalogue);
  const bool in_graphs = manifest.kind == "operation" || manifest.kind == "module";
  const Use* use = in_graphs ? nullptr : use_of(manifest, pipeline);
  if (use == nullptr && !in_graphs) return {.unused = true};
  Setting setting{{{"args", in_graphs ? Json::object() : use->args}, {"space", part_of(pipeline.space)}}};
  std::vector<const Use*> parts = {&pipeline.space};
  setting.json["study"] = {{"phase", "search"},
                           {"budget", pipeline.json().at("budget")},
                           {"slots", std::max<std::size_t>(1, pipeline.slots.size())}};
  if (pipeline.json().contains("task")) setting.json["study"]["task"] = pipeline.json().at("task");
  if (pipeline.budget.trials) setting.json["trials"] = *pipeline.budget.trials;
  if (pipeline.dataset) {
    parts.push_back(&*pipeline.dataset);
    setting.json["dataset"] = part_of(*pipeline.dataset);
  }
  for (const ObjectiveUse& objective : pipeline.objectives) {
    parts.push_back(&objective);
    setting.json["objectives"].push_back(part_of(objective));
  }
  setting.torch = std::any_of(parts.begin(), parts.end(), [](const Use* use) { return use->manifest->is_torch(); });
  return setting;
}

// Throws InvalidInput where --args or --pipeline cannot be used.
Setting setting_of(const Manifest& manifest, const ValidateOptions& options, PluginPath plugin_path) {
  const fs::path folder = manifest.file.parent_path();
  plugin_path.insert(plugin_path.begin(), folder);
  // What was built with it, such as the module of an operation.
  if (folder.parent_path().filename() == manifest.kind) plugin_path.push_back(folder.parent_path().parent_path());
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  const Json given = Json::accept(options.args) ? read_strictly(options.args) : Json(options.args);
  validate(given, Json{{"type", "object"}}, "--args");
  Setting setting = options.pipeline ? setting_in(manifest, options, catalogue) : Setting{{{"args", Json::object()}}};
  if (setting.unused) return setting;
  for (const Catalogue::Entry& entry : catalogue.entries()) {
    if (entry.shadowed_by.empty())
      setting.json["plugins"][entry.manifest.kind + "/" + entry.manifest.name] = entry.manifest.file.string();
  }
  setting.torch = setting.torch || manifest.is_torch();
  Json& args = setting.json["args"];
  args.update(given);
  fill_defaults(args, manifest.parameters());
  if (!given.empty()) validate(args, manifest.parameters(), "--args");
  return setting;
}

// A file that goes with this object.
class PassingFile {
 public:
  PassingFile() {
    std::string pattern = (fs::temp_directory_path() / "weft-validate-XXXXXX").string();
    const int descriptor = mkstemp(pattern.data());
    if (descriptor < 0) throw Error(fmt::format("{}: cannot be written", pattern));
    close(descriptor);
    path_ = pattern;
  }
  ~PassingFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  PassingFile(const PassingFile&) = delete;
  PassingFile& operator=(const PassingFile&) = delete;

  const fs::path& path() const { return path_; }
  std::string read() const {
    std::ifstream stream(path_);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

 private:
  fs::path path_;
};

// Empty, or why nothing was run. Throws Error with what the suite found.
std::string run_contract(const Manifest& manifest, Setting& setting) {
  constexpr const char* unused = "the pipeline does not use it";
  if (setting.unused) return unused;
  const Json required = manifest.parameters().value("required", Json::array());
  for (const Json& parameter : required) {
    if (setting.json.at("args").contains(parameter.get<std::string>())) continue;
    return fmt::format("the parameter {} must be given: by --args, or by a pipeline that uses the plugin, --pipeline",
                       parameter.get<std::string>());
  }
  const fs::path program = Installation::locate().programs / (setting.torch ? "contract_torch" : "contract_stable");
  if (!fs::exists(program)) return fmt::format("{} is not installed", program.string());
  const PassingFile findings, setting_file;  // an argument may be too long
  std::ofstream(setting_file.path()) << setting.json;
  Child child({{manifest.file.string(), setting_file.path().string(), findings.path().string()},
               {},
               /*core_dump=*/false,
               program.string()});
  if (!child.wait(contract_time)) {
    child.kill();
    throw Error(
        fmt::format("the suite had not ended after {} min; give it cheaper arguments, or a smaller pipeline: --set",
                    contract_time.count()));
  }
  const std::string how = child.bury();
  if (WIFEXITED(child.status()) && WEXITSTATUS(child.status()) == no_suite)
    return fmt::format("there is no suite for kind {} in {}", manifest.kind, program.string());
  setting.unused = WIFEXITED(child.status()) && WEXITSTATUS(child.status()) == not_used;
  if (setting.unused) return unused;
  if (WIFEXITED(child.status()) && WEXITSTATUS(child.status()) == 0) return {};
  const std::string found = findings.read();
  throw Error(found.empty() ? "the suite " + how : found);
}

// ---- all of it -----------------------------------------------------------------------------------------------------

struct Examined {
  Validation validation;
  bool unused = false;
};

Examined examine(const fs::path& file, const ValidateOptions& options, const PluginPath& plugin_path) {
  Manifest manifest;
  LibraryFile library;
  Validation validation;
  validation.check("5", "the manifest is valid", [&] {
    manifest = Manifest::read(file, read_json(Installation::locate().schemas / "plugin.json"));
    return "";
  });
  for (const Check& check : checks()) {
    validation.check(std::to_string(check.rule), check.title, [&] {
      const bool was_hashed = !library.sha256.empty();
      check.run(manifest, library);
      const bool stated = was_hashed || library.sha256.empty() || manifest.json.contains("sha256");
      return stated ? "" : "no SHA-256 stated: damage to the library would not be noticed; weft_add_plugin states it";
    });
  }
  const auto exports_nothing_else = [&] {
    expect_no_other_exports(library);
    return "";
  };
  validation.check("3", "it exports nothing else", exports_nothing_else, Validation::Hides::nothing);
  validation.check("6", "a child process can open it, and its descriptor is sound", [&] {
    probe(manifest);
    return "";
  });
  Setting setting;
  if (!validation.hidden() && !options.static_only) setting = setting_of(manifest, options, plugin_path);
  validation.check("8", "it keeps the contract of its kind",
                   [&] { return options.static_only ? std::string("--static") : run_contract(manifest, setting); });
  return {std::move(validation), setting.unused};
}

// Where they are written down, in an installation or in the source.
std::string rules() {
  const fs::path installed = Installation::locate().schemas.parent_path() / "docs" / "plugin-contract.md";
  std::error_code ignored;
  return fs::exists(installed, ignored) ? installed.string() : "docs/plugin-contract.md";
}

void print(const fs::path& file, const Validation& validation) {
  fmt::print(output(), "{}\n", file.string());
  for (const Verdict& verdict : validation.verdicts()) {
    fmt::print(output(), "  {:<11}  rule {}: {}\n", verdict.word, verdict.rule, verdict.title);
    if (!verdict.why.empty()) fmt::print(output(), "               {}\n", verdict.why);
  }
  const bool tried = validation.verdicts().back().word != "skipped";  // the contract suite
  fmt::print(output(), "{}\n",
             validation.broken() ? fmt::format("broken: {} explains the rules", rules())
             : tried             ? "valid"
                                 : "valid, as far as it was tried: the contract suite was not");
}

}  // namespace

int plugin_validate_command(const ValidateOptions& options, const PluginPath& plugin_path) {
  bool broken = false;
  bool all_unused = true;
  Json list = Json::array();
  for (const fs::path& file : manifests_of(options.path)) {
    const auto [validation, unused] = examine(file, options, plugin_path);
    all_unused = all_unused && unused;
    broken = broken || validation.broken();
    if (!options.json) print(file, validation);
    for (const Verdict& verdict : validation.verdicts()) {
      list.push_back({{"manifest", file.string()},
                      {"rule", verdict.rule},
                      {"check", verdict.title},
                      {"verdict", verdict.word},
                      {"why", verdict.why}});
    }
  }
  if (options.json) fmt::print(output(), "{}\n", list.dump(1));
  if (all_unused) {
    throw InvalidInput(
        fmt::format("{}: does not use {}; give a pipeline that does", *options.pipeline, options.path.string()));
  }
  return broken ? failed : done;
}

}  // namespace weft::host
