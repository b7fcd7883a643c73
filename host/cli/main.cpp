// The program `weft`.

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/auxv.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <limits>
#include <sstream>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/execution/worker.hpp"
#include "host/plugins/probe.hpp"
#include "host/processes/rights.hpp"
#include "host/processes/surroundings.hpp"
#include "weft/error.hpp"

namespace {

using namespace weft::host;

constexpr auto largest_seed = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t largest_trial = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t largest_count = 1'000'000'000;

// CLI11 takes "-1" for the largest number there is, and "010" for 8.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const auto problem = [least, most](const std::string& text) -> std::string {
    std::uint64_t number = 0;
    const bool read = std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{};
    if (read && std::to_string(number) == text && number >= least && number <= most) return "";
    return fmt::format("\"{}\" given; must be a whole number from {} to {}", text, least, most);
  };
  return {problem, "", ""};
}

CLI::Validator positive_number() {
  const auto problem = [](const std::string& text) -> std::string {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(number) && number > 0) return "";
    return fmt::format("\"{}\" given; must be a number above 0", text);
  };
  return {problem, "", ""};
}

std::string slot_problem(const std::string& text) {
  const auto is_number = [&](std::size_t from) {
    return text.size() > from && text.find_first_not_of("0123456789", from) == std::string::npos;
  };
  if ((text.starts_with("cpu:") && is_number(4) && text[4] != '0') || (text.starts_with("cuda:") && is_number(5)))
    return "";
  return fmt::format("\"{}\" given; must be cpu:<threads>, at least cpu:1, or cuda:<index>", text);
}

