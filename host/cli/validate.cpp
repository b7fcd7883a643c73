// `weft plugin validate`: every rule of the plugin contract that can be checked from outside, with a verdict for each.

#include <fmt/format.h>
#include <sys/wait.h>

#include <chrono>
#include <functional>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/inspection.hpp"
#include "host/plugins/library.hpp"
#include "host/plugins/probe.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "host/processes/child.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes contract_time(10);
constexpr int no_suite = 77;  // exit code of a contract program that does not know the kind

struct Verdict {
  std::string rule, title;
  std::string word;  // "ok", "BROKEN", "skipped", "not reached"
  std::string why = {};
};

// Runs one check after the other; the first that is broken hides those behind it, which rely on it.
class Validation {
 public:
  void check(const std::string& rule, const std::string& title, const std::function<std::string()>& body) {
    Verdict verdict{rule, title, "ok"};
    if (broken_) {
      verdict.word = "not reached";
    } else {
      try {
        verdict.why = body();
        if (!verdict.why.empty()) verdict.word = "skipped";
      } catch (const std::exception& error) {
        broken_ = true;
        verdict.word = "BROKEN";
        verdict.why = error.what();
      }
    }
    verdicts_.push_back(std::move(verdict));
  }

  bool broken() const { return broken_; }
  const std::vector<Verdict>& verdicts() const { return verdicts_; }

 private:
  std::vector<Verdict> verdicts_;
  bool broken_ = false;
};

fs::path manifest_of(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "manifest.json" : path;
  if (!fs::exists(file)) {
    throw InvalidInput(fmt::format(
        "{}: no such file; give the folder that holds the plugin's manifest.json and library, or the manifest",
        file.string()));
  }
  return fs::absolute(file);
}

// Empty, or why nothing was run. Throws Error with what the suite found.
std::string run_contract(const Manifest& manifest, const std::string& args) {
  const fs::path program = Installation::locate().programs / ("contract_" + manifest.tier);
  if (!fs::exists(program)) return fmt::format("{} is not installed", program.string());
  Child child({{manifest.file.string(), args}, {}, /*core_dump=*/false, program.string()});
  if (!child.wait(contract_time)) {
    child.kill();
    throw Error(fmt::format("the suite had not ended after {} min", contract_time.count()));
  }
  const std::string how = child.bury();
  if (WIFEXITED(child.status()) && WEXITSTATUS(child.status()) == no_suite)
    return fmt::format("there is no suite for kind {} yet", manifest.kind);
  if (!WIFEXITED(child.status()) || WEXITSTATUS(child.status()) != 0) throw Error("the suite " + how);
  return {};
}

}  // namespace

int plugin_validate_command(const ValidateOptions& options) {
  const fs::path file = manifest_of(options.path);
  Manifest manifest;
  LibraryFile library;
  Validation validation;
  validation.check("5", "the manifest is valid", [&] {
    manifest = Manifest::read(file, read_json(Installation::locate().schemas / "plugin.json"));
    return "";
  });
  for (const Check& check : checks()) {
    validation.check(std::to_string(check.rule), check.title, [&] {
      check.run(manifest, library);
      return "";
    });
  }
  validation.check("6", "a child process can open it, and its descriptor is sound", [&] {
    probe(manifest);
    return "";
  });
  validation.check("8", "it keeps the contract of its kind", [&] {
    validate(Json::parse(options.args), Json{{"type", "object"}}, "--args");
    return options.static_only ? std::string("--static") : run_contract(manifest, options.args);
  });

  if (options.json) {
    Json list = Json::array();
    for (const Verdict& verdict : validation.verdicts())
      list.push_back(
          {{"rule", verdict.rule}, {"check", verdict.title}, {"verdict", verdict.word}, {"why", verdict.why}});
    fmt::print(output(), "{}\n", list.dump(1));
  } else {
    fmt::print(output(), "{}\n", file.string());
    for (const Verdict& verdict : validation.verdicts()) {
      fmt::print(output(), "  {:<11}  rule {}: {}\n", verdict.word, verdict.rule, verdict.title);
      if (!verdict.why.empty()) fmt::print(output(), "               {}\n", verdict.why);
    }
    fmt::print(output(), "{}\n", validation.broken() ? "broken: docs/plugin-contract.md explains the rules" : "valid");
  }
  return validation.broken() ? failed : done;
}

}  // namespace weft::host
