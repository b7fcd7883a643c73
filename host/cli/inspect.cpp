// `weft trials`, `weft best`, `weft export`: what is there, nothing changed.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/execution/assembly.hpp"
#include "host/plugins/schema.hpp"
#include "host/report/activation_curves.hpp"
#include "host/report/drawing.hpp"
#include "host/report/export.hpp"
#include "host/study/files.hpp"
#include "host/study/folder.hpp"
#include "host/study/journal.hpp"
#include "host/study/provenance.hpp"
#include "host/study/trials.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

// All that a journal says.
struct Recorded {
  explicit Recorded(const StudyFolder& folder) {
    Journal(folder.journal(), Journal::Mode::read).for_each([&](const Journal::Event& event) {
      trials.apply(event);
      provenance.apply(event);
    });
    if (provenance.pipeline.is_object()) trials.measure_by(provenance.pipeline);
  }

  // What final trainings brought of the candidates as they are now.
  std::vector<FinalResult> finals() const {
    if (!provenance.pipeline.is_object()) return trials.finals();  // of release 1.0
    if (!provenance.pipeline.contains("final")) return {};
    return trials.finals_made_of(provenance.made_of(Phase::final));
  }

  Trials trials;
  Provenance provenance;
};

// One trial after the other, with no more than one in memory.
void for_each_trial(const StudyFolder& folder, const std::function<void(const Trial&)>& visit) {
  const Journal journal(folder.journal(), Journal::Mode::read);
  std::optional<Trial> trial;
  journal.for_each(
      [&](const Journal::Event& event) {
        if (event.kind == "proposal") {
          if (trial) visit(*trial);
          trial.emplace();
        }
        if (trial) trial->apply(event);
      },
      Journal::Order::of_trials);
  if (trial) visit(*trial);
}

// The space of a study, seen from the directory in which the study was begun.
class StudySpace {
 public:
  StudySpace(const Provenance& provenance, const StudyFolder& folder, const PluginPath& plugin_path)
      : catalogue_(Catalogue::discover(plugin_path)),
        pipeline_(Pipeline::resolve_space(stored_pipeline(folder, provenance), folder.pipeline().string(), catalogue_)),
        assembly_(pipeline_, provenance.task, Phase::search) {
    provenance.enter_directory();
  }

  Assembly& assembly() { return assembly_; }

 private:
  Catalogue catalogue_;
  Pipeline pipeline_;
  Assembly assembly_;
};

std::string one_line(const std::string& text, std::size_t limit) {
  const std::string line = text.substr(0, text.find('\n'));
  return shortened(line, limit);
}

}  // namespace

int trials_command(const fs::path& study, bool json) {
  const StudyFolder folder = StudyFolder::open(study, false);
  if (json) {
    const char* before = "[";
    for_each_trial(folder, [&](const Trial& trial) {
      fmt::print(output(), "{}\n{}", before, trial.to_json().dump(1, ' ', false, Json::error_handler_t::replace));
      before = ",";
    });
    fmt::print(output(), "{}\n", *before == '[' ? "[]" : "\n]");
    return done;
  }
  fmt::print(output(), "{:>6}  {:<8}  {:>10}  {:>8}  {}\n", "trial", "state", "objective", "seconds",
             "genotype, or why it ended");
  const std::size_t limit = isatty(fileno(output())) != 0 ? 90 : std::string::npos;
  for_each_trial(folder, [&](const Trial& trial) {
    std::string note = trial.proposal.genotype.key();
    if (trial.inherits()) {
      const std::vector<std::string> morphs = trial.morphs();
      note = fmt::format("from {}: {}", *trial.proposal.parent,
                         morphs.empty() ? "trained on" : fmt::format("{}", fmt::join(morphs, "; ")));
    }
    if (trial.duplicate_of) note = fmt::format("as trial {}", *trial.duplicate_of);
    if (trial.waits_for) note = fmt::format("waits for trial {}; {}", *trial.waits_for, note);
    if (!trial.reason.empty()) note = trial.reason;
    if (trial.state == TrialState::pruned && trial.metrics.contains("epochs") && trial.metrics.at("epochs").is_number())
      note = fmt::format("after epoch {}: {}", trial.metrics.at("epochs").dump(), note);
    if (const std::string fidelity = in_words(trial.proposal.fidelity); !fidelity.empty())
      note = fmt::format("({}) {}", fidelity, note);
    fmt::print(output(), "{:>6}  {:<8}  {:>10}  {:>8.1f}  {}\n", trial.id, to_string(trial.state),
               trial.objectives.empty() ? "" : fmt::format("{:.5g}", trial.objectives.front()), trial.seconds,
               one_line(note, limit));
  });
  return done;
}