void add_pipeline_options(CLI::App& command, RunOptions& options) {
  command.add_option("pipeline", options.pipeline, "A pipeline's file, or the name of an installed one (quickstart)")
      ->required();
  command.add_option("--profile", options.overrides.profile, "Apply one of the pipeline's profiles");
  command.add_option("--seed", options.overrides.seed, "Replace the pipeline's seed")
      ->check(whole_number(0, largest_seed));
  command.add_option("--set", options.overrides.settings, "Replace one value: /budget/trials=100 (may be repeated)")
      ->allow_extra_args(false);
  command.add_option("--slots", options.slots, "Run trials in workers: cpu:<threads> or cuda:<index>, one worker each")
      ->delimiter(',')
      ->check(slot_problem);
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

  ResumeOptions resume_options;
  CLI::App* resume = app.add_subcommand("resume", "Go on with a study that was stopped or killed, or extend one");
  resume->add_option("study", resume_options.study, "The study's folder")->required();
  resume
      ->add_option("--set", resume_options.settings,
                   "Replace one value of the study's pipeline: /budget/trials=200 extends it (may be repeated)")
      ->allow_extra_args(false);
  resume->add_flag("--retry-failed", resume_options.retry_failed, "Evaluate failed trials again");
  resume->add_flag("--accept-changes", resume_options.accept_changes,
                   "Go on although pipeline, plugins or data are not those that the study was begun with");
  resume->add_flag("--quiet", resume_options.quiet, "No progress");
  resume->add_flag("--json", resume_options.json, "Print the result as JSON, and no progress");
  add_isolate(resume);
  resume->callback([&] {
    resume_options.isolate_all = isolate == "all";
    code = resume_command(resume_options, plugin_path);
  });

  std::filesystem::path study;
  bool json = false;
  RunOptions check_options;
  std::size_t samples = 200;
  CLI::App* check = app.add_subcommand(
      "check", "Check a pipeline and its data without running it; say what share of the space is feasible");
  add_pipeline_options(*check, check_options);
  check->add_option("--samples", samples, "Candidates to sample")
      ->check(whole_number(0, largest_count))
      ->capture_default_str();
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
  new_->add_option("--language", new_plugin.language, "What it is written in: cpp, c or rust")->capture_default_str();
  new_->add_option("name", new_plugin.name, "The plugin's name: small letters, digits and _; or VENDOR/NAME")
      ->required();
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
  validate->add_option("--pipeline", validate_options.pipeline,
                       "A pipeline that uses it: arguments, space, data set and budget of the contract suite");
  validate->add_option("--profile", validate_options.overrides.profile, "Apply one of that pipeline's profiles");
  validate
      ->add_option("--set", validate_options.overrides.settings, "Replace one value of that pipeline (may be repeated)")
      ->allow_extra_args(false);
  validate->add_flag("--static", validate_options.static_only, "Without the contract suite");
  validate->add_flag("--json", validate_options.json, "As JSON");
  validate->callback([&] { code = plugin_validate_command(validate_options, plugin_path); });

  InstallOptions install_options;
  CLI::App* install = plugin->add_subcommand("install", "Check a plugin and put it where weft finds it, whole");
  install
      ->add_option("package", install_options.package,
                   "The folder of its manifest and library, or a file of `weft plugin pack`")
      ->required();
  install->add_option("--to", install_options.to, "A folder of plugins (default: ~/.local/share/weft/plugins)");
  install->callback([&] { code = plugin_install_command(install_options, plugin_path); });
  RemoveOptions remove_options;
  CLI::App* remove = plugin->add_subcommand("remove", "Remove what `weft plugin install` put there");
  remove->add_option("name", remove_options.name, "The plugin's name")->required();
  remove->add_option("--kind", remove_options.kind, "Its kind, where plugins of several have the name");
  remove->add_option("--from", remove_options.from, "A folder of plugins (default: ~/.local/share/weft/plugins)");
  remove->callback([&] { code = plugin_remove_command(remove_options); });
  PackOptions pack_options;
  CLI::App* pack = plugin->add_subcommand("pack", "Check a plugin and make one file of it, for `weft plugin install`");
  pack->add_option("folder", pack_options.folder, "The folder of its manifest and library")->required();
  pack->add_option("--output,-o", pack_options.output, "The file to write (default: ./NAME-VERSION.tar.gz)");
  pack->callback([&] { code = plugin_pack_command(pack_options); });

  CLI::App* trials = app.add_subcommand("trials", "The trials of a study");
  trials->add_option("study", study, "The study's folder")->required();
  trials->add_flag("--json", json, "As JSON");
  trials->callback([&] { code = trials_command(study, json); });

  std::size_t count = 1;
  CLI::App* best = app.add_subcommand("best", "The best trials of a study");
  best->add_option("study", study, "The study's folder")->required();
  best->add_option("--top", count, "How many")->check(whole_number(1, largest_count))->capture_default_str();
  best->add_flag("--json", json, "As JSON");
  best->callback([&] { code = best_command(study, count, json, plugin_path); });

  ExportOptions export_options;
  CLI::App* export_ = app.add_subcommand("export", "A trial's architecture, picture or weights");
  export_->add_option("study", export_options.study, "The study's folder")->required();
  export_->add_option("--trial", export_options.trial, "Which trial (default: the best)")
      ->check(whole_number(0, largest_trial));
  export_
      ->add_option("--format", export_options.format,
                   "architecture (JSON), dot, svg, activation (curves of its activation_unit formulas, with the betas "
                   "that training begins with; SVG) or weights")
      ->required()
      ->check(CLI::IsMember({"architecture", "dot", "svg", "activation", "weights"}));
  export_->add_option("--output,-o", export_options.output,
                      "The file to write (default: standard output; weights.pt for weights)");
  export_->add_flag("--whole", export_options.whole, "Draw every node instead of each kind of cell once");
  export_->callback([&] { code = export_command(export_options, plugin_path); });

  CLI::App* oneshot = app.add_subcommand("oneshot", "What the search of a study by one-shot is worth");
  oneshot->require_subcommand(1);
  RankOptions rank_options;
  CLI::App* rank = oneshot->add_subcommand(
      "rank",
      "Whether shared weights rank random architectures as these do each by itself, and what chance would find");
  rank->add_option("study", rank_options.study, "The folder of a study whose one-shot search has ended")->required();
  rank->add_option("--architectures", rank_options.architectures, "How many are measured both ways")
      ->check(whole_number(3, largest_count))
      ->capture_default_str();
  rank->add_option("--seed", rank_options.seed, "Of what is drawn (default: the study's)")
      ->check(whole_number(0, largest_seed));
  rank->add_option(
      "--against", rank_options.against,
      "How each is measured by itself: an evaluator's name, its JSON, or a file of that, such as a table's "
      "(default: the final training's evaluator, in the phase of the search)");
  rank->add_option("--epochs", rank_options.epochs, "Epochs of each by itself (default: the evaluator's)")
      ->check(whole_number(1, largest_count));
  rank->add_flag("--final-networks", rank_options.final_networks,
                 "Measure the networks of the final training each by itself, not those of the search");
  rank->add_option("--top", rank_options.top, "How many best ones are compared; below 1 a share (may be several)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(positive_number())
      ->capture_default_str();
  rank->add_option("--resamples", rank_options.resamples, "Of the bootstrap that gives the intervals")
      ->check(whole_number(1, largest_count))
      ->capture_default_str();
  rank->add_option("--output,-o", rank_options.output, "The folder to write (default: STUDY/rank)");
  rank->add_flag("--retry-failed", rank_options.retry_failed, "Evaluate failed architectures again");
  rank->add_flag("--quiet", rank_options.quiet, "No progress");
  rank->add_flag("--json", rank_options.json, "Print the result as JSON, and no progress");
  rank->callback([&] { code = oneshot_rank_command(rank_options, plugin_path); });

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

int guarded(int argc, char** argv) {
  try {
    expect_own_rights(getauxval(AT_SECURE) != 0);
    return run(argc, argv);
  } catch (const weft::InvalidInput& error) {
    fmt::print(stderr, "{}\n", error.what());
    return unusable_input;
  } catch (const std::filesystem::filesystem_error& error) {  // a folder that was taken away meanwhile, for one
    fmt::print(stderr, "{}{}{}: {}\n", error.path1().string(), error.path2().empty() ? "" : " or ",
               error.path2().string(), error.code().message());
  } catch (const std::exception& error) {
    // That an answer could not be written is said when it is finished.
    if (!output_failed()) fmt::print(stderr, "{}\n", error.what());
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  put_surroundings_right();
  auto logger = spdlog::stderr_color_mt("weft");  // on the stream itself: it asks whether that is a terminal
  logger->set_pattern("%^%l%$: %v");
  spdlog::set_default_logger(logger);
  take_output();
  return finish_output(guarded(argc, argv));
}
