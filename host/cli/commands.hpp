// The program's commands. Each returns the exit code: 0 done, 1 failed, 2 unusable input, 130 interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/pipelines/pipeline.hpp"

namespace weft::host {

enum ExitCode { done = 0, failed = 1, unusable_input = 2, was_interrupted = 130 };

using PluginPath = std::vector<std::filesystem::path>;

struct RunOptions {
  std::string pipeline;
  Overrides overrides;
  std::optional<std::filesystem::path> study;
  std::vector<std::string> slots;  // replaces the pipeline's
  bool no_journal = false;
  bool isolate_all = false;  // the optimizer, too, runs in a process of its own
  bool quiet = false;
  bool json = false;
};

int run_command(const RunOptions& options, const PluginPath& plugin_path);

struct ResumeOptions {
  std::filesystem::path study;
  std::vector<std::string> settings;  // over the stored pipeline
  bool accept_changes = false;        // of what was found so far, too
  bool retry_failed = false;
  bool isolate_all = false;
  bool quiet = false;
  bool json = false;
};
int resume_command(const ResumeOptions& options, const PluginPath& plugin_path);
int check_command(const RunOptions& options, std::size_t samples, const PluginPath& plugin_path);

int plugin_list_command(bool json, const PluginPath& plugin_path);
int plugin_show_command(const std::string& name, bool json, const PluginPath& plugin_path);

struct ValidateOptions {
  std::filesystem::path path;
  std::string args = "{}";              // JSON, for the contract suite
  std::optional<std::string> pipeline;  // the suite tries the plugin as this one uses it
  Overrides overrides;                  // of that pipeline
  bool static_only = false;             // without the contract suite
  bool json = false;
};
int plugin_validate_command(const ValidateOptions& options, const PluginPath& plugin_path);

struct InstallOptions {
  std::filesystem::path package;            // a plugin's folder, or a file of `weft plugin pack`
  std::optional<std::filesystem::path> to;  // default: the user's plugins
};
int plugin_install_command(const InstallOptions& options, const PluginPath& plugin_path);

struct RemoveOptions {
  std::string name;
  std::string kind;                           // empty: whatever has the name
  std::optional<std::filesystem::path> from;  // default: the user's plugins
};
int plugin_remove_command(const RemoveOptions& options);

struct PackOptions {
  std::filesystem::path folder;
  std::optional<std::filesystem::path> output;  // default: ./NAME-VERSION.tar.gz
};
int plugin_pack_command(const PackOptions& options);

struct NewPlugin {
  std::string kind, name;
  std::string language = "cpp";
  std::optional<std::filesystem::path> output;  // default: a folder called as the plugin
};
int plugin_new_command(const NewPlugin& plugin);

int trials_command(const std::filesystem::path& study, bool json);
int best_command(const std::filesystem::path& study, std::size_t count, bool json, const PluginPath& plugin_path);

struct ExportOptions {
  std::filesystem::path study;
  std::optional<std::int64_t> trial;            // default: the best
  std::string format;                           // architecture, dot, svg, weights
  std::optional<std::filesystem::path> output;  // default: stdout for text
  bool whole = false;
};
int export_command(const ExportOptions& options, const PluginPath& plugin_path);

struct RankOptions {
  std::filesystem::path study;
  std::size_t architectures = 30;
  std::optional<std::uint64_t> seed;            // of what is drawn; default: the study's
  std::optional<std::string> against;           // the stand-alone evaluator: a name, JSON, or a file of it
  std::optional<std::int64_t> epochs;           // of the stand-alone evaluator
  bool final_networks = false;                  // under the space's arguments of the final training
  std::vector<double> top = {0.1, 1};           // below 1: a share
  std::size_t resamples = 1000;                 // of the bootstrap
  std::optional<std::filesystem::path> output;  // default: rank/ in the study's folder
  bool retry_failed = false;
  bool quiet = false;
  bool json = false;
};
int oneshot_rank_command(const RankOptions& options, const PluginPath& plugin_path);

int doctor_command(bool json, const PluginPath& plugin_path);
// What LibTorch this installation would load, and its devices; for doctor, which runs it in a child process.
int probe_torch_command();

}  // namespace weft::host
