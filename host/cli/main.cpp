// The program `weft`.

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/auxv.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/execution/worker.hpp"
#include "host/plugins/probe.hpp"
#include "host/processes/rights.hpp"
#include "weft/error.hpp"

namespace {

using namespace weft::host;

void add_pipeline_options(CLI::App& command, RunOptions& options) {
  command.add_option("pipeline", options.pipeline, "A pipeline's file, or the name of an installed one (quickstart)")
      ->required();
  command.add_option("--profile", options.overrides.profile, "Apply one of the pipeline's profiles");
  command.add_option("--seed", options.overrides.seed, "Replace the pipeline's seed");
  command.add_option("--set", options.overrides.settings, "Replace one value: /budget/trials=100 (may be repeated)")
      ->allow_extra_args(false);
  command.add_option("--slots", options.slots, "Run trials in workers: cpu:<threads> or cuda:<index>, one worker each")
      ->delimiter(',');
  command.add_flag("--json", options.json, "Print the result as JSON, and no progress");
}

int run(int argc, char** argv) {
  CLI::App app("Weft: neural architecture search. Searches an architecture for your data, as a pipeline describes it.",
               "weft");
  app.set_version_flag("--version", WEFT_VERSION);
  app.require_subcommand(1);
  app.footer("Exit codes: 0 done, 1 failed, 2 unusable input, 130 interrupted (go on with `weft resume`).");
  PluginPath plugin_path;
  app.add_option("--plugin-path", plugin_path, "Look for plugins here first (may be repeated)")
      ->allow_extra_args(false);
  int code = done;

  RunOptions run_options;
  CLI::App* run = app.add_subcommand("run", "Begin a study: search, then train the best");
  add_pipeline_options(*run, run_options);
  run->add_option("--study", run_options.study, "The study's folder (default: the next free studies/<pipeline>-NNN)");
  run->add_flag("--no-journal", run_options.no_journal, "Keep nothing: faster for tables, cannot be resumed");
  run->add_flag("--quiet", run_options.quiet, "No progress");
  std::string isolate = "evaluator";
  const auto add_isolate = [&](CLI::App* command) {
    command
        ->add_option(
            "--isolate", isolate,
            "evaluator: trials run in worker processes, if the evaluator does not ask for less; all: the optimizer "
            "has a process of its own, too")
        ->check(CLI::IsMember({"evaluator", "all"}))
        ->capture_default_str();
  };
  add_isolate(run);
  run->callback([&] {
    run_options.isolate_all = isolate == "all";
    code = run_command(run_options, plugin_path);
  });

  std::filesystem::path study;
  bool json = false;
  bool quiet = false;
  CLI::App* resume = app.add_subcommand("resume", "Go on with a study that was stopped or killed");
  resume->add_option("study", study, "The study's folder")->required();
  resume->add_flag("--quiet", quiet, "No progress");
  resume->add_flag("--json", json, "Print the result as JSON, and no progress");
  add_isolate(resume);
  resume->callback([&] { code = resume_command(study, quiet, json, isolate == "all", plugin_path); });

  RunOptions check_options;
  std::size_t samples = 200;
  CLI::App* check = app.add_subcommand(
      "check", "Check a pipeline and its data without running it; say what share of the space is feasible");
  add_pipeline_options(*check, check_options);
  check->add_option("--samples", samples, "Candidates to sample")->capture_default_str();
  check->callback([&] { code = check_command(check_options, samples, plugin_path); });

  CLI::App* plugin = app.add_subcommand("plugin", "What is installed; begin a plugin of your own");
  plugin->require_subcommand(1);
  CLI::App* list = plugin->add_subcommand("list", "All plugins by kind");
  list->add_flag("--json", json, "As JSON");
  list->callback([&] { code = plugin_list_command(json, plugin_path); });
  std::string name;
  CLI::App* show = plugin->add_subcommand("show", "One plugin: its source, what it needs and offers, its parameters");
  show->add_option("name", name, "The plugin's name")->required();
  show->add_flag("--json", json, "As JSON");
  show->callback([&] { code = plugin_show_command(name, json, plugin_path); });
  NewPlugin new_plugin;
  CLI::App* new_ = plugin->add_subcommand("new", "Begin a plugin: a folder that builds, runs and tests as it is");
  new_->add_option("kind", new_plugin.kind,
                   "What it is, such as optimizer; another word is answered with all that there are")
      ->required();
  new_->add_option("name", new_plugin.name, "The plugin's name: small letters, digits and _")->required();
  new_->add_option("--output", new_plugin.output, "The folder to write (default: ./NAME)");
  new_->callback([&] { code = plugin_new_command(new_plugin); });

  ValidateOptions validate_options;
  CLI::App* validate = plugin->add_subcommand("validate", "Check a plugin against the contract, rule by rule");
  validate->add_option("path", validate_options.path, "The folder of its manifest and library, or the manifest")
      ->required();
  validate
      ->add_option("--args", validate_options.args,
                   "JSON: arguments for the contract suite, over the manifest's defaults")
      ->capture_default_str();
  validate->add_flag("--static", validate_options.static_only, "Without the contract suite");
  validate->add_flag("--json", validate_options.json, "As JSON");
  validate->callback([&] { code = plugin_validate_command(validate_options); });

  CLI::App* trials = app.add_subcommand("trials", "The trials of a study");
  trials->add_option("study", study, "The study's folder")->required();
  trials->add_flag("--json", json, "As JSON");
  trials->callback([&] { code = trials_command(study, json); });

  std::size_t count = 1;
  CLI::App* best = app.add_subcommand("best", "The best trials of a study");
  best->add_option("study", study, "The study's folder")->required();
  best->add_option("--top", count, "How many")->capture_default_str();
  best->add_flag("--json", json, "As JSON");
  best->callback([&] { code = best_command(study, count, json, plugin_path); });

  ExportOptions export_options;
  CLI::App* export_ = app.add_subcommand("export", "A trial's architecture, picture or weights");
  export_->add_option("study", export_options.study, "The study's folder")->required();
  export_->add_option("--trial", export_options.trial, "Which trial (default: the best)");
  export_->add_option("--format", export_options.format, "architecture (JSON), dot, svg or weights")
      ->required()
      ->check(CLI::IsMember({"architecture", "dot", "svg", "weights"}));
  export_->add_option("--output,-o", export_options.output,
                      "The file to write (default: standard output; weights.pt for weights)");
  export_->add_flag("--whole", export_options.whole, "Draw every node instead of each kind of cell once");
  export_->callback([&] { code = export_command(export_options, plugin_path); });

  CLI::App* doctor = app.add_subcommand("doctor", "What is installed, what is wrong, how to mend it");
  doctor->add_flag("--json", json, "As JSON");
  doctor->callback([&] { code = doctor_command(json, plugin_path); });

  std::string manifest;
  CLI::App* probe = app.add_subcommand("probe-plugin", "")->group("");
  probe->add_option("manifest", manifest)->required();
  probe->callback([&] { code = run_probe(manifest); });
  app.add_subcommand("worker", "")->group("")->callback([&] { code = run_worker(); });
  app.add_subcommand("probe-torch", "")->group("")->callback([&] { code = probe_torch_command(); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    const int status = app.exit(error, out, std::cerr);
    fmt::print(output(), "{}", out.str());
    return status == 0 ? done : unusable_input;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  output();  // before any plugin can write to it
  auto logger = spdlog::stderr_color_st("weft");
  logger->set_pattern("%^%l%$: %v");
  spdlog::set_default_logger(logger);
  try {
    expect_own_rights(getauxval(AT_SECURE) != 0);
    return run(argc, argv);
  } catch (const weft::InvalidInput& error) {
    fmt::print(stderr, "{}\n", error.what());
    return unusable_input;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  }
  return failed;
}