int best_command(const fs::path& study, std::size_t count, bool json, const PluginPath& plugin_path) {
  const StudyFolder folder = StudyFolder::open(fs::absolute(study), false);
  const Recorded recorded(folder);
  const auto& [trials, provenance] = recorded;
  const std::vector<FinalResult> finals = recorded.finals();
  const std::vector<TrialId> best = trials.best(count);
  if (best.empty()) throw Error(fmt::format("{}: no trial is complete yet", study.string()));
  std::unique_ptr<StudySpace> space;
  try {
    space = std::make_unique<StudySpace>(provenance, folder, plugin_path);
    space->assembly().space();
  } catch (const Error& error) {
    space.reset();
    fmt::print(stderr, "genotypes instead of notations, as the study's space cannot be used: {}\n", error.what());
  }
  Json list = Json::array();
  for (const TrialId id : best) {
    const Trial& trial = trials.all().at(static_cast<std::size_t>(id));
    Json entry = trial.to_json();
    if (space) entry["notation"] = space->assembly().space().notation(trial.proposal.genotype);
    if (const FinalResult* final = final_of(id, finals)) entry["final"] = final->metrics;
    list.push_back(std::move(entry));
  }
  if (json) {
    fmt::print(output(), "{}\n", list.dump(1));
    return done;
  }
  const std::string objective = stored_pipeline(folder, provenance).at("objectives").at(0).at("name");
  for (const Json& entry : list) {
    const std::string fidelity = in_words(trials.all().at(entry.at("trial").get<std::size_t>()).proposal.fidelity);
    fmt::print(output(), "trial {}: {} {:.5g}{}\n  {}\n", entry.at("trial").get<TrialId>(), objective,
               entry.at("objectives")[0].get<double>(), fidelity.empty() ? "" : " (" + fidelity + ")",
               entry.contains("notation") ? entry.at("notation").get<std::string>() : entry.at("genotype").dump());
    fmt::print(output(), "  {}\n", entry.at("metrics").dump());
    if (entry.contains("final")) fmt::print(output(), "  trained to the end: {}\n", entry.at("final").dump());
  }
  return done;
}

namespace {

// Whose descriptor is another's by now (take_output()).
bool is_standard_output(const fs::path& target) {
  return target == "-" || target == "/dev/stdout" || target == "/dev/fd/1" || target == "/proc/self/fd/1";
}

// A file is replaced whole; a link leads to what is replaced; what is no file, such as a pipe, is written to.
void write_out(const fs::path& target, const std::string& bytes) {
  std::error_code absent;
  if (is_standard_output(target)) {
    std::fwrite(bytes.data(), 1, bytes.size(), output());
  } else if (fs::exists(target, absent) && !fs::is_regular_file(target, absent)) {
    std::ofstream stream(target, std::ios::binary | std::ios::app);
    if (!(stream << bytes << std::flush)) throw Error(fmt::format("{}: cannot be written", target.string()));
  } else {
    write_atomically(fs::weakly_canonical(target), bytes);
  }
}

}  // namespace

int export_command(const ExportOptions& options, const PluginPath& plugin_path) {
  const StudyFolder folder = StudyFolder::open(fs::absolute(options.study), false);
  const Recorded recorded(folder);
  const auto& [trials, provenance] = recorded;
  const std::vector<FinalResult> finals = recorded.finals();
  const Trial* best = trials.best();
  if (!options.trial && best == nullptr)
    throw Error(fmt::format("{}: no trial is complete yet; name one with --trial", options.study.string()));
  const TrialId id = options.trial.value_or(best != nullptr ? best->id : 0);
  if (id < 0 || static_cast<std::size_t>(id) >= trials.size()) {
    throw InvalidInput(
        fmt::format("{}: --trial is {}; must be 0 to {}", options.study.string(), id, trials.size() - 1));
  }
  if (options.format == "weights") {
    const std::optional<fs::path> weights = weights_of(id, folder, finals);
    if (!weights)
      throw Error(
          fmt::format("{}: the weights of trial {} were not kept; the pipeline's /keep_weights says for how many of "
                      "the best they are",
                      options.study.string(), id));
    const fs::path target = options.output.value_or("weights.pt");
    std::ifstream stream(*weights, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    if (bytes.empty()) throw Error(fmt::format("{}: is empty; a power failure may have left it so", weights->string()));
    write_out(target, bytes);
    if (!is_standard_output(target)) fmt::print(stderr, "{}\n", target.string());
    return done;
  }
  const fs::path given = options.output.value_or("-");
  const fs::path target = is_standard_output(given) ? given : fs::absolute(given);  // StudySpace changes the directory
  StudySpace space(provenance, folder, plugin_path);
  const Architecture architecture =
      candidate_of(trials.all().at(static_cast<std::size_t>(id)), space.assembly(), finals).architecture;
  const DrawingOptions drawing{.whole = options.whole};
  if (options.format == "activation") {
    const std::optional<std::string> curves = activation_curves(architecture);
    if (!curves)
      throw Error(fmt::format("{}: the network of trial {} has no activation_unit, whose formula could be drawn",
                              options.study.string(), id));
    write_out(target, *curves);
    return done;
  }
  const std::string text = options.format == "architecture" ? architecture.to_json().dump(1) + "\n"
                           : options.format == "dot"        ? to_dot(architecture, drawing)
                                                            : to_svg(architecture, drawing);
  write_out(target, text);
  return done;
}

}  // namespace weft::host
