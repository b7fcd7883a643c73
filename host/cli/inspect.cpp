// `weft trials`, `weft best`, `weft export`: what is there, nothing changed.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/execution/assembly.hpp"
#include "host/plugins/schema.hpp"
#include "host/report/drawing.hpp"
#include "host/report/export.hpp"
#include "host/study/files.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/trials.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

Trials read_trials(const StudyFolder& folder) {
  const Journal journal(folder.journal(), Journal::Mode::read);
  Trials trials;
  journal.for_each([&](const Journal::Event& event) { trials.apply(event); });
  return trials;
}

// A study opened for reading, with its space at hand.
struct OpenStudy {
  OpenStudy(const fs::path& path, const PluginPath& plugin_path)
      : folder(StudyFolder::open(path, false)),
        trials(read_trials(folder)),
        catalogue(Catalogue::discover(plugin_path)),
        pipeline(Pipeline::resolve(read_json(folder.pipeline()), folder.pipeline().string(), catalogue)),
        assembly(pipeline, trials.task(), Phase::search) {}

  StudyFolder folder;
  Trials trials;
  Catalogue catalogue;
  Pipeline pipeline;
  Assembly assembly;
};

std::string one_line(const std::string& text, std::size_t limit) {
  std::string line = text.substr(0, text.find('\n'));
  if (line.size() > limit) line = line.substr(0, limit - 3) + "...";
  return line;
}

}  // namespace

int trials_command(const fs::path& study, bool json) {
  const Trials trials = read_trials(StudyFolder::open(study, false));
  if (json) {
    Json list = Json::array();
    for (const Trial& trial : trials.all()) list.push_back(trial.to_json());
    fmt::print(output(), "{}\n", list.dump(1));
    return done;
  }
  fmt::print(output(), "{:>6}  {:<8}  {:>10}  {:>8}  {}\n", "trial", "state", "objective", "seconds",
             "genotype, or why it ended");
  for (const Trial& trial : trials.all()) {
    std::string note = trial.proposal.genotype.key();
    if (trial.duplicate_of) note = fmt::format("as trial {}", *trial.duplicate_of);
    if (trial.waits_for) note = fmt::format("waits for trial {}, the same architecture", *trial.waits_for);
    if (!trial.reason.empty()) note = trial.reason;
    fmt::print(output(), "{:>6}  {:<8}  {:>10}  {:>8.1f}  {}\n", trial.id, to_string(trial.state),
               trial.objectives.empty() ? "" : fmt::format("{:.5g}", trial.objectives.front()), trial.seconds,
               one_line(note, 90));
  }
  return done;
}

int best_command(const fs::path& study, std::size_t count, bool json, const PluginPath& plugin_path) {
  OpenStudy open(study, plugin_path);
  SpaceRef space = open.assembly.space();
  Json list = Json::array();
  for (const TrialId id : open.trials.best(count)) {
    Json entry = open.trials.at(id).to_json();
    entry["notation"] = space.notation(open.trials.at(id).proposal.genotype);
    for (const FinalResult& final : open.trials.finals()) {
      if (final.trial == id) entry["final"] = final.metrics;
    }
    list.push_back(std::move(entry));
  }
  if (list.empty()) throw Error(fmt::format("{}: no trial is complete yet", study.string()));
  if (json) {
    fmt::print(output(), "{}\n", list.dump(1));
    return done;
  }
  for (const Json& entry : list) {
    fmt::print(output(), "trial {}: {} {:.5g}\n  {}\n", entry.at("trial").get<TrialId>(),
               open.pipeline.objectives.front().manifest->name, entry.at("objectives")[0].get<double>(),
               entry.at("notation").get<std::string>());
    fmt::print(output(), "  {}\n", entry.at("metrics").dump());
    if (entry.contains("final")) fmt::print(output(), "  trained to the end: {}\n", entry.at("final").dump());
  }
  return done;
}

int export_command(const ExportOptions& options, const PluginPath& plugin_path) {
  OpenStudy open(options.study, plugin_path);
  const Trial* best = open.trials.best();
  if (!options.trial && best == nullptr)
    throw Error(fmt::format("{}: no trial is complete yet; name one with --trial", options.study.string()));
  const Trial& trial = options.trial ? open.trials.at(*options.trial) : *best;
  if (options.format == "weights") {
    const std::optional<fs::path> weights = weights_of(open.folder, trial.id);
    if (!weights)
      throw Error(
          fmt::format("{}: the weights of trial {} were not kept; the pipeline's /keep_weights says for how many of "
                      "the best they are",
                      options.study.string(), trial.id));
    const fs::path target = options.output.value_or("weights.pt");
    fs::copy_file(*weights, target, fs::copy_options::overwrite_existing);
    fmt::print(stderr, "{}\n", target.string());
    return done;
  }
  const Architecture architecture = candidate_of(trial.id, open.assembly, open.trials).architecture;
  const DrawingOptions drawing{.whole = options.whole};
  const std::string text = options.format == "architecture" ? architecture.to_json().dump(1) + "\n"
                           : options.format == "dot"        ? to_dot(architecture, drawing)
                                                            : to_svg(architecture, drawing);
  if (options.output) {
    write_atomically(*options.output, text);
  } else {
    std::fwrite(text.data(), 1, text.size(), output());
  }
  return done;
}

}  // namespace weft::host
